package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func pruneCommand(options *options) *cobra.Command {
	old := &bulk{verb: "delete", past: "deleted", function: "procrastinate_prune_jobs"}
	old.filter.usual = endedStatuses
	cmd := &cobra.Command{
		Use:   "prune --older-than SPAN",
		Short: "Delete the jobs that ended long ago",
		Long: "Delete the jobs that ended long ago, and their history: before the clockwork does, which keeps them as long as\n" +
			"their task says (tasks define). Shows which, and asks. It deletes 10,000 at a time, each in a transaction of\n" +
			"its own, waits for nobody, and may be interrupted.",
		Example: "  procrastinate prune --older-than 30d\n" +
			"  procrastinate prune --older-than 12h --status succeeded --queue mail --yes",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var fault error
			if !old.filter.olderThan.given {
				fault = errors.New("how old? Use --older-than, as in --older-than 30d")
			}
			if err := joinUsage(fault, old.filter.check(cmd.LocalFlags())); err != nil {
				return err
			}
			return old.run(cmd, options)
		},
	}
	old.filter.addStatuses(cmd, endedStatuses, "of these statuses (default: all of them)")
	cmd.Flags().StringVar(&old.filter.queue, "queue", "", "only of this `queue`")
	old.filter.addOlderThan(cmd.Flags(), "how long ago they ended")
	old.addFlags(cmd.Flags())
	return cmd
}
