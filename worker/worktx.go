package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxRuns is how often WorkTx runs one job that asks to be run again at once.
const maxRuns = 100

// WorkTx runs in the given transaction, which must be READ COMMITTED, what is due there for the worker's tasks and queues: one job
// after the other in the caller's goroutine, until nothing is due, also what those jobs deferred. It returns how each ended, in
// order. It is for tests (see package workertest): the transaction sees jobs that it deferred itself, and its rollback undoes all.
//
// A handler that leaves the transaction broken has its writes since it began undone; a panic is a failure. The error is not a
// job's: the database refused a call, or a job was due again a hundred times.
func (w *Worker) WorkTx(ctx context.Context, tx pgx.Tx) ([]Ended, error) {
	groups, err := w.groups()
	if err != nil {
		return nil, err
	}
	q := &queue{db: txDatabase{tx}, prefix: w.queue.prefix}
	t := &txWork{queue: q, handlers: map[string]Handler{}, runs: map[int64]int{}}
	for _, g := range groups {
		maps.Copy(t.handlers, g.handlers)
	}
	t.worker, err = q.register(ctx, w.config, slices.Sorted(maps.Keys(t.handlers)), map[string]any{"version": Version})
	if err != nil {
		return nil, fmt.Errorf("register worker: %w", err)
	}
	for {
		if _, err := q.tick(ctx, nil); err != nil {
			return t.ends, fmt.Errorf("tick: %w", err)
		}
		jobs, err := q.fetch(ctx, t.worker, 1, 1)
		if err != nil {
			return t.ends, fmt.Errorf("fetch: %w", err)
		}
		if len(jobs) == 0 {
			break
		}
		if err := t.run(ctx, tx, jobs[0]); err != nil {
			return t.ends, fmt.Errorf("job %d (%s): %w", jobs[0].ID, jobs[0].Task, err)
		}
	}
	return t.ends, q.unregister(ctx, t.worker)
}

// txDatabase lets a queue work in one transaction, as it is.
type txDatabase struct{ pgx.Tx }

func (txDatabase) BeginTx(context.Context, pgx.TxOptions) (pgx.Tx, error) {
	return nil, fmt.Errorf("%w: the transaction is not READ COMMITTED", ErrIsolation)
}

// txWork is the work in one transaction.
type txWork struct {
	queue    *queue
	handlers map[string]Handler
	worker   int64
	runs     map[int64]int // of each job
	ends     []Ended
}

func (t *txWork) run(ctx context.Context, tx pgx.Tx, job *Job) error {
	if t.runs[job.ID]++; t.runs[job.ID] > maxRuns {
		return fmt.Errorf("due again after %d runs", maxRuns)
	}
	savepoint, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	end, finishedIn := t.handle(ctx, job)
	end.took = time.Since(began)
	if finishedIn != nil && finishedIn.tx != tx {
		// The release of our savepoint would also commit one that the handler forgot to.
		if err := finishedIn.tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			return err
		}
	}
	if tx.Conn().PgConn().TxStatus() == 'E' {
		err = savepoint.Rollback(ctx)
	} else {
		err = savepoint.Commit(ctx)
	}
	if err != nil {
		return err
	}
	return t.finish(ctx, job, end)
}

func (t *txWork) handle(ctx context.Context, job *Job) (ending, *inTxResult) {
	a := &attempt{job: job, given: *job, queue: t.queue, worker: t.worker, inTest: true}
	ctx = context.WithValue(ctx, attemptKey{}, a)
	if job.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, job.Timeout, ErrTimeout)
		defer cancel()
	}
	result, _, err := call(ctx, t.handlers[job.Task], &a.given)
	return settle(context.Cause(ctx), a, result, err), a.finishedInTx.Load()
}

// finish tells the database how the job ended.
func (t *txWork) finish(ctx context.Context, job *Job, end ending) error {
	outcomes, err := endAlone(ctx, t.queue, t.worker, job.ID, end)
	if err != nil {
		return err
	}
	how, status := end.kind.outcome(), ""
	for _, o := range outcomes {
		switch {
		case o.what == outcomeLost && end.kind == finished:
			how, end.text = OutcomeFinished, ""
		case o.what == outcomeLost || o.what == outcomeBusy:
			how = OutcomeLost
		case how == OutcomeFailed:
			status = o.what
		}
	}
	t.ends = append(t.ends, end.event(job, how, status))
	return nil
}
