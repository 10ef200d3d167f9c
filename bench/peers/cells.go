package main

import (
	"context"
	"errors"
	"strconv"

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
}

// filled is a place with so many jobs, made to be copied.
func (b *bench) filled(ctx context.Context, s system, jobs int) (*place, error) {
	p, err := b.fresh(ctx, s)
	if err != nil {
		return nil, err
	}
	if _, err := p.call(ctx, "insert", strconv.Itoa(jobs)); err != nil {
		return nil, errors.Join(err, p.drop(ctx))
	}
	return p, errors.Join(p.settle(ctx), p.leave(ctx))
}

const deleting = "ours, finished jobs deleted"

// drainAll: all systems drain the same jobs.
func drainAll(ctx context.Context, b *bench) error {
	var contenders []contender
	var faults []error
	add := func(name string, from *place, prepare string) {
		contenders = append(contenders, contender{name, func(ctx context.Context) error {
			p, err := b.place(ctx, from.server, from.system, from.name)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.drop(ctx)) }()
			if prepare != "" {
				if err := p.exec(ctx, prepare); err != nil {
					return err
				}
			}
			d, err := p.drain(ctx, drains{jobs: b.plan.Drain})
			if err == nil {
				b.drained("drain: "+name, d)
			}
			return err
		}})
	}
	for _, s := range b.plan.systems {
		if !b.has(s) || b.plan.Quick && s == pgboss {
			continue
		}
		from, err := b.filled(ctx, s, b.plan.Drain)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		defer func() { _ = from.drop(ctx) }()
		add(s.name, from, "")
		if s == ours && !b.plan.Quick {
			add(deleting, from, `select procrastinate_define_task('noop', keep_succeeded => '0')`)
		}
	}
	faults = append(faults, b.alternate(ctx, b.plan.Rounds, contenders))
	of := func(name string) drawn { return b.drains("drain: " + name) }
	b.compare("drain, ours / graphile-worker", lab.Above(1.5, ""), "jobs/s", of(ours.name).Rate, of(graphile.name).Rate)
	b.compare("drain, finished jobs deleted / graphile-worker", lab.Above(2, ""), "jobs/s", of(deleting).Rate, of(graphile.name).Rate)
	b.compare("drain, ours / River", lab.Above(3, ""), "jobs/s", of(ours.name).Rate, of(river.name).Rate)
	b.compare("drain, ours / pg-boss", lab.None(""), "jobs/s", of(ours.name).Rate, of(pgboss.name).Rate)
	b.compare("CPU of a drain, ours / graphile-worker", lab.AtMost(1, ""), "s/100k", of(ours.name).cpu(), of(graphile.name).cpu())
	return errors.Join(faults...)
}
