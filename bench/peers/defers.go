package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// rate adds what a round measured that is no drain.
func (b *bench) rate(name string, value float64) {
	b.log("%-40s %8.0f jobs/s", name, value)
	b.report.Rates[name] = append(b.report.Rates[name], value)
}

// deferSingly: one job a call and transaction, four connections at once.
func deferSingly(ctx context.Context, b *bench) error {
	const (
		on, off             = "defer, ours", "defer, ours, notify off"
		workerOn, workerOff = "defer, ours, a worker", "defer, ours, a worker, notify off"
	)
	var contenders []contender
	var faults []error
	add := func(name string, s system, worker bool, more ...string) {
		if !b.has(s) {
			return
		}
		p, err := b.fresh(ctx, s)
		if err != nil {
			faults = append(faults, err)
			return
		}
		contenders = append(contenders, contender{name: name, run: func(ctx context.Context) error {
			return b.deferred(ctx, p, name, worker, more...)
		}})
	}
	add(on, ours, false)
	add("defer, River", river, false)
	if !b.plan.Quick {
		add(off, ours, false, notifyOff)
		add(workerOn, ours, true)
		add(workerOff, ours, true, notifyOff)
	}
	faults = append(faults, b.alternate(ctx, b.plan.DeferRounds, contenders))
	b.compare(deferToRiver, lab.Above(2, ""), "jobs/s", b.report.Rates[on], b.report.Rates["defer, River"])
	b.compare("defer, notify on / off, no worker", lab.Above(0.9, ""), "jobs/s", b.report.Rates[on], b.report.Rates[off])
	b.compare("defer, notify on / off, a listening worker", lab.Above(0.9, ""), "jobs/s", b.report.Rates[workerOn], b.report.Rates[workerOff])
	return errors.Join(faults...)
}

func (b *bench) deferred(ctx context.Context, p *place, name string, worker bool, more ...string) (err error) {
	if worker {
		prog, err := p.idle(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, prog.stop()) }()
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	l, err := p.call(ctx, append([]string{"defer", strconv.FormatFloat(b.plan.Seconds, 'g', -1, 64), "4"}, more...)...)
	if err == nil {
		b.rate(name, float64(l.Jobs)/l.Seconds)
	}
	return err
}

// idle is a worker of ours that has run all jobs and waits for more. It has been told of one, so it listens.
func (p *place) idle(ctx context.Context) (*program, error) {
	prog, err := p.worker(ctx)
	if err != nil {
		return nil, err
	}
	err = prog.Say("go")
	for told := false; err == nil && !told; {
		if err = p.exec(ctx, `select procrastinate_defer('noop')`); err == nil {
			var l line
			l, err = prog.next(ctx, patience)
			told = l.Done > 0
		}
	}
	if err == nil {
		_, err = p.stored(ctx, time.Now(), 0)
	}
	if err != nil {
		return nil, errors.Join(err, prog.stop())
	}
	return prog, nil
}

// deferInBulk: a thousand jobs a call, by what is each system's fastest.
func deferInBulk(ctx context.Context, b *bench) error {
	var contenders []contender
	for _, s := range b.plan.systems {
		if !b.has(s) {
			continue
		}
		var p *place
		contenders = append(contenders, contender{
			name: s.name,
			prepare: func(ctx context.Context) (err error) {
				p, err = b.fresh(ctx, s)
				return err
			},
			run: func(ctx context.Context) error {
				if err := p.settle(ctx); err != nil {
					return err
				}
				rate, err := p.insert(ctx, b.plan.Bulk)
				if err != nil {
					return err
				}
				b.rate("bulk, "+s.name, rate)
				return p.drop(ctx)
			},
		})
	}
	err := b.alternate(ctx, b.plan.Rounds, contenders)
	for _, s := range []struct {
		system
		target lab.Target
	}{{river, lab.Above(2, "")}, {graphile, lab.None("")}, {pgboss, lab.None("")}} {
		b.compare(fmt.Sprintf("defer in bulk, ours / %s", s.name), s.target, "jobs/s", b.report.Rates["bulk, ours"], b.report.Rates["bulk, "+s.name])
	}
	return err
}
