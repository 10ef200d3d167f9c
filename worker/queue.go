package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is the part of *pgxpool.Pool that the queue needs.
type database interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// queue calls the worker protocol: each method is one call of one function.
type queue struct {
	db     database
	prefix string // the quoted schema with its dot, or nothing

	// explicit is set once a fetch or tick was refused for its isolation level: the session's default is another, and
	// through a pooler it cannot be changed for good, so every further one says READ COMMITTED itself.
	explicit atomic.Bool
}

func newQueue(db database, schema string) *queue {
	return &queue{db: db, prefix: prefixOf(schema)}
}

// prefixOf is the quoted schema with its dot, or nothing.
func prefixOf(schema string) string {
	if schema == "" {
		return ""
	}
	return pgx.Identifier{schema}.Sanitize() + "."
}

func version(ctx context.Context, db querier, schema string) (string, error) {
	versions, err := collect(ctx, db, pgx.RowTo[string], `select coalesce(`+prefixOf(schema)+`procrastinate_version(), '')`)
	if err != nil {
		return "", err
	}
	return versions[0], nil
}

// outcome is what the database says of a job whose end, or giving back, was asked for.
type outcome struct {
	id   int64
	what string
}

// The outcomes that mean that a job did not end as asked.
const (
	outcomeLost = "lost" // no longer held
	outcomeBusy = "busy" // its row is held by an open transaction
)

// failure is one failed attempt. Without retryIn the task's policy decides, unless it is final.
type failure struct {
	id      int64
	text    string
	retryIn *time.Duration
	final   bool
}

func (q *queue) register(ctx context.Context, c Config, tasks []string, info map[string]any) (int64, error) {
	text, err := json.Marshal(info) // a map would not do in the modes of pgx that ask no types of the server
	if err != nil {
		return 0, fmt.Errorf("encode info: %w", err)
	}
	return one(ctx, q, pgx.RowTo[int64],
		`select `+q.prefix+`procrastinate_register_worker($1::text, $2::text[], $3::text[], $4::interval, $5::jsonb)`,
		c.Name, c.Queues, tasks, c.StalledAfter, string(text))
}

// defineSchedules defines all of them in one transaction.
func (q *queue) defineSchedules(ctx context.Context, schedules []Schedule) error {
	return pgx.BeginTxFunc(ctx, q.db, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		for _, s := range schedules {
			args, err := s.encodedArgs()
			if err == nil {
				_, err = collect(ctx, tx, scanNothing,
					`select `+q.prefix+`procrastinate_define_schedule(schedule => $1::text, cron => $2::text, task => $3::text, `+
						`args => $4::jsonb, timezone => $5::text, queue => $6::text, priority => $7::integer, lock => $8::text, `+
						`queueing_lock => $9::text, catch_up => $10::text, max_lateness => $11::interval, pass_timestamp => $12::boolean)`,
					s.name(), s.Cron, s.Task, args, orNull(s.Timezone), orNull(s.Queue), orNull(s.Priority), orNull(s.Lock),
					orNull(s.QueueingLock), orNull(s.CatchUp), orNull(s.MaxLateness), s.PassTimestamp)
			}
			if err != nil {
				return fmt.Errorf("define schedule %q: %w", s.name(), err)
			}
		}
		return nil
	})
}

