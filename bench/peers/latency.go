package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// waits are those of a system, of all rounds: milliseconds from when the commit was answered to when the handler started.
type waits struct {
	Name string      `json:"name"`
	P50  float64     `json:"p50"`
	P95  float64     `json:"p95"`
	P99  float64     `json:"p99"`
	Each [][]float64 `json:"each"` // round by round
}

func (w *waits) add(round []float64) {
	w.Each = append(w.Each, round)
	all := slices.Sorted(slices.Values(slices.Concat(w.Each...)))
	w.P50, w.P95, w.P99 = lab.Percentile(all, 50), lab.Percentile(all, 95), lab.Percentile(all, 99)
}

// latency: single jobs, at odd times, for a worker that is idle in between.
func latency(ctx context.Context, b *bench) error {
	var contenders []contender
	var faults []error
	all := map[string]*waits{}
	for _, s := range b.plan.systems {
		if !b.has(s) || b.plan.Quick && s != ours && s != graphile {
			continue
		}
		p, prog, err := b.waiting(ctx, s)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		defer func() { _ = prog.stop() }()
		all[s.name] = &waits{Name: s.name}
		contenders = append(contenders, contender{name: s.name, run: func(ctx context.Context) error {
			round, err := b.wait(ctx, p, prog)
			if err == nil {
				all[s.name].add(round)
				b.log("%-40s %8.2f ms p50", s.name, lab.Percentile(slices.Sorted(slices.Values(round)), 50))
			}
			return err
		}})
	}
	faults = append(faults, b.alternate(ctx, b.plan.Rounds, contenders))
	for _, c := range contenders {
		if w := all[c.name]; len(w.Each) > 0 {
			b.report.Waits = append(b.report.Waits, *w)
		}
	}
	our := all[ours.name]
	for _, s := range []system{graphile, pgboss, river} {
		its := all[s.name]
		if our == nil || its == nil || len(our.Each) == 0 || len(its.Each) == 0 {
			continue
		}
		t50, t99 := lab.None(""), lab.None("")
		if s == graphile {
			t50, t99 = lab.AtMost(1, ""), lab.AtMost(1.25, "")
		}
		b.compare("latency p50, ours / "+s.name, t50, "ms", []float64{our.P50}, []float64{its.P50})
		b.compare("latency p99, ours / "+s.name, t99, "ms", []float64{our.P99}, []float64{its.P99})
	}
	return errors.Join(faults...)
}

// waiting is a worker, in a place of its own, that waits for jobs. It stays for all rounds.
func (b *bench) waiting(ctx context.Context, s system) (*place, *program, error) {
	p, err := b.fresh(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	prog, err := p.worker(ctx, modeLatency)
	if err != nil {
		return nil, nil, err
	}
	return p, prog, prog.Say("go")
}

// wait sends jobs one by one, and returns how long after each commit its handler started. Our sender sends those of
// graphile-worker too: what is measured starts in the sender, and must be the same there.
func (b *bench) wait(ctx context.Context, p *place, prog *program) (round []float64, err error) {
	const warmUp = 10
	if err := p.settle(ctx); err != nil {
		return nil, err
	}
	jobs := warmUp + b.plan.Waits
	by, args := p, []string{"send", strconv.Itoa(jobs), strconv.Itoa(b.plan.Gap)}
	if p.system == graphile {
		it := *p
		it.system = ours
		by, args = &it, append(args, graphile.name)
	}
	sender, err := by.start(args...)
	if err != nil {
		return nil, err
	}
	sent, faultSent := instants(ctx, sender, jobs)
	started, faultStarted := instants(ctx, prog, jobs)
	if faultSent != nil {
		sender.Stop()
	}
	if err := errors.Join(faultSent, faultStarted, sender.end()); err != nil {
		return nil, err
	}
	for n := warmUp; n < jobs; n++ {
		round = append(round, math.Round(started[n]-sent[n])/1000)
	}
	return round, nil
}

// instants are what a program says happened, by n.
func instants(ctx context.Context, prog *program, jobs int) (map[int]float64, error) {
	result := map[int]float64{}
	for len(result) < jobs {
		l, err := prog.next(ctx, patience)
		if err != nil {
			return nil, err
		}
		if l.N == nil {
			return nil, fmt.Errorf("%s said %+v instead of which job it is", prog.text, l)
		}
		if _, again := result[*l.N]; again {
			return nil, fmt.Errorf("%s: job %d came twice", prog.text, *l.N)
		}
		result[*l.N] = l.At
	}
	return result, nil
}
