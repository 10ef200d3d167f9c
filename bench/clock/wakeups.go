package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

const (
	oneQueue   = "one"
	otherQueue = "other"
)

// An idle worker that found something looks again after 10, 30, 70, 150, 310 ms. Whatever comes at the end of a gap comes at least
// 60 ms before the next of these looks, so none of them makes a wake-up that was lost look quick.
func gap() time.Duration { return 160*time.Millisecond + rand.N(90*time.Millisecond) }

func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }

func wait(ctx context.Context, span time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(span):
		return nil
	}
}

// repeat measures one by one, after some that do not count: the worker is starting.
func (r *room) repeat(
	ctx context.Context, name string, t lab.Target, count int, gap func() time.Duration, once func() (time.Duration, error),
) error {
	const warmUp = 3
	var spans []time.Duration
	end := time.Now().Add(longest)
	for i := range warmUp + r.plan.count(count) {
		if time.Now().After(end) {
			break
		}
		if err := wait(ctx, gap()); err != nil {
			return err
		}
		span, err := once()
		if err != nil {
			return err
		}
		if i >= warmUp {
			spans = append(spans, span)
		}
	}
	if len(spans) == 0 {
		return fmt.Errorf("%s: nothing was measured in %s", name, longest)
	}
	r.waits(name, t, spans)
	return nil
}

// deferred says what was deferred: its id, and when the commit was sent.
type deferred struct {
	id int64
	at time.Time
}

