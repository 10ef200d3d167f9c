package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// act is what a command does to one job. It returns what became of the job, for a person and as its status.
type act func(ctx context.Context, db *database, id int64) (became, status string, err error)

// outcome is what became of one job, for programs.
type outcome struct {
	ID     int64  `json:"id"`
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// actOnEach does the same to several jobs, each for itself: what is not possible for one does not keep it from the
// others. The error names those it was not possible for.
func actOnEach(ctx context.Context, options *options, out io.Writer, ids []int64, do act) error {
	return withDatabase(ctx, options, func(ctx context.Context, db *database) error {
		outcomes := []outcome{}
		var faults []error
		for _, id := range ids {
			became, status, err := do(ctx, db, id)
			if err != nil {
				err = told(err)
				faults = append(faults, err)
				outcomes = append(outcomes, outcome{ID: id, Error: err.Error()})
				if !errors.Is(err, worker.ErrNoJob) && !errors.Is(err, worker.ErrJobStatus) {
					break // the next one would meet it too
				}
				continue
			}
			outcomes = append(outcomes, outcome{ID: id, Status: status})
			if !options.json {
				fmt.Fprintf(out, "job %d %s\n", id, became)
			}
		}
		if options.json {
			faults = append(faults, printJSON(out, outcomes))
		}
		return errors.Join(faults...)
	})
}

// callForStatus calls a function that returns the status a job now has.
func callForStatus(ctx context.Context, db *database, sql string, args ...any) (status string, err error) {
	err = db.conn.QueryRow(ctx, db.qualified(sql), args...).Scan(&status)
	return status, err
}

func cancelJob(abort bool) act {
	return func(ctx context.Context, db *database, id int64) (became, status string, err error) {
		status, err = callForStatus(ctx, db, `select procrastinate_cancel_job($1, abort => $2)::text`, id, abort)
		if status == "doing" {
			return "asked to stop", status, err
		}
		return status, status, err
	}
}

func retryJob(in *span) act {
	return func(ctx context.Context, db *database, id int64) (became, status string, err error) {
		status, err = callForStatus(ctx, db, `select procrastinate_retry_job($1, schedule_in => $2)::text`, id, in.interval())
		return "todo again", status, err
	}
}

// deleteJob leaves a running job: its handler would go on, and nobody would know of it.
func deleteJob(ctx context.Context, db *database, id int64) (became, status string, err error) {
	status, err = callForStatus(ctx, db, `delete from procrastinate_jobs j where j.id = $1 and j.status <> 'doing' returning 'deleted'`, id)
	if !errors.Is(err, pgx.ErrNoRows) {
		return status, status, lacking("select, delete", err)
	}
	status, err = callForStatus(ctx, db, `select j.status::text from procrastinate_jobs j where j.id = $1`, id)
	if err == nil {
		err = plainError{fmt.Sprintf("job %d is %s (procrastinate jobs cancel --abort %[1]d asks it to stop)", id, status), worker.ErrJobStatus}
	}
	return "", "", orNoJob(id, err)
}

func jobsChangeCommand(options *options) *cobra.Command {
	var priority int32
	var queue, at string
	var in *span
	cmd := &cobra.Command{
		Use:   "change ID…",
		Short: "Give waiting jobs another priority, queue or time",
		Long: "Give waiting jobs another priority, queue or time. What is not given stays.\n\n" +
			"A time is as PostgreSQL reads it, in the session's time zone: 2026-05-04 17:30, 2026-05-04T15:30Z, tomorrow.",
		Example: "  procrastinate jobs change 1234 --priority 10\n" +
			"  procrastinate jobs change 1234 1235 --queue slow --in 2h\n" +
			"  procrastinate jobs change 1234 --at now",
		RunE: func(cmd *cobra.Command, args []string) error {
			flags := cmd.Flags()
			var faults []error
			if len(args) == 0 {
				faults = append(faults, errors.New("which jobs? Name them by their ids"))
			}
			if !flags.Changed("priority") && !flags.Changed("queue") && !flags.Changed("at") && !flags.Changed("in") {
				faults = append(faults, errors.New("nothing to change: use --priority, --queue, --at or --in"))
			}
			if flags.Changed("at") && flags.Changed("in") {
				faults = append(faults, errors.New("--at and --in: one of them"))
			}
			ids, err := parseIDs(args)
			if err := joinUsage(append(faults, err, emptyFlags(cmd.LocalFlags()))...); err != nil {
				return err
			}
			var given struct {
				priority  *int32
				queue, at *string
			}
			if flags.Changed("priority") {
				given.priority = &priority
			}
			if flags.Changed("queue") {
				given.queue = &queue
			}
			if flags.Changed("at") {
				given.at = &at
			}
			return actOnEach(cmd.Context(), options, cmd.OutOrStdout(), ids, func(ctx context.Context, db *database, id int64) (became, status string, err error) {
				status, err = callForStatus(ctx, db,
					`select procrastinate_change_job($1, priority => $2, queue => $3, schedule_at => coalesce($4::text::timestamptz, clock_timestamp() + $5::interval))::text`,
					id, given.priority, given.queue, given.at, in.interval())
				return "changed", status, toldOf(flags, err)
			})
		},
	}
	cmd.Flags().Int32Var(&priority, "priority", 0, "higher runs first")
	cmd.Flags().StringVar(&queue, "queue", "", "the `queue` to wait in")
	cmd.Flags().StringVar(&at, "at", "", "not before this `time`")
	in = spanFlag(cmd.Flags(), "in", "not before this span from now, as in 90s, 2h or 3d")
	return cmd
}
