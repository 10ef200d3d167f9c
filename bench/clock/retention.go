package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// retention: millions of jobs are older than they are to be kept. One worker process deletes them, as any does that ticks; another
// one drains jobs that do nothing, now with the first deleting and now with it idle.
func retention(ctx context.Context, r *room) error {
	if err := r.makeOld(ctx); err != nil {
		return err
	}
	var alone, beside, deleted []float64
	for round := range r.plan.Rounds {
		for i := range 2 {
			deleting := (round+i)%2 == 1
			speed, rows, err := r.drain(ctx, deleting)
			if err != nil {
				return err
			}
			if deleting {
				beside, deleted = append(beside, speed), append(deleted, rows)
				r.log("round %d  drained beside it %8.0f jobs/s, deleted %.0f rows/s", round+1, speed, rows)
			} else {
				alone = append(alone, speed)
				r.log("round %d  drained alone     %8.0f jobs/s", round+1, speed)
			}
		}
	}
	rest, err := r.deleteRest(ctx)
	if err != nil {
		return err
	}
	r.figure("deleted, nothing else going on", deletions, rest)
	r.figure("deleted, beside a drain", deletions, deleted...)
	r.figure("drain alone", lab.None("jobs/s"), alone...)
	r.figure("drain beside deleting", lab.None("jobs/s"), beside...)
	r.figure("drain beside deleting / alone", besides, lab.Ratio(beside, alone))
	return nil
}

// makeOld inserts jobs that ended 70 to 40 days ago, one of a hundred by failing, and has repair note when they are to go.
func (r *room) makeOld(ctx context.Context) error {
	const piece = 100_000
	for from := 0; from < r.plan.Old; from += piece {
		err := r.exec(ctx, `
			with job as (
				insert into procrastinate_jobs (queue_name, task_name, args, status, attempts, deferred_at, started_at, finished_at, error, max_attempts)
				select
					'default', 'old', jsonb_build_object('customer', i), case when i % 100 = 0 then 'failed' else 'succeeded' end::procrastinate_job_status,
					1, x.at, x.at, x.at, case when i % 100 = 0 then 'it did not work' end, 1
				from generate_series($1::integer + 1, $1::integer + $2::integer) i
				cross join lateral (select now() - interval '70 days' + i * interval '30 days' / $3::integer as at) x
				returning id, status, finished_at
			)
			insert into procrastinate_attempts (job_id, kind, at, attempt, error)
			select j.id, 'failed', j.finished_at, 1, 'it did not work'
			from job j
			where j.status = 'failed'`, from, min(piece, r.plan.Old-from), r.plan.Old)
		if err != nil {
			return err
		}
	}
	r.log("%d jobs made", r.plan.Old)
	for _, statement := range []string{"vacuum analyze", "select procrastinate_repair()", "create table waiting_notes (like procrastinate_retention)"} {
		if err := r.exec(ctx, statement); err != nil {
			return err
		}
	}
	r.log("noted when they go")
	return r.hide(ctx)
}

// hide takes the notes away by which jobs are found that are to go.
func (r *room) hide(ctx context.Context) error {
	return r.exec(ctx, `with n as (delete from procrastinate_retention returning *) insert into waiting_notes select * from n`)
}

// show puts them back. Retention has passed the times that they had, so they are due in a moment.
func (r *room) show(ctx context.Context) error {
	return r.exec(ctx, `
		with n as (delete from waiting_notes returning *)
		insert into procrastinate_retention (delete_at, job_ids)
		select greatest(n.delete_at, now() + interval '0.2 s'), n.job_ids from n`)
}

// underWay returns when there are fewer notes than before.
func (r *room) underWay(ctx context.Context) error {
	const notes = `select count(*) from procrastinate_retention`
	before, err := r.number(ctx, notes)
	for end := time.Now().Add(patience); err == nil; {
		var n int64
		if n, err = r.number(ctx, notes); err != nil || n < before {
			return err
		}
		if time.Now().After(end) {
			return errors.New("nobody deletes what was kept long enough")
		}
		err = wait(ctx, 20*time.Millisecond)
	}
	return err
}

