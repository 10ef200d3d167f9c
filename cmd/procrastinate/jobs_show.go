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

// A job that waits for something may have thousands of attempts: the last are shown.
const (
	shownHistory = 20
	jsonHistory  = 1000
)

const history = `select a.at, a.kind, a.attempt, a.worker_id as worker, a.scheduled_at as again_at, a.error
	from (select x.* from procrastinate_attempts x where x.job_id = $1 order by x.id desc limit $2) a order by a.id`

func jobsShowCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show all of a job, its history, and why it is not running",
		Long: "Show all of a job, why it is not running, and its history: each end of an attempt that was not plain success,\n" +
			"each request to stop and each retry by hand; of these the last 20, with --json the last 1,000.",
		Example: "  procrastinate jobs show 1234\n" +
			"  procrastinate jobs show 1234 --json | jq .args",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := oneJob(cmd, args)
			if err != nil {
				return err
			}
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				if options.json {
					return orNoJob(id, db.showOne(ctx, cmd.OutOrStdout(), options, jobRecord+`,
						(select coalesce(json_agg(a order by a.id), '[]')
							from (select x.* from procrastinate_attempts x where x.job_id = j.id order by x.id desc limit $2) a) as history,
						(select coalesce(json_agg(e), '[]') from procrastinate_explain_job(j.id) e) as explanation
						from procrastinate_jobs j where j.id = $1`, id, jsonHistory))
				}
				return showJob(ctx, db, options, cmd.OutOrStdout(), id)
			})
		},
	}
}

func showJob(ctx context.Context, db *database, options *options, out io.Writer, id int64) error {
	err := db.showOne(ctx, out, options, jobRecord+` from procrastinate_jobs j where j.id = $1`, id)
	if err != nil {
		return orNoJob(id, err)
	}
	reasons, err := explain(ctx, db, id)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	if _, err := io.WriteString(out, sentences(reasons)); err != nil {
		return err
	}
	var count int
	err = db.conn.QueryRow(ctx, db.qualified(`select count(*) from procrastinate_attempts a where a.job_id = $1`), id).Scan(&count)
	if err != nil || count == 0 {
		return told(err)
	}
	fmt.Fprintln(out)
	_, err = db.show(ctx, out, options, history, id, shownHistory)
	if err == nil && count > shownHistory {
		_, err = fmt.Fprintf(out, "… and %s more, before these\n", thousands(int64(count-shownHistory)))
	}
	return err
}

// orNoJob names the job of which a query found no row.
func orNoJob(id int64, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return plainError{fmt.Sprintf("job %d does not exist (It may have been deleted or pruned.)", id), worker.ErrNoJob}
	}
	return err
}

func jobsExplainCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Tell why a job is not running",
		Long: "Tell why a job is not running: whatever is in its way, the decisive first. The word at the beginning of a line\n" +
			"is the reason that procrastinate_explain_job gives; docs/sql.md lists them.",
		Example: "  procrastinate jobs explain 1234\n" +
			"  procrastinate jobs explain 1234 --json | jq -r '.[0].reason'",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := oneJob(cmd, args)
			if err != nil {
				return err
			}
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				if options.json {
					_, err := db.show(ctx, cmd.OutOrStdout(), options, `select e.reason, e.detail from procrastinate_explain_job($1) e`, id)
					return err
				}
				reasons, err := explain(ctx, db, id)
				if err != nil {
					return err
				}
				_, err = io.WriteString(cmd.OutOrStdout(), sentences(reasons))
				return err
			})
		},
	}
}

func explain(ctx context.Context, db *database, id int64) ([]reason, error) {
	rows, err := db.conn.Query(ctx, db.qualified(`select e.reason, e.detail from procrastinate_explain_job($1) e`), id)
	if err != nil {
		return nil, told(err)
	}
	reasons, err := pgx.CollectRows(rows, pgx.RowToStructByPos[reason])
	return reasons, told(err)
}
