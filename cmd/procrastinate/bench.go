package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// bench defers jobs of a task of its own, and works them in this process.
type bench struct {
	db       *database
	pool     *pgxpool.Pool
	name     string // of the queue and of the task
	schema   string
	pooler   bool
	ids      []int64
	count    int // of jobs
	parallel int
	stderr   io.Writer
}

func benchCommand(options *options) *cobra.Command {
	b := &bench{count: 10_000, parallel: 100}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast jobs are deferred and run here",
		Long: "Measure how fast jobs are deferred and run: by this machine, with this server, over the network between\n" +
			"them. Other work on the database slows it, and is slowed by it. The figures are of no other installation.\n\n" +
			"Defers jobs that do nothing, a thousand in a transaction, then runs them with a worker in this process, then\n" +
			"defers single ones and waits for each: latency is from the call of defer to the start of the handler.\n\n" +
			"The jobs are of a queue and a task of their own, and deleted at the end, also after an interruption. It needs\n" +
			"the right to delete jobs.",
		Example: "  procrastinate bench\n  procrastinate bench --jobs 100000 --concurrency 200 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b.name = "procrastinate-bench-" + strings.ToLower(rand.Text()[:10])
			b.schema, b.pooler, b.stderr = options.schema, options.pooler, cmd.ErrOrStderr()
			if err := joinUsage(options.wrong(), checkPositive(cmd.Flags()), b.config().Validate()); err != nil {
				return err
			}
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				report, err := b.measure(ctx, db, options)
				if err != nil {
					return err
				}
				return report.print(cmd.OutOrStdout(), options)
			})
		},
	}
	cmd.Flags().IntVar(&b.count, "jobs", b.count, "how many jobs to defer and run")
	cmd.Flags().IntVar(&b.parallel, "concurrency", b.parallel, "how many handlers run at once")
	return cmd
}

func (b *bench) measure(ctx context.Context, db *database, options *options) (report benchReport, err error) {
	config, err := options.poolConfig()
	if err != nil {
		return report, err
	}
	if b.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return report, fmt.Errorf("open pool: %w", err)
	}
	defer b.pool.Close()
	b.db = db
	if err := b.clean(ctx); err != nil { // while there is nothing: may it?
		return report, err
	}
	defer func() { err = errors.Join(err, b.clean(context.WithoutCancel(ctx))) }()

	report = benchReport{Jobs: b.count, Concurrency: b.parallel, Server: db.conn.PgConn().ParameterStatus("server_version")}
	for _, part := range []func(context.Context, *benchReport) error{b.deferAll, b.drain, b.wait} {
		if err := part(ctx, &report); err != nil {
			return report, err
		}
		if err := ctx.Err(); err != nil {
			return report, err
		}
	}
	return report, nil
}

// deferAll is interrupted only between two batches: what it deferred must be known, to be deleted.
func (b *bench) deferAll(ctx context.Context, report *benchReport) error {
	progress := newProgress(b.stderr, "deferring", "jobs", int64(b.count))
	defer progress.end()
	begin := time.Now()
	for left := b.count; left > 0 && ctx.Err() == nil; left -= maxBatch {
		count := min(left, maxBatch)
		if err := b.deferJobs(context.WithoutCancel(ctx), count); err != nil {
			return err
		}
		progress.add(count)
	}
	report.DeferRate = float64(b.count) / time.Since(begin).Seconds()
	return nil
}

func (b *bench) deferJobs(ctx context.Context, count int) error {
	rows, err := b.db.conn.Query(ctx, b.db.qualified(`
		select d.id
		from procrastinate_defer_many((
			select jsonb_agg(jsonb_build_object('task', $1::text, 'queue', $1::text)) from generate_series(1, $2::integer)
		)) d(id)`), b.name, count)
	if err != nil {
		return told(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		b.ids = append(b.ids, id)
	}
	return told(rows.Err())
}

// drain measures until the end of the last job is stored.
func (b *bench) drain(ctx context.Context, report *benchReport) error {
	progress := newProgress(b.stderr, "running", "jobs", int64(b.count))
	defer progress.end()
	w, err := b.worker(true, func() { progress.add(1) })
	if err != nil {
		return err
	}
	begin := time.Now()
	err = w.Run(ctx)
	report.DrainRate = float64(b.count) / time.Since(begin).Seconds()
	return err
}

// wait measures single jobs, as many as ten seconds allow, after the worker has warmed up.
func (b *bench) wait(ctx context.Context, report *benchReport) error {
	const warmUp, most = 20, 200
	working, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	started, ended := make(chan struct{}, 1), make(chan error, 1)
	w, err := b.worker(false, func() { started <- struct{}{} })
	if err != nil {
		return err
	}
	go func() { ended <- w.Run(working) }()
	for i := 0; i < warmUp+most && working.Err() == nil; i++ {
		begin := time.Now()
		if err = b.deferJobs(context.WithoutCancel(ctx), 1); err != nil {
			break
		}
		select {
		case <-started:
			if i >= warmUp {
				report.waits = append(report.waits, time.Since(begin))
			}
		case <-working.Done():
		}
	}
	stop()
	return errors.Join(err, <-ended)
}

func (b *bench) config() worker.Config {
	return worker.Config{Name: b.name, Schema: b.schema, Queues: []string{b.name}, Concurrency: b.parallel, DisableListen: b.pooler}
}

func (b *bench) worker(oneShot bool, started func()) (*worker.Worker, error) {
	config := b.config()
	config.OneShot = oneShot
	w, err := worker.New(b.pool, config)
	if err != nil {
		return nil, usageError{err}
	}
	w.Handle(b.name, func(context.Context, *worker.Job) (any, error) { started(); return nil, nil })
	return w, nil
}

// clean deletes what was made. What stays is a row for its lane, and those are never deleted.
func (b *bench) clean(ctx context.Context) error {
	_, err := b.db.conn.Exec(ctx, b.db.qualified(`delete from procrastinate_jobs j where j.id = any ($1::bigint[])`), b.ids)
	if err == nil {
		_, err = b.db.conn.Exec(ctx, b.db.qualified(`delete from procrastinate_tasks t where t.task_name = $1::text`), b.name)
	}
	if err != nil {
		return fmt.Errorf("delete the %d jobs of task %s: %w", len(b.ids), b.name, lacking("select, delete", err))
	}
	return nil
}