// defers defers a job. A commit may wake a worker before its answer is here, so time counts from when it was sent.
func (r *room) defers(ctx context.Context, task, queue string, more string, args ...any) (d deferred, err error) {
	tx, err := r.conn.Begin(ctx)
	if err != nil {
		return d, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after the commit it does nothing
	sql := fmt.Sprintf(`select procrastinate_defer($1, queue => $2%s)`, more)
	if err := tx.QueryRow(ctx, sql, append([]any{task, queue}, args...)...).Scan(&d.id); err != nil {
		return d, err
	}
	d.at = time.Now()
	return d, tx.Commit(ctx)
}

// since is how long after an instant the handler of the job started.
func (r *room) since(ctx context.Context, at time.Time, job int64) (time.Duration, error) {
	n, err := r.await(ctx, started, job, patience)
	return n.at.Sub(at), err
}

// jobDeferred: from the commit of the defer to the start of the handler.
func jobDeferred(count int, listen bool) func(context.Context, *room) error {
	return func(ctx context.Context, r *room) error {
		if _, err := r.start(spec{Queue: oneQueue, Quiet: !listen}); err != nil {
			return err
		}
		name, t, gap := "job deferred", soon, gap
		if !listen {
			name, t = fmt.Sprintf("not listening: job deferred, polled for each %s", quietPoll), lab.None("ms")
			if !r.plan.Quick { // until the worker looks no more often than that
				gap = func() time.Duration { return between(quietPoll, 2*quietPoll) }
			}
		}
		return r.repeat(ctx, name, t, count, gap, func() (time.Duration, error) {
			d, err := r.defers(ctx, "note", oneQueue, "")
			if err != nil {
				return 0, err
			}
			return r.since(ctx, d.at, d.id)
		})
	}
}

// retryDue: one job whose handler fails each time and wants another attempt soon; from when that is due. A worker that does not
// listen polls for the first attempt only.
func retryDue(count int, listen bool) func(context.Context, *room) error {
	return func(ctx context.Context, r *room) error {
		if _, err := r.start(spec{Queue: oneQueue, Quiet: !listen}); err != nil {
			return err
		}
		if _, err := r.defers(ctx, "again", oneQueue, ", max_attempts => 1000000"); err != nil {
			return err
		}
		name := "retry due"
		if !listen {
			name = "not listening: " + name
		}
		return r.collect(ctx, name, r.plan.count(count))
	}
}

// collect takes so many notes of handlers that started when their time had come, after some that do not count: the worker is
// starting.
func (r *room) collect(ctx context.Context, name string, count int) error {
	const warmUp = 3
	var late []time.Duration
	for end := time.Now().Add(longest); len(late) < warmUp+count && (len(late) <= warmUp || time.Now().Before(end)); {
		n, err := r.next(ctx, patience)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if n.what == started && !n.due.IsZero() {
			late = append(late, n.at.Sub(n.due))
		}
	}
	r.waits(name, soon, late[warmUp:])
	return nil
}

// How a lock is left, for which a job in a queue of another worker waits.
const (
	jobEnds       = "job ended"
	jobAborted    = "job aborted"
	jobDeleted    = "job deleted"
	workerDeleted = "worker deleted"
)

// lockHandedOver: job A has the lock and job B waits for it; from the end of A to the start of B. Ended: from the return of A's
// handler. Else from the statement that somebody sends.
func lockHandedOver(count int, how string) func(context.Context, *room) error {
	return func(ctx context.Context, r *room) error {
		queues, t := []string{oneQueue, otherQueue}, soon
		if how == jobDeleted || how == workerDeleted {
			t = lab.None("ms") // somebody's next tick finds out
		}
		if how == workerDeleted {
			queues = []string{otherQueue} // A's worker is a session of ours
			if err := r.exec(ctx, `select procrastinate_define_task('hold or fail', on_stall => 'fail')`); err != nil {
				return err
			}
		}
		for _, queue := range queues {
			if _, err := r.start(spec{Queue: queue}); err != nil {
				return err
			}
		}
		return r.repeat(ctx, "lock handed over, "+how, t, count, gap, func() (time.Duration, error) { return r.handOver(ctx, how) })
	}
}

func (r *room) handOver(ctx context.Context, how string) (time.Duration, error) {
	holder, span := "hold", time.Second
	switch how {
	case jobEnds:
		span = gap()
	case workerDeleted:
		holder = "hold or fail"
	}
	const more = `, lock => 'lock', args => jsonb_build_object('span', $3::bigint)`
	a, err := r.defers(ctx, holder, oneQueue, more, span)
	if err != nil {
		return 0, err
	}
	var worker int64
	if how == workerDeleted {
		worker, err = r.hold(ctx)
	} else {
		_, err = r.await(ctx, started, a.id, patience)
	}
	if err != nil {
		return 0, err
	}
	b, err := r.defers(ctx, "note", otherQueue, more, 0)
	if err != nil {
		return 0, err
	}
	if how == jobEnds {
		n, err := r.await(ctx, left, a.id, patience)
		if err != nil {
			return 0, err
		}
		return r.since(ctx, n.at, b.id)
	}
	if err := wait(ctx, gap()); err != nil {
		return 0, err
	}
	at := time.Now()
	switch how {
	case jobAborted:
		err = r.exec(ctx, `select procrastinate_cancel_job($1, abort => true)`, a.id)
	case jobDeleted:
		err = r.exec(ctx, `delete from procrastinate_jobs where id = $1`, a.id)
	case workerDeleted:
		err = r.exec(ctx, `delete from procrastinate_workers where id = $1`, worker)
	default:
		err = errors.New("nobody leaves the lock")
	}
	if err != nil {
		return 0, err
	}
	return r.since(ctx, at, b.id)
}

// hold fetches the one job of the first queue as a worker of its own.
func (r *room) hold(ctx context.Context) (worker int64, err error) {
	worker, err = r.number(ctx, `select procrastinate_register_worker('holder', queues => array[$1])`, oneQueue)
	if err != nil {
		return 0, err
	}
	jobs, err := r.number(ctx, `select count(*) from procrastinate_fetch_jobs($1, 10)`, worker)
	if err == nil && jobs != 1 {
		err = fmt.Errorf("the holder fetched %d jobs", jobs)
	}
	return worker, err
}

// lockPassedOn: jobs of one lock, in one queue of a worker that does not listen; from the end of each to the start of the next.
func lockPassedOn(count int) func(context.Context, *room) error {
	return func(ctx context.Context, r *room) error {
		if _, err := r.start(spec{Queue: oneQueue, Quiet: true}); err != nil {
			return err
		}
		var ids []int64
		for range r.plan.count(count) + 1 {
			d, err := r.defers(ctx, "hold", oneQueue, ", lock => 'lock', args => jsonb_build_object('span', $3::bigint)", gap())
			if err != nil {
				return err
			}
			ids = append(ids, d.id)
		}
		var spans []time.Duration
		for i := range ids[1:] {
			n, err := r.await(ctx, left, ids[i], patience)
			if err != nil {
				return err
			}
			span, err := r.since(ctx, n.at, ids[i+1])
			if err != nil {
				return err
			}
			spans = append(spans, span)
		}
		r.waits("not listening: lock handed over, same worker", soon, spans)
		return nil
	}
}
