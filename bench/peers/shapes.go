package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// hotLock: jobs of one lock. The worker ends with an error if two run at once or one comes out of order.
func hotLock(ctx context.Context, b *bench) error {
	if !b.has(ours) {
		return nil
	}
	const clean, pinned = "hot lock", "hot lock, pinned"
	var contenders []contender
	for _, c := range []struct{ name, how string }{{clean, ""}, {pinned, reader}} {
		p, err := b.fresh(ctx, ours)
		if err != nil {
			return err
		}
		defer func() { _ = p.drop(ctx) }()
		conn, err := p.pin(ctx, c.how)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		contenders = append(contenders, b.drainsOf(c.name, func(ctx context.Context) (*place, drains, error) {
			return p, drains{jobs: b.plan.Hot, modes: []string{modeOrdered}}, p.deferMany(ctx, b.plan.Hot, `'lock', 'hot'`)
		}))
	}
	err := b.alternate(ctx, b.plan.Rounds, contenders)
	rate, slow := b.report.drains(clean).Rate, b.report.drains(pinned).Rate
	b.figure(fmt.Sprintf("one lock with %d jobs", b.plan.Hot), lab.Above(5000, "jobs/s"), rate...)
	b.compare("one lock, pinned / clean", lab.Above(0.8, ""), "jobs/s", slow, rate)
	return err
}

// locksAndQueues: the same number of jobs, of many locks and of many queues.
func locksAndQueues(ctx context.Context, b *bench) error {
	if !b.has(ours) {
		return nil
	}
	const plain, locks, queues = "shape, no locks and one queue", "shape, many locks", "shape, many queues"
	var contenders []contender
	for _, c := range []struct{ name, more string }{
		{plain, ""},
		{locks, fmt.Sprintf(`'lock', 'lock ' || i %% %d`, b.plan.Shape/10)},
		{queues, fmt.Sprintf(`'queue', 'queue ' || i %% %d`, b.plan.Shape/100)},
	} {
		from, err := b.filled(ctx, ours, func(p *place) error { return p.deferMany(ctx, b.plan.Shape, c.more) })
		if err != nil {
			return err
		}
		defer func() { _ = from.drop(ctx) }()
		contenders = append(contenders, b.copies(c.name, from, "", drains{jobs: b.plan.Shape}))
	}
	err := b.alternate(ctx, b.plan.Rounds, contenders)
	of := func(name string) []float64 { return b.report.drains(name).Rate }
	b.compare(fmt.Sprintf("%d locks with 10 jobs / no locks", b.plan.Shape/10), lab.Above(0.4, ""), "jobs/s", of(locks), of(plain))
	b.compare(fmt.Sprintf("%d queues with 100 jobs / one queue", b.plan.Shape/100), lab.Above(0.7, ""), "jobs/s", of(queues), of(plain))
	return err
}

// busyWorkers: many worker processes on one queue, and one.
func busyWorkers(ctx context.Context, b *bench) error {
	if !b.has(ours) {
		return nil
	}
	from, err := b.filled(ctx, ours, func(p *place) error { _, err := p.insert(ctx, b.plan.Drain); return err })
	if err != nil {
		return err
	}
	defer func() { _ = from.drop(ctx) }()
	name := func(count int) string { return fmt.Sprintf("worker processes, %d", count) }
	one := b.copies(name(1), from, "", drains{jobs: b.plan.Drain})
	many := b.copies(name(b.plan.Workers), from, "", drains{jobs: b.plan.Drain, workers: b.plan.Workers})
	err = b.alternate(ctx, b.plan.Rounds, []contender{one, many})
	b.compare(fmt.Sprintf("%d worker processes busy / 1", b.plan.Workers), lab.Above(0.7, ""), "jobs/s",
		b.report.drains(name(b.plan.Workers)).Rate, b.report.drains(name(1)).Rate)
	b.figure(fmt.Sprintf("connections of each, max_connections %d", maxConnections), lab.None(""), b.report.drains(name(b.plan.Workers)).Conns...)
	return err
}

// idleWorkers: what many worker processes cost that have nothing to do.
func idleWorkers(ctx context.Context, b *bench) (err error) {
	if !b.has(ours) {
		return nil
	}
	p, err := b.fresh(ctx, ours)
	if err != nil {
		return err
	}
	defer func() { _ = p.drop(ctx) }()
	var all []*program
	defer func() { err = errors.Join(err, stopAll(all)) }()
	for range b.plan.Workers {
		prog, err := p.worker(ctx)
		if err != nil {
			return err
		}
		all = append(all, prog)
		if err := prog.Say("go"); err != nil {
			return err
		}
	}
	// autovacuum and the last register have ended, lanes and caches are warm
	if err := errors.Join(p.settle(ctx), wait(ctx, b.plan.Window/3)); err != nil {
		return err
	}
	before, err := p.cpu(ctx, all)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := wait(ctx, b.plan.Window); err != nil {
		return err
	}
	after, err := p.cpu(ctx, all)
	if err != nil {
		return err
	}
	percent := 100 / time.Since(begin).Seconds()
	server, workers := (after.server-before.server).Seconds()*percent, (after.workers-before.workers).Seconds()*percent
	b.figure(fmt.Sprintf("%d idle worker processes, CPU", b.plan.Workers), lab.Below(5, "% of a core"), server+workers)
	b.figure("... of it PostgreSQL", lab.None("% of a core"), server)
	return nil
}
