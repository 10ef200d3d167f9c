package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// A cell is a row, or some, of what is asked for.
type cell struct {
	name  string
	quick bool // it is part of make bench-quick
	run   func(context.Context, *bench) error
}

var cells = []cell{
	{name: "drain", quick: true, run: drainAll},
	{name: "defer", quick: true, run: deferSingly},
	{name: "bulk", run: deferInBulk},
	{name: "latency", quick: true, run: latency},
	{name: "pinned", quick: true, run: pinned},
	{name: "backlog", run: backlog},
	{name: "hot lock", run: hotLock},
	{name: "locks and queues", run: locksAndQueues},
	{name: "busy workers", run: busyWorkers},
	{name: "idle workers", run: idleWorkers},
	{name: "curve", run: curve},
}

// A contender is measured beside others, once in each round.
type contender struct {
	name    string
	prepare func(context.Context) error // is not measured; nil: nothing
	run     func(context.Context) error
}

// alternate prepares all of them in each round, at once, and runs one after the other, another one first each time. One that
// breaks is left out from then on.
func (b *bench) alternate(ctx context.Context, rounds int, contenders []contender) error {
	faults := make([]error, len(contenders))
	for round := range rounds {
		var preparing sync.WaitGroup
		for i, c := range contenders {
			if c.prepare != nil && faults[i] == nil {
				preparing.Go(func() { faults[i] = c.prepare(ctx) })
			}
		}
		preparing.Wait()
		for i := range contenders {
			i := (i + round) % len(contenders)
			if faults[i] == nil && ctx.Err() == nil {
				faults[i] = contenders[i].run(ctx)
			}
		}
	}
	for i, c := range contenders {
		if faults[i] != nil {
			faults[i] = fmt.Errorf("%s: %w", c.name, faults[i])
		}
	}
	return errors.Join(faults...)
}

// drainsOf is a contender whose drains are noted by its name. It is made in each round: a place, and what is to be drained in it.
func (b *bench) drainsOf(name string, prepare func(context.Context) (*place, drains, error)) contender {
	var r *ready
	return contender{
		name: name,
		prepare: func(ctx context.Context) error {
			p, d, err := prepare(ctx)
			if err == nil {
				r, err = p.ready(ctx, d)
			}
			return err
		},
		run: func(ctx context.Context) error {
			result, err := r.drain(ctx)
			if err != nil {
				return err
			}
			b.drained(name, result)
			if r.copied {
				return r.drop(ctx)
			}
			return nil
		},
	}
}

// copies are drained in a place of their own each.
func (b *bench) copies(name string, from *place, prepare string, d drains) contender {
	return b.drainsOf(name, func(ctx context.Context) (*place, drains, error) {
		p, err := b.place(ctx, from.server, from.system, from.name)
		if err != nil {
			return nil, d, err
		}
		p.copied = true
		return p, d, p.exec(ctx, prepare)
	})
}

// fresh is a place in which a system is installed.
func (b *bench) fresh(ctx context.Context, s system) (*place, error) {
	return b.place(ctx, b.servers[0], s, b.templates[s.key])
}

// filled is a place made to be copied, in which something is done once.
func (b *bench) filled(ctx context.Context, s system, fill func(*place) error) (*place, error) {
	p, err := b.fresh(ctx, s)
	if err != nil {
		return nil, err
	}
	err = fill(p)
	if err == nil {
		err = p.settle(ctx)
	}
	if err == nil {
		err = p.leave(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.drop(ctx))
	}
	return p, nil
}

func (p *place) insert(ctx context.Context, jobs int) (rate float64, err error) {
	l, err := p.call(ctx, "insert", strconv.Itoa(jobs))
	if err == nil && l.Jobs != jobs {
		err = fmt.Errorf("%s inserted %d jobs of %d", p.system.name, l.Jobs, jobs)
	}
	return float64(l.Jobs) / l.Seconds, err
}

const deleting = "ours, finished jobs deleted"

// drainAll: all systems drain the same jobs.
func drainAll(ctx context.Context, b *bench) error {
	jobs := func(s system) int {
		if b.plan.Quick && s == river {
			return b.plan.Drain / 2 // it is the slowest, and compiled: it needs no time to warm up
		}
		return b.plan.Drain
	}
	froms, faults := make([]*place, len(b.plan.systems)), make([]error, len(b.plan.systems))
	var filling sync.WaitGroup
	for i, s := range b.plan.systems {
		if b.has(s) && !(b.plan.Quick && s == pgboss) {
			filling.Go(func() {
				froms[i], faults[i] = b.filled(ctx, s, func(p *place) error { _, err := p.insert(ctx, jobs(s)); return err })
			})
		}
	}
	filling.Wait()
	var contenders []contender
	for _, from := range froms {
		if from == nil {
			continue
		}
		defer func() { _ = from.drop(ctx) }()
		all := drains{jobs: jobs(from.system)}
		contenders = append(contenders, b.copies("drain, "+from.system.name, from, "", all))
		if from.system == ours && !b.plan.Quick {
			contenders = append(contenders, b.copies("drain, "+deleting, from, `select procrastinate_define_task('noop', keep_succeeded => '0')`, all))
		}
	}
	faults = append(faults, b.alternate(ctx, b.plan.Rounds, contenders))
	of := func(name string) drawn { return b.report.drains("drain, " + name) }
	b.compare(drainToGraphile, lab.Above(1.5, ""), "jobs/s", of(ours.name).Rate, of(graphile.name).Rate)
	b.compare("drain, finished jobs deleted / graphile-worker", lab.Above(2, ""), "jobs/s", of(deleting).Rate, of(graphile.name).Rate)
	b.compare(drainToRiver, lab.Above(3, ""), "jobs/s", of(ours.name).Rate, of(river.name).Rate)
	b.compare("drain, ours / pg-boss", lab.None(""), "jobs/s", of(ours.name).Rate, of(pgboss.name).Rate)
	b.compare("CPU of a drain, ours / graphile-worker", lab.AtMost(1, ""), "s/100k", of(ours.name).cpu(), of(graphile.name).cpu())
	return errors.Join(faults...)
}