// orNull is NULL for a zero value: the database knows the default.
func orNull[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

func (q *queue) fetch(ctx context.Context, worker int64, limit, perLock int) ([]*Job, error) {
	jobs, _, err := q.claim(ctx,
		`select `+jobColumns+` from `+q.prefix+`procrastinate_fetch_jobs($1::bigint, $2::integer, $3::integer)`,
		worker, limit, perLock)
	return jobs, err
}

// exchange finishes and fetches in one transaction. The outcomes are of what did not end. Nil results are none of any job.
func (q *queue) exchange(
	ctx context.Context, worker int64, ids []int64, results []*string, limit, perLock int,
) ([]*Job, []outcome, error) {
	return q.claim(ctx,
		`select `+jobColumns+` from `+q.prefix+
			`procrastinate_exchange_jobs($1::bigint, $2::bigint[], $3::jsonb[], $4::integer, $5::integer)`,
		worker, ids, results, limit, perLock)
}

// finish returns the outcomes of what did not end. Nil results are none of any job.
func (q *queue) finish(ctx context.Context, worker int64, ids []int64, results []*string) ([]outcome, error) {
	return many(ctx, q, scanOutcome,
		`select job_id, outcome from `+q.prefix+`procrastinate_finish_jobs($1::bigint, $2::bigint[], $3::jsonb[])`,
		worker, ids, results)
}

// finishTx finishes one job in a transaction of somebody else's, and waits for its row.
func (q *queue) finishTx(ctx context.Context, tx pgx.Tx, worker, job int64, result *string) ([]outcome, error) {
	return collect(ctx, tx, scanOutcome,
		`select job_id, outcome from `+q.prefix+`procrastinate_finish_jobs($1::bigint, $2::bigint[], $3::jsonb[])`,
		worker, []int64{job}, []*string{result})
}

// fail returns an outcome for each failure: the job's new status, lost or busy.
func (q *queue) fail(ctx context.Context, worker int64, failures []failure) ([]outcome, error) {
	ids := make([]int64, len(failures))
	texts := make([]string, len(failures))
	waits := make([]*time.Duration, len(failures))
	finals := make([]bool, len(failures))
	for i, f := range failures {
		ids[i], texts[i], waits[i], finals[i] = f.id, f.text, f.retryIn, f.final
	}
	return many(ctx, q, scanOutcome,
		`select job_id, status::text from `+q.prefix+
			`procrastinate_fail_jobs($1::bigint, $2::bigint[], $3::text[], $4::interval[], $5::boolean[])`,
		worker, ids, texts, waits, finals)
}

func (q *queue) snooze(ctx context.Context, worker, job int64, wait time.Duration) (string, error) {
	return one(ctx, q, pgx.RowTo[string],
		`select `+q.prefix+`procrastinate_snooze_job($1::bigint, $2::bigint, $3::interval)::text`, worker, job, wait)
}

func (q *queue) abort(ctx context.Context, worker, job int64, text string) (string, error) {
	return one(ctx, q, pgx.RowTo[string],
		`select `+q.prefix+`procrastinate_abort_job($1::bigint, $2::bigint, $3::text)::text`, worker, job, text)
}

// giveBack returns the outcomes of what could not be given back.
func (q *queue) giveBack(ctx context.Context, worker int64, ids []int64) ([]outcome, error) {
	return many(ctx, q, scanOutcome,
		`select job_id, outcome from `+q.prefix+`procrastinate_return_jobs($1::bigint, $2::bigint[])`, worker, ids)
}

// keep puts back every job that the database thinks the worker holds, save these.
func (q *queue) keep(ctx context.Context, worker int64, ids []int64) ([]outcome, error) {
	return many(ctx, q, scanOutcome,
		`select job_id, outcome from `+q.prefix+`procrastinate_keep_jobs($1::bigint, $2::bigint[])`, worker, ids)
}

// beat proves that the worker lives, and returns the held jobs whose abort is requested.
func (q *queue) beat(ctx context.Context, worker int64) ([]int64, error) {
	return many(ctx, q, pgx.RowTo[int64], `select * from `+q.prefix+`procrastinate_beat($1::bigint)`, worker)
}

// tick returns the span until something is due, for the worker, or for nobody in particular.
func (q *queue) tick(ctx context.Context, worker *int64) (time.Duration, error) {
	return one(ctx, q, pgx.RowTo[time.Duration], `select `+q.prefix+`procrastinate_tick($1::bigint)`, worker)
}

func (q *queue) unregister(ctx context.Context, worker int64) error {
	_, err := many(ctx, q, scanNothing, `select `+q.prefix+`procrastinate_unregister_worker($1::bigint)`, worker)
	return err
}

func scanOutcome(row pgx.CollectableRow) (outcome, error) {
	var o outcome
	err := row.Scan(&o.id, &o.what)
	return o, err
}

func scanNothing(pgx.CollectableRow) (struct{}, error) { return struct{}{}, nil }

// many runs one call under READ COMMITTED and collects its rows.
func many[T any](ctx context.Context, q *queue, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	if !q.explicit.Load() {
		values, err := collect(ctx, q.db, scan, sql, args...)
		if !errors.Is(err, ErrIsolation) {
			return values, err
		}
		q.explicit.Store(true)
	}
	tx, err := q.db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // says only that the transaction is over already
	values, err := collect(ctx, tx, scan, sql, args...)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return values, nil
}

func collect[T any](ctx context.Context, db querier, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, Translate(err)
	}
	values, err := pgx.CollectRows(rows, scan)
	return values, Translate(err)
}

// one is many for a call that returns exactly one row.
func one[T any](ctx context.Context, q *queue, scan pgx.RowToFunc[T], sql string, args ...any) (value T, err error) {
	values, err := many(ctx, q, scan, sql, args...)
	switch {
	case err != nil:
		return value, err
	case len(values) != 1:
		return value, fmt.Errorf("%d rows instead of one: %s", len(values), sql)
	default:
		return values[0], nil
	}
}

// channelName cuts a name as PostgreSQL does: at 63 bytes, on a character's boundary.
func channelName(queue string) string {
	return cutText("procrastinate_queue_v1#"+strings.ToValidUTF8(queue, ""), 63)
}
