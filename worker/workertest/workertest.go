// Package workertest helps to test what defers jobs, and what runs them, in a transaction that is rolled back in the end.
//
//	tx := begin(t)                                  // of the test's; rolled back when it ends
//	placeOrder(ctx, tx, 42)                         // the code under test
//	queue := workertest.Queue{Tx: tx}
//	queue.WantDeferred(t, "bill", map[string]any{"order_id": 42})
//	for _, end := range queue.Work(t, w) {          // w has the handlers
//		…
//	}
//
// The transaction must be READ COMMITTED, PostgreSQL's default. Handlers that shall see what the test wrote, and be undone with it,
// work in the same transaction. In one database, a test whose worker has tasks that no worker registered before waits for the end of
// others that do.
//
// A handler that begins a transaction of its own, for worker.FinishTx, takes whatever can begin one: then it is given the pool in
// the program, and in the test the test's transaction, where it begins a savepoint.
//
//	type beginner interface{ Begin(context.Context) (pgx.Tx, error) }
package workertest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// Queue is the queue as one transaction sees it.
type Queue struct {
	Tx pgx.Tx

	// Schema holds the tables and functions. Zero means whatever search_path finds.
	Schema string
}

// Job is a job that waits.
type Job struct {
	ID           int64
	Task         string
	Queue        string
	Args         json.RawMessage
	Priority     int32
	Lock         *string
	QueueingLock *string
	ScheduledAt  *time.Time // nil for a job that is due at once
}

// Work runs what is due in the transaction for the worker's tasks, one job after the other, also what those jobs deferred, and
// returns how each run ended. The worker was made by worker.New with the same schema and need not run. It fails the test if
// the database refuses a call, or if a job is due again and again.
func (q Queue) Work(t testing.TB, w *worker.Worker) []worker.Ended {
	t.Helper()
	ends, err := w.WorkTx(t.Context(), q.Tx)
	if err != nil {
		t.Fatalf("work: %v", err)
	}
	return ends
}

// Deferred returns the jobs of a task that wait in the transaction, due or not, in the order of their ids.
func (q Queue) Deferred(t testing.TB, task string) []Job {
	t.Helper()
	return q.deferred(t, task, json.RawMessage(`{}`))
}

// WantDeferred fails the test unless exactly one job of the task waits whose args contain those given, as jsonb's @> does, and
// returns that job. args is anything that encodes as a JSON object; nil is any.
func (q Queue) WantDeferred(t testing.TB, task string, args any) Job {
	t.Helper()
	wanted := encode(t, args)
	jobs := q.deferred(t, task, wanted)
	if len(jobs) != 1 {
		t.Fatalf("%d jobs of task %q wait with args that contain %s, want one; those of the task have: %s",
			len(jobs), task, wanted, argsOf(q.Deferred(t, task)))
	}
	return jobs[0]
}

// WantNone fails the test if a job of the task waits whose args contain those given; nil is any.
func (q Queue) WantNone(t testing.TB, task string, args any) {
	t.Helper()
	if jobs := q.deferred(t, task, encode(t, args)); len(jobs) > 0 {
		t.Fatalf("%d jobs of task %q wait, want none: %s", len(jobs), task, argsOf(jobs))
	}
}

func (q Queue) deferred(t testing.TB, task string, args json.RawMessage) []Job {
	t.Helper()
	rows, err := q.Tx.Query(t.Context(),
		`select j.id, j.task_name, j.queue_name, j.args, j.priority, j.lock, j.queueing_lock, j.scheduled_at
		 from `+q.table()+` j
		 where j.task_name = $1 and j.status = 'todo' and j.args @> $2
		 order by j.id`, task, args)
	if err != nil {
		t.Fatalf("look for deferred jobs: %v", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Job])
	if err != nil {
		t.Fatalf("look for deferred jobs: %v", err)
	}
	return jobs
}

func (q Queue) table() string {
	if q.Schema == "" {
		return "procrastinate_jobs"
	}
	return pgx.Identifier{q.Schema, "procrastinate_jobs"}.Sanitize()
}

func encode(t testing.TB, args any) json.RawMessage {
	t.Helper()
	if args == nil {
		return json.RawMessage(`{}`)
	}
	encoded, err := json.Marshal(args)
	if err != nil {
		t.Fatalf("encode args: %v", err)
	}
	return encoded
}

func argsOf(jobs []Job) string {
	if len(jobs) == 0 {
		return "there are none"
	}
	all := make([]string, len(jobs))
	for i, job := range jobs {
		all[i] = string(job.Args)
	}
	return strings.Join(all, " ")
}
