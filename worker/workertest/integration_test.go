//go:build integration

package workertest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/workertest"
)

// site is a transaction in a schema of its own, and a worker for it.
func site(t *testing.T, handlers map[string]worker.Handler, options pgx.TxOptions) (workertest.Queue, *worker.Worker) {
	t.Helper()
	schema := testdb.Installed(t)
	pool, err := pgxpool.New(t.Context(), testdb.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w, err := worker.New(pool, worker.Config{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	for task, handler := range handlers {
		w.Handle(task, handler)
	}
	tx, err := testdb.Connect(t, schema).BeginTx(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return workertest.Queue{Tx: tx, Schema: schema}, w
}

func do(t *testing.T, q workertest.Queue, sql string, args ...any) {
	t.Helper()
	if _, err := q.Tx.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// describe is how each run ended.
func describe(ends []worker.Ended) string {
	lines := make([]string, len(ends))
	for i, end := range ends {
		lines[i] = strings.TrimSpace(fmt.Sprint(end.Job.Task, " ", end.How, " ", end.Result, end.Status, " ", end.Error))
	}
	return strings.Join(lines, "; ")
}

func TestWorkRunsWhatIsDueInTheTransactionOfTheTest(t *testing.T) {
	var q workertest.Queue
	snoozed := false
	handlers := map[string]worker.Handler{
		"order": func(ctx context.Context, _ *worker.Job) (any, error) {
			_, err := q.Tx.Exec(ctx, "select procrastinate_defer('bill', lock => 'a'), procrastinate_defer('bill', lock => 'a')")
			return nil, err
		},
		"bill": func(ctx context.Context, job *worker.Job) (any, error) {
			tx, err := q.Tx.Begin(ctx)
			if err != nil {
				return nil, err
			}
			if err := worker.FinishTx(ctx, tx, job.ID); err != nil {
				return nil, err
			}
			return nil, tx.Commit(ctx)
		},
		"broken": func(ctx context.Context, _ *worker.Job) (any, error) {
			if _, err := q.Tx.Exec(ctx, "create table broken ()"); err != nil {
				return nil, err
			}
			_, err := q.Tx.Exec(ctx, "select 1 / 0")
			return nil, fmt.Errorf("divide: %w", err)
		},
		"forgets": func(ctx context.Context, _ *worker.Job) (any, error) {
			tx, err := q.Tx.Begin(ctx)
			if err != nil {
				return nil, err
			}
			return nil, worker.FinishTx(ctx, tx, nil)
		},
		"elsewhere": func(ctx context.Context, _ *worker.Job) (any, error) {
			conn := testdb.Connect(t, "")
			tx, err := conn.Begin(ctx)
			if err != nil {
				return nil, err
			}
			defer func() { _ = tx.Rollback(ctx) }()
			return nil, worker.FinishTx(ctx, tx, nil)
		},
		"panics": func(context.Context, *worker.Job) (any, error) { panic("oh no") },
		"tired": func(context.Context, *worker.Job) (any, error) {
			if !snoozed {
				snoozed = true
				return nil, worker.Snooze(0)
			}
			return nil, nil
		},
		"again": func(context.Context, *worker.Job) (any, error) {
			return nil, worker.RetryIn(errors.New("busy"), time.Hour)
		},
	}
	q, w := site(t, handlers, pgx.TxOptions{})
	do(t, q, `select procrastinate_defer('order'), procrastinate_defer('order', schedule_in => '1 hour'), procrastinate_defer('broken'), procrastinate_defer('elsewhere'), procrastinate_defer('forgets'),
	                 procrastinate_defer('panics'), procrastinate_defer('tired'), procrastinate_defer('again', max_attempts => 2), procrastinate_defer('unknown')`)
	ends := q.Work(t, w)
	got := describe(ends)
	for _, want := range []string{
		"order finished", `bill finished 10`, "elsewhere failed failed finish job", "begin this one there, as a savepoint",
		"forgets failed failed the transaction in which the job was finished was not committed", "broken failed failed divide: ERROR: division by zero", "panics failed failed panic: oh no",
		"tired snoozed", "tired finished", "again failed todo busy",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if len(ends) != 10 {
		t.Errorf("%d runs, want 10: %s", len(ends), got)
	}
	do(t, q, "create table broken ()") // what the broken handler wrote is undone
	if jobs := q.Deferred(t, "order"); len(jobs) != 1 || jobs[0].ScheduledAt == nil {
		t.Errorf("got %v, want the one order of the future", jobs)
	}
	q.WantDeferred(t, "unknown", nil)
	q.WantNone(t, "bill", nil)
	if more := q.Work(t, w); len(more) > 0 {
		t.Errorf("a second time: %s", describe(more))
	}
}

// failing is a test that may fail.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}

// saidBy is what a failing test says.
func saidBy(t *testing.T, test func(testing.TB)) string {
	f := &failing{TB: t}
	func() {
		defer func() { _ = recover() }()
		test(f)
	}()
	return f.said
}

func TestAssertionsFail(t *testing.T) {
	q, w := site(t, map[string]worker.Handler{
		"spin": func(context.Context, *worker.Job) (any, error) { return nil, worker.Snooze(0) },
	}, pgx.TxOptions{})
	do(t, q, `select procrastinate_defer('bill', '{"order_id": 42, "to": "a"}'), procrastinate_defer('bill', '{"order_id": 43}')`)
	if job := q.WantDeferred(t, "bill", map[string]any{"order_id": 42}); string(job.Args) != `{"to": "a", "order_id": 42}` {
		t.Errorf("got %s", job.Args)
	}
	tests := map[string]func(testing.TB){
		`0 jobs of task "bill" wait with args that contain {"order_id":44}, want one; those of the task have: {"to": "a", "order_id": 42} {"order_id": 43}`: func(t testing.TB) {
			q.WantDeferred(t, "bill", map[string]any{"order_id": 44})
		},
		`2 jobs of task "bill" wait with args that contain {}, want one`: func(t testing.TB) { q.WantDeferred(t, "bill", nil) },
		`2 jobs of task "bill" wait, want none`:                          func(t testing.TB) { q.WantNone(t, "bill", nil) },
		`those of the task have: there are none`:                         func(t testing.TB) { q.WantDeferred(t, "mail", nil) },
		`encode args`:                                                    func(t testing.TB) { q.WantDeferred(t, "bill", func() {}) },
	}
	for want, test := range tests {
		if got := saidBy(t, test); !strings.Contains(got, want) {
			t.Errorf("said %q, want %q", got, want)
		}
	}
	do(t, q, "select procrastinate_defer('spin')")
	if got := saidBy(t, func(t testing.TB) { q.Work(t, w) }); !strings.Contains(got, "due again after 100 runs") {
		t.Errorf("a job that is always due: said %q", got)
	}
}

func TestWorkNeedsReadCommitted(t *testing.T) {
	q, w := site(t, map[string]worker.Handler{"a": func(context.Context, *worker.Job) (any, error) { return nil, nil }},
		pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if _, err := w.WorkTx(t.Context(), q.Tx); !errors.Is(err, worker.ErrIsolation) {
		t.Errorf("got %v, want ErrIsolation", err)
	}
}
