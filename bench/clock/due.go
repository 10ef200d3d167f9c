package main

import (
	"context"
	"fmt"
	"time"
)

// scheduledJobs: jobs at odd times, a few at a time, for one worker that is idle in between.
func scheduledJobs(ctx context.Context, r *room) error {
	const outstanding, warmUp = 4, 5
	if _, err := r.start(spec{Queue: oneQueue}); err != nil {
		return err
	}
	if _, err := r.await(ctx, began, 0, patience); err != nil {
		return err
	}
	count := warmUp + r.plan.count(240)
	deferred := 0
	var late []time.Duration
	for i := range count {
		for ; deferred < min(i+outstanding, count); deferred++ {
			span := between(50*time.Millisecond, 3*time.Second)
			if _, err := r.defers(ctx, "note", oneQueue, ", schedule_in => $3::interval", span); err != nil {
				return err
			}
		}
		n, err := r.next(ctx, patience)
		if err != nil {
			return fmt.Errorf("wait for a scheduled job: %w", err)
		}
		if i >= warmUp {
			late = append(late, n.at.Sub(n.due))
		}
	}
	r.waits("scheduled 0.05-3 s ahead", soon, late)
	return nil
}

// scheduleEachSecond: from the instant of each run to the start of its handler.
func scheduleEachSecond(count int, listen bool) func(context.Context, *room) error {
	return func(ctx context.Context, r *room) error {
		if _, err := r.start(spec{Queue: oneQueue, Quiet: !listen}); err != nil {
			return err
		}
		if _, err := r.await(ctx, began, 0, patience); err != nil {
			return err
		}
		err := r.exec(ctx, `select procrastinate_define_schedule('each second', '* * * * * *', 'note', queue => $1)`, oneQueue)
		if err != nil {
			return err
		}
		name := "schedule due, each second"
		if !listen {
			name = "not listening: " + name
		}
		return r.collect(ctx, name, r.plan.count(count))
	}
}
