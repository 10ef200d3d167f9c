package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

func jobsCommand(options *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "List jobs, explain them, cancel, retry, delete and change them",
		Example: "  procrastinate jobs list --failed --task send_email\n" +
			"  procrastinate jobs explain 1234\n" +
			"  procrastinate jobs retry 1234 1235",
	}
	cmd.AddCommand(
		jobsListCommand(options), jobsShowCommand(options), jobsExplainCommand(options),
		jobsCancelCommand(options), jobsRetryCommand(options), jobsDeleteCommand(options), jobsChangeCommand(options),
	)
	return cmd
}

// age is SQL for the time since a point, or until it, as people say it: 5s, 90m, 36h, 12d.
func age(point string) string {
	return `(select case when s < 120 then s || 's' when s < 7200 then s / 60 || 'm' when s < 172800 then s / 3600 || 'h' else s / 86400 || 'd' end
		from (select round(abs(extract(epoch from clock_timestamp() - ` + point + `)))::bigint as s) e)`
}

// jobRow is a job in a list for people.
func jobRow() string {
	return `select j.id, j.task_name as task, j.queue_name as queue, j.status, j.attempts,
		case
			when j.finished_at is not null then 'ended ' || ` + age("j.finished_at") + ` || ' ago'
			when j.status = 'doing' then 'began ' || ` + age("j.started_at") + ` || ' ago'
			when j.scheduled_at > clock_timestamp() then 'due in ' || ` + age("j.scheduled_at") + `
			else 'due ' || ` + age("greatest(j.scheduled_at, j.deferred_at)") + ` || ' ago'
		end as "when",
		case when j.status not in ('succeeded', 'doing') then j.error end as error`
}

// jobRecord is a job for programs: its columns, save the key of its lock, which is ours.
const jobRecord = `select j.id, j.task_name, j.queue_name, j.priority, j.status, j.args, j.lock, j.queueing_lock, j.attempts, j.max_attempts,
	j.rescues, j.timeout, j.abort_requested, j.worker_id, j.deferred_at, j.scheduled_at, j.started_at, j.finished_at, j.metadata, j.result, j.error`

func jobsListCommand(options *options) *cobra.Command {
	var wanted filter
	limit := 20
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List jobs, the newest first",
		Long: "List jobs, the newest first. Waiting, running and failed ones are found at once, however many others there\n" +
			"are. For what is rare in another way (cancelled, of a queue, with a lock) it may read all jobs: some seconds,\n" +
			"if there are millions.",
		Example: "  procrastinate jobs list --failed\n" +
			"  procrastinate jobs list --todo --doing --queue mail --limit 100\n" +
			"  procrastinate jobs list --before 1234        the page after the one that ended with 1234",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := joinUsage(wanted.check(cmd.LocalFlags()), checkPositive(cmd.Flags())); err != nil {
				return err
			}
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				var args arguments
				columns := jobRow()
				if options.json {
					columns = jobRecord
				}
				from, err := wanted.from(ctx, db, &args)
				if err != nil {
					return err
				}
				count, err := db.show(ctx, cmd.OutOrStdout(), options, columns+from+" order by j.id desc limit "+args.add(limit), args...)
				if err == nil && count == 0 && !options.json {
					fmt.Fprintln(cmd.ErrOrStderr(), "no jobs") // stdout is for rows
				}
				return err
			})
		},
	}
	wanted.addStatuses(cmd, allStatuses, "only of these statuses")
	wanted.addNames(cmd.Flags())
	cmd.Flags().StringVar(&wanted.lock, "lock", "", "only with this `lock`")
	cmd.Flags().IntVar(&limit, "limit", limit, "how many at most")
	cmd.Flags().IntVar(&wanted.before, "before", 0, "only those deferred before this `job`")
	return cmd
}

// oneJob wants the id of one job.
func oneJob(cmd *cobra.Command, args []string) (int64, error) {
	if len(args) != 1 {
		return 0, usageError{fmt.Errorf("one job is wanted, got %d; see: %s --help", len(args), cmd.CommandPath())}
	}
	ids, err := parseIDs(args)
	if err != nil {
		return 0, joinUsage(err)
	}
	return ids[0], nil
}

func parseIDs(args []string) ([]int64, error) {
	var ids []int64
	var faults []error
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || id <= 0 {
			faults = append(faults, fmt.Errorf("%q is not the id of a job", arg))
		}
		ids = append(ids, id)
	}
	return ids, errors.Join(faults...)
}
