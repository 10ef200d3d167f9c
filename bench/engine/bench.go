package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// bench holds the servers, and of each place one database for each system.
type bench struct {
	plan    plan
	servers []*lab.Server
	places  map[placeKey]*place
	log     func(format string, args ...any)
}

type placeKey struct{ place, system string }

func (b *bench) close() {
	for _, s := range b.servers {
		s.Stop()
	}
	for _, s := range b.servers {
		s.Wait()
	}
}

// setUp makes all places. An open writer's transaction id is in the snapshots of all databases of its cluster, so
// each writer has a cluster of its own; a snapshot pins its database only.
func (b *bench) setUp(ctx context.Context) error {
	shared, err := b.server()
	if err != nil {
		return err
	}
	for _, name := range places {
		for _, s := range systems {
			if !b.plan.needs(name) {
				continue
			}
			server := shared
			if name == writer {
				if server, err = b.server(); err != nil {
					return err
				}
			}
			p, err := newPlace(ctx, server, name, s)
			if err != nil {
				return fmt.Errorf("set up %s, %s: %w", name, s.name, err)
			}
			b.places[placeKey{name, s.name}] = p
			if err := b.prepare(ctx, p, name); err != nil {
				return fmt.Errorf("prepare %s, %s: %w", name, s.name, err)
			}
			b.log("set up     %-32s %s", name, s.name)
		}
	}
	return nil
}

func (b *bench) server() (*lab.Server, error) {
	s, err := lab.Start()
	if err != nil {
		return nil, err
	}
	b.servers = append(b.servers, s)
	if s.Pgbench == "" {
		return nil, errors.New("pgbench is missing: it comes with the server, or with its contrib package")
	}
	return s, nil
}

// prepare gives a place its history, pinned from before it began.
func (b *bench) prepare(ctx context.Context, p *place, name string) error {
	if err := p.process(ctx, 2000); err != nil { // so that the lane is there
		return err
	}
	var err error
	switch name {
	case snapshot:
		err = p.openPin(ctx, "begin isolation level repeatable read", "select 1")
	case writer:
		err = p.openPin(ctx, "begin", p.system.scripts["defer"])
	case backlog:
		return p.fill(ctx, "plain", b.plan.Backlog)
	}
	if err != nil || (name != clean && name != snapshot && name != writer) {
		return err
	}
	return p.process(ctx, b.plan.History)
}

// errDry says that nothing was left to fetch before the time was over.
var errDry = errors.New("it ran dry")

// piece is one timed run. It returns how many jobs were dealt with in a second, counted in the table of jobs: a fetch
// may give less than it was asked for.
func (b *bench) piece(ctx context.Context, s system, c cell) (float64, error) {
	p := b.places[placeKey{c.place, s.name}]
	if c.prepare != "" {
		if err := p.prepareLanes(ctx, c.prepare); err != nil {
			return 0, err
		}
	}
	jobs := max(c.jobs/b.plan.shrink, 2*clients*c.batch)
	if b.plan.Quick {
		c.seconds = 0
	}
	for {
		rate, err := p.piece(ctx, c, jobs)
		if !errors.Is(err, errDry) {
			return rate, err
		}
		b.log("%s, %s: %d jobs are too few, once more with twice as many", c.name, s.name, jobs)
		jobs *= 2
	}
}

func (p *place) piece(ctx context.Context, c cell, jobs int) (float64, error) {
	mark, err := p.number(ctx, p.lastID())
	if err != nil {
		return 0, err
	}
	if c.fill != "" {
		if err := p.fill(ctx, c.fill, jobs+jobs/10); err != nil {
			return 0, err
		}
	}
	for _, statement := range []string{"vacuum analyze", "checkpoint"} {
		if _, err := p.conn.Exec(ctx, statement); err != nil {
			return 0, err
		}
	}
	rate, err := p.timed(ctx, c, mark, jobs)
	if err != nil || c.place == backlog {
		return rate, err
	}
	if c.seconds > 0 && c.fill != "" {
		left, err := p.number(ctx, p.unfinished(mark))
		if err != nil {
			return 0, err
		}
		if left == 0 {
			return 0, errDry
		}
	}
	return rate, p.drain(ctx, mark)
}

// timed counts the jobs above the mark, but in the backlog all, for there older ones are fetched first.
func (p *place) timed(ctx context.Context, c cell, mark int64, jobs int) (float64, error) {
	if c.place == backlog {
		mark = 0
	}
	count := p.succeeded(mark)
	if c.fill == "" {
		count = p.deferred(mark)
	}
	length := calls(jobs / c.batch / clients)
	if c.seconds > 0 {
		length = seconds(c.seconds)
	}
	before, err := p.number(ctx, count)
	if err != nil {
		return 0, err
	}
	took, err := p.runBriefly(ctx, c, clients, length)
	if err != nil {
		return 0, err
	}
	after, err := p.number(ctx, count)
	return float64(after-before) / took, err
}
