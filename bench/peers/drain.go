package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// A drain is what one run of worker processes was like.
type drain struct {
	rate        float64 // jobs a second
	worker, sql float64 // seconds of CPU per 100,000 jobs: of the worker processes, of PostgreSQL
	peak        float64 // of one worker process, MB
	conns       float64 // of one worker process
	done        []point
}

// point is how many jobs were done so many seconds after go.
type point struct{ at, done float64 }

// drains says how a drain is run.
type drains struct {
	jobs    int
	workers int      // processes; 0: one
	modes   []string // of theirs
	begin   bool     // it ends when so many are done, though there are more
	after   int64    // the jobs have greater ids; other systems than ours need not know
}

// stuck is after how long without anything done a drain is given up.
const stuck = 30 * time.Second

// A ready drain needs only the word go.
type ready struct {
	*place
	drains
	all []*program
}

// ready starts worker processes.
func (p *place) ready(ctx context.Context, d drains) (*ready, error) {
	r := &ready{place: p, drains: d}
	for range max(d.workers, 1) {
		prog, err := p.worker(ctx, d.modes...)
		if err != nil {
			return nil, errors.Join(err, stopAll(r.all))
		}
		r.all = append(r.all, prog)
	}
	return r, p.exec(ctx, "vacuum analyze")
}

// drain has the worker processes do the jobs, from the word go until all are stored as done, and stops them.
func (r *ready) drain(ctx context.Context) (result drain, err error) {
	defer func() { err = errors.Join(err, stopAll(r.all)) }()
	if err := r.exec(ctx, "checkpoint"); err != nil {
		return result, err
	}
	before, err := r.cpu(ctx, r.all)
	if err != nil {
		return result, err
	}
	begin := time.Now()
	for _, prog := range r.all {
		if err := prog.Say("go"); err != nil {
			return result, err
		}
	}
	if result.done, err = r.await(ctx, r.all, begin, r.jobs); err != nil {
		return result, err
	}
	took, done := timeOf(result.done, float64(r.jobs)), r.jobs
	if r.begin {
		done = int(result.done[len(result.done)-1].done)
	} else if took, err = r.stored(ctx, begin, r.after); err != nil {
		return result, err
	}
	result.rate = float64(r.jobs) / took
	after, err := r.cpu(ctx, r.all)
	if err != nil {
		return result, err
	}
	per100k := 100_000 / float64(done)
	result.worker, result.sql = (after.workers-before.workers).Seconds()*per100k, (after.server-before.server).Seconds()*per100k
	result.conns = float64(after.conns) / float64(len(r.all))
	for _, prog := range r.all {
		peak, err := lab.PeakMemory(prog.PID())
		if err != nil {
			return result, err
		}
		result.peak = max(result.peak, float64(peak)/1e6)
	}
	return result, nil
}

// stopAll stops them at once.
func stopAll(all []*program) error {
	for _, prog := range all {
		prog.Stop()
	}
	var faults []error
	for _, prog := range all {
		faults = append(faults, prog.stop())
	}
	return errors.Join(faults...)
}

// await returns when so many jobs are done, and when how many were.
func (p *place) await(ctx context.Context, all []*program, begin time.Time, jobs int) ([]point, error) {
	type told struct {
		who  int
		done int64
		err  error
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	news := make(chan told)
	for i, prog := range all {
		go func() {
			for {
				l, err := prog.next(ctx, time.Hour)
				select {
				case news <- told{i, l.Done, err}:
				case <-ctx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}()
	}
	each := make([]int64, len(all))
	points := []point{{}}
	for sum := int64(0); sum < int64(jobs); {
		select {
		case t := <-news:
			if t.err != nil {
				return points, t.err
			}
			sum += t.done - each[t.who]
			each[t.who] = t.done
			points = append(points, point{time.Since(begin).Seconds(), float64(sum)})
		case <-ctx.Done():
			return points, ctx.Err()
		case <-time.After(stuck):
			return points, fmt.Errorf("%s: %d of %d jobs are done, and no more for %s", p.system.name, sum, jobs, stuck)
		}
	}
	return points, nil
}

// timeOf is when so many jobs were done.
func timeOf(points []point, jobs float64) float64 {
	for i, p := range points {
		if p.done >= jobs && i > 0 {
			from := points[i-1]
			return from.at + (p.at-from.at)*(jobs-from.done)/(p.done-from.done)
		}
	}
	return 0
}

// stored waits until no job is left, and returns how long after the beginning that was seen: at the start of the look, for a
// look at many rows takes a while.
func (p *place) stored(ctx context.Context, begin time.Time, after int64) (float64, error) {
	var args []any
	if strings.Contains(p.left, "$1") {
		args = append(args, after)
	}
	for end := time.Now().Add(stuck); time.Now().Before(end); {
		at := time.Since(begin).Seconds()
		var left bool
		if err := p.conn.QueryRow(ctx, p.left, args...).Scan(&left); err != nil {
			return 0, err
		}
		if !left {
			return at, nil
		}
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%s: the last jobs are not stored as done after %s", p.system.name, stuck)
}

func wait(ctx context.Context, span time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(span):
		return nil
	}
}

// spent is the CPU time that the server and worker processes used since they started, and how many connections the latter have.
type spent struct {
	server, workers time.Duration
	conns           int
}

func (p *place) cpu(ctx context.Context, all []*program) (s spent, err error) {
	var backend int
	err = p.conn.QueryRow(ctx, `
		select pg_backend_pid(), count(*)
		from pg_stat_activity a
		where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'`,
	).Scan(&backend, &s.conns)
	if err != nil {
		return s, err
	}
	processes, err := lab.ReadProcesses()
	if err != nil {
		return s, err
	}
	s.server = processes.Tree(processes.Parent(backend))
	for _, prog := range all {
		s.workers += processes.Tree(prog.PID())
	}
	return s, nil
}
