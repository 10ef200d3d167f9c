package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// actCommand completes a command that acts on the jobs with the ids that it is given, or on all of a filter.
func actCommand(options *options, cmd *cobra.Command, all *bulk, olderThan string, prepare func() (act, error)) *cobra.Command {
	flags := cmd.Flags()
	all.filter.addNames(flags)
	all.filter.addOlderThan(flags, olderThan)
	all.addFlags(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs(args)
		one, oneErr := prepare()
		faults := []error{err, oneErr, all.filter.check(cmd.LocalFlags())}
		switch {
		case len(args) > 0 && (all.filter.given() || all.yes || all.dryRun):
			faults = append(faults, errors.New("ids and a filter: one of them"))
		case len(args) == 0 && !all.filter.given():
			faults = append(faults, fmt.Errorf("which jobs? Name them by their ids, or say which ones; see: %s --help", cmd.CommandPath()))
		}
		if err := joinUsage(faults...); err != nil {
			return err
		}
		if len(ids) > 0 {
			return actOnEach(cmd.Context(), options, cmd.OutOrStdout(), ids, one)
		}
		return all.run(cmd, options)
	}
	return cmd
}

func jobsCancelCommand(options *options) *cobra.Command {
	all := &bulk{verb: "cancel", past: "cancelled", function: "procrastinate_cancel_jobs"}
	abort := false
	cmd := &cobra.Command{
		Use:   "cancel {ID… | --task NAME …}",
		Short: "Cancel waiting jobs; with --abort, ask running ones to stop",
		Long: "Cancel waiting jobs: those with these ids, or all of a filter. With --abort, running ones are asked to stop,\n" +
			"and end when their handlers have.\n\n" +
			"With a filter it first shows the jobs, and asks.",
		Example: "  procrastinate jobs cancel 1234 1235 --abort\n" +
			"  procrastinate jobs cancel --task send_email --older-than 1d",
	}
	all.filter.addStatuses(cmd, []string{"todo", "doing"}, "of these statuses (default todo; doing needs --abort)")
	cmd.Flags().BoolVar(&abort, "abort", false, "also ask running jobs to stop")
	return actCommand(options, cmd, all, "only those that have waited (or run) for longer", func() (one act, err error) {
		all.filter.usual = []string{"todo"}
		if abort {
			all.filter.usual = []string{"todo", "doing"}
			all.past = "cancelled or asked to stop"
		} else if slices.Contains(all.filter.statuses(), "doing") {
			err = errors.New("running jobs are not cancelled: --abort asks them to stop")
		}
		all.arguments = map[string]any{"abort": abort}
		return cancelJob(abort), err
	})
}

func jobsRetryCommand(options *options) *cobra.Command {
	all := &bulk{verb: "retry", past: "retried", function: "procrastinate_retry_jobs"}
	all.filter.usual = []string{"failed"}
	cmd := &cobra.Command{
		Use:   "retry {ID… | --failed …}",
		Short: "Let jobs that failed or were cancelled run once more",
		Long: "Let jobs that failed, were cancelled or were aborted run once more: those with these ids, or all of a filter.\n" +
			"Their attempts stay counted: with none left, one more failure is the last.\n\n" +
			"With a filter it first shows the jobs, and asks.",
		Example: "  procrastinate jobs retry 1234 1235\n" +
			"  procrastinate jobs retry --failed --task send_email --in 10m\n" +
			"  procrastinate jobs retry --failed --dry-run",
	}
	all.filter.addStatuses(cmd, []string{"failed", "cancelled", "aborted"}, "of these statuses (default failed)")
	in := spanFlag(cmd.Flags(), "in", "wait so long before, as in 90s, 2h or 3d")
	return actCommand(options, cmd, all, "only those that ended longer ago", func() (act, error) {
		all.arguments = map[string]any{"schedule_in": in.interval()}
		return retryJob(in), nil
	})
}

func jobsDeleteCommand(options *options) *cobra.Command {
	all := &bulk{verb: "delete", past: "deleted", function: "procrastinate_delete_jobs"}
	all.filter.usual = endedStatuses
	cmd := &cobra.Command{
		Use:   "delete {ID… | --task NAME …}",
		Short: "Delete jobs that do not run",
		Long: "Delete jobs and their history: those with these ids, or all of a filter. Running ones are not deleted. For\n" +
			"what ended long ago there is procrastinate prune.\n\n" +
			"With a filter it first shows the jobs, and asks.",
		Example: "  procrastinate jobs delete 1234 1235\n" +
			"  procrastinate jobs delete --todo --task send_email",
	}
	all.filter.addStatuses(cmd, append([]string{"todo"}, endedStatuses...), "of these (default: all that ended)")
	return actCommand(options, cmd, all, "only those that ended (--todo: were deferred) longer ago", func() (act, error) { return deleteJob, nil })
}
