package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// futureRuns are the next five of a schedule s. One that is due already is not among them: it may be skipped.
const futureRuns = `(
	with recursive run(at, n) as (
		select case when s.next_at > clock_timestamp() then s.next_at else procrastinate_cron_next(s.cron, clock_timestamp(), s.timezone) end, 1
		where s.enabled
		union all
		select procrastinate_cron_next(s.cron, r.at, s.timezone), r.n + 1 from run r where r.n < 5
	)
	select r.at from run r)`

const nextRuns = `(select coalesce(json_agg(f.at order by f.at), '[]') from ` + futureRuns + ` f) as next_runs`

// scheduleRecord is all of a schedule, save its number, which is ours.
const scheduleRecord = `select s.schedule_name, s.cron, s.timezone, s.task_name, s.args, s.queue_name, s.priority, s.lock, s.queueing_lock,
	s.catch_up, s.max_lateness, s.pass_timestamp, s.enabled, s.defined_at, s.next_at, v.overdue_for, s.last_at, s.last_job_id, v.last_job_status,
	s.skipped_at, s.skipped_why`

const scheduleNamed = ` from procrastinate_schedules s
	join procrastinate_schedule_status v on v.schedule_name = s.schedule_name where s.schedule_name = $1`

func schedulesShowCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:   "show SCHEDULE",
		Short: "Show all of a schedule, its next runs and its last job",
		Long:  "Show all of a schedule, its next 5 runs, also as its own time zone's clock shows them, and its last job.",
		Example: "  procrastinate schedules show report\n" +
			"  procrastinate schedules show report --json | jq -r '.next_runs[]'",
		ValidArgsFunction: complete(options, scheduleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneSchedule(cmd, args); err != nil {
				return err
			}
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				if options.json {
					return orNoSchedule(args[0], db.showOne(ctx, cmd.OutOrStdout(), options, scheduleRecord+`, `+nextRuns+`,
						(select row_to_json(l) from (`+jobRecord+` from procrastinate_jobs j where j.id = s.last_job_id) l) as last_job`+scheduleNamed, args[0]))
				}
				return showSchedule(ctx, db, options, cmd.OutOrStdout(), args[0])
			})
		},
	}
}

func showSchedule(ctx context.Context, db *database, options *options, out io.Writer, name string) error {
	if err := db.showOne(ctx, out, options, scheduleRecord+scheduleNamed, name); err != nil {
		return orNoSchedule(name, err)
	}
	for _, sql := range []string{
		`select f.at as next_run, ` + age("f.at") + ` as "in", to_char(f.at at time zone s.timezone, 'Dy YYYY-MM-DD HH24:MI:SS') as local_time
			from procrastinate_schedules s cross join lateral ` + futureRuns + ` f where s.schedule_name = $1 order by f.at`,
		jobRow() + ` from procrastinate_jobs j where j.id = (select s.last_job_id from procrastinate_schedules s where s.schedule_name = $1)`,
	} {
		var table strings.Builder
		if _, err := db.show(ctx, &table, options, sql, name); err != nil {
			return err
		}
		if table.Len() > 0 {
			fmt.Fprintf(out, "\n%s", table.String())
		}
	}
	return nil
}

// orNoSchedule names the schedule of which a query found no row.
func orNoSchedule(name string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return plainError{fmt.Sprintf("schedule %s is not defined (procrastinate schedules lists those that are.)", name), worker.ErrUnknownName}
	}
	return err
}