func (r *room) countOld(ctx context.Context) (int64, error) {
	return r.number(ctx, `select count(*) from procrastinate_jobs where task_name = 'old'`)
}

// drain returns the speed of a worker process that runs all jobs of a queue, and how many rows were deleted a second meanwhile. The
// other process is there in any case.
func (r *room) drain(ctx context.Context, deleting bool) (speed, rows float64, err error) {
	if err := r.fill(ctx); err != nil {
		return 0, 0, err
	}
	before, err := r.countOld(ctx)
	if err != nil {
		return 0, 0, err
	}
	if deleting {
		if err := r.show(ctx); err != nil {
			return 0, 0, err
		}
	}
	if err := r.exec(ctx, "checkpoint"); err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if _, err := r.start(spec{Queue: oneQueue}); err != nil {
		return 0, 0, err
	}
	if _, err := r.await(ctx, began, 0, patience); err != nil {
		return 0, 0, err
	}
	if deleting {
		if err := r.underWay(ctx); err != nil {
			return 0, 0, err
		}
	}
	if _, err := r.start(spec{Queue: otherQueue, OneShot: true}); err != nil {
		return 0, 0, err
	}
	from, err := r.await(ctx, began, 0, patience)
	if err != nil {
		return 0, 0, err
	}
	to, err := r.await(ctx, ended, 0, 2*time.Minute)
	if err != nil {
		return 0, 0, err
	}
	if err := r.stopWorkers(); err != nil {
		return 0, 0, err
	}
	took := time.Since(begin)
	if deleting {
		if err := r.hide(ctx); err != nil {
			return 0, 0, err
		}
	}
	after, err := r.countOld(ctx)
	if err != nil {
		return 0, 0, err
	}
	todo, err := r.number(ctx, `select count(*) from procrastinate_jobs where task_name = 'nothing' and status <> 'succeeded'`)
	switch {
	case err != nil:
		return 0, 0, err
	case todo > 0:
		return 0, 0, fmt.Errorf("%d jobs were not drained", todo)
	case !deleting && after < before:
		return 0, 0, fmt.Errorf("%d jobs were deleted that were hidden", before-after)
	}
	return float64(r.plan.Drain) / to.at.Sub(from.at).Seconds(), float64(before-after) / took.Seconds(), nil
}

// fill defers the jobs of a drain.
func (r *room) fill(ctx context.Context) error {
	const batch = 1000
	for range r.plan.Drain / batch {
		err := r.exec(ctx, `
			select count(*) from procrastinate_defer_many((
				select jsonb_agg(jsonb_build_object('task', 'nothing', 'queue', $1::text)) from generate_series(1, $2)))`, otherQueue, batch)
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteRest has one worker delete all that is left, and returns rows a second. It stops after four minutes.
func (r *room) deleteRest(ctx context.Context) (float64, error) {
	const longest = 4 * time.Minute
	before, err := r.countOld(ctx)
	if err != nil {
		return 0, err
	}
	if err := r.show(ctx); err != nil {
		return 0, err
	}
	if err := r.exec(ctx, "vacuum analyze procrastinate_retention"); err != nil {
		return 0, err
	}
	if err := r.exec(ctx, "checkpoint"); err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := r.start(spec{Queue: oneQueue}); err != nil {
		return 0, err
	}
	var notes int64 = 1
	for notes > 0 && time.Since(begin) < longest {
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return 0, err
		}
		// of finished drains there are notes too, for later
		if notes, err = r.number(ctx, `select count(*) from procrastinate_retention where delete_at < now() + interval '1 minute'`); err != nil {
			return 0, err
		}
	}
	took := time.Since(begin)
	if err := r.stopWorkers(); err != nil {
		return 0, err
	}
	after, err := r.countOld(ctx)
	switch {
	case err != nil:
		return 0, err
	case notes == 0 && after > 0:
		return 0, fmt.Errorf("%d old jobs are left that no note names", after)
	}
	r.log("deleted %d of %d rows in %s", before-after, before, took.Round(time.Millisecond))
	return float64(before-after) / took.Seconds(), nil
}
