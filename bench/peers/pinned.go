package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// How a transaction keeps dead rows from being removed.
const (
	reader = "begin isolation level repeatable read; select 1"
	writer = "begin; select procrastinate_defer('noop')" // it has a transaction id
)

// pin opens a transaction that does nothing more, until it is closed.
func (p *place) pin(ctx context.Context, how string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, p.server.Database(p.name))
	if err != nil || how == "" {
		return conn, err
	}
	_, err = conn.Exec(ctx, how)
	return conn, err
}

// pinned: what is left of a drain's speed when a transaction has been open since before many others.
func pinned(ctx context.Context, b *bench) (err error) {
	if !b.has(ours) {
		return nil
	}
	const clean, read, written = "pinned, clean", "pinned, a reader's snapshot", "pinned, a writer's transaction id"
	kinds := []struct{ name, how string }{{clean, ""}, {read, reader}, {written, writer}}
	if b.plan.Quick {
		kinds = kinds[:2]
	}
	var first, then []contender
	for _, k := range kinds {
		p, err := b.pinnable(ctx, k.how)
		if err != nil {
			return err
		}
		defer func() { _ = p.drop(ctx) }()
		conn, err := p.pin(ctx, k.how)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		first = append(first, b.passes(k.name+", before", p, b.plan.History))
		then = append(then, b.passes(k.name, p, b.plan.Piece))
	}
	err = b.alternate(ctx, 1, first)
	if err == nil {
		err = b.alternate(ctx, b.plan.Rounds, then)
	}
	of := b.report.drains
	b.compare(pinnedToClean, lab.Above(0.9, ""), "jobs/s", of(read).Rate, of(clean).Rate)
	b.compare("pinned by a writer / clean", lab.Above(0.9, ""), "jobs/s", of(written).Rate, of(clean).Rate)
	if !b.plan.Quick {
		b.figure(fmt.Sprintf("worker's peak memory, %d jobs", b.plan.History), lab.AtMost(60, "MB"), of(clean+", before").Peak...)
	}
	return err
}

// pinnable is a place of ours. The id of an open transaction is in the snapshots of all databases of a server, so a writer has
// a server of its own.
func (b *bench) pinnable(ctx context.Context, how string) (*place, error) {
	if how != writer {
		return b.fresh(ctx, ours)
	}
	server, err := b.server()
	if err != nil {
		return nil, err
	}
	p, err := b.place(ctx, server, ours, "")
	if err != nil {
		return nil, err
	}
	_, err = p.call(ctx, "install")
	return p, err
}

// passes are of one place that keeps all: in each round jobs are inserted and drained.
func (b *bench) passes(name string, p *place, jobs int) contender {
	return b.drainsOf(name, func(ctx context.Context) (*place, drains, error) {
		last, err := p.last(ctx)
		if err == nil {
			_, err = p.insert(ctx, jobs)
		}
		return p, drains{jobs: jobs, after: last}, err
	})
}

// last is the id of the newest job of ours.
func (p *place) last(ctx context.Context) (id int64, err error) {
	err = p.conn.QueryRow(ctx, `select coalesce(max(id), 0) from procrastinate_jobs`).Scan(&id)
	return id, err
}

// backlog: how fast the first jobs of many are drained, and some beside many that are to run later or have ended.
func backlog(ctx context.Context, b *bench) error {
	if !b.has(ours) {
		return nil
	}
	const empty, behind, beside = "backlog, none", "backlog, behind it more jobs", "backlog, beside it future and finished jobs"
	var contenders []contender
	for _, c := range []struct {
		name string
		fill func(*place) error
	}{
		{empty, func(*place) error { return nil }},
		{behind, func(p *place) error { _, err := p.insert(ctx, b.plan.History); return err }},
		{beside, func(p *place) error {
			return errors.Join(
				p.deferMany(ctx, b.plan.History, `'schedule_in', '30 days'`),
				p.finished(ctx, 2*b.plan.History))
		}},
	} {
		p, err := b.fresh(ctx, ours)
		if err != nil {
			return err
		}
		defer func() { _ = p.drop(ctx) }()
		// so many more than are measured that the end of a drain is none of it
		if err := errors.Join(c.fill(p), p.deferMany(ctx, b.plan.First/5, "")); err != nil {
			return err
		}
		contenders = append(contenders, b.drainsOf(c.name, func(ctx context.Context) (*place, drains, error) {
			_, err := p.insert(ctx, b.plan.First)
			return p, drains{jobs: b.plan.First, begin: true}, err
		}))
	}
	err := b.alternate(ctx, b.plan.Rounds, contenders)
	of := func(name string) []float64 { return b.report.drains(name).Rate }
	b.compare(fmt.Sprintf("first %d of %d / of few", b.plan.First, b.plan.History), lab.Above(0.9, ""), "jobs/s", of(behind), of(empty))
	b.compare(fmt.Sprintf("beside %d future, %d finished jobs / alone", b.plan.History, 2*b.plan.History), lab.Above(0.9, ""), "jobs/s",
		of(beside), of(empty))
	return err
}

// deferMany defers jobs of ours with more keys, in SQL; i is the number of the job.
func (p *place) deferMany(ctx context.Context, jobs int, more string) error {
	if more != "" {
		more = ", " + more
	}
	for from := 0; from < jobs; from += batch {
		err := p.exec(ctx, fmt.Sprintf(`
			select count(*) from procrastinate_defer_many((
				select jsonb_agg(jsonb_build_object('task', 'noop', 'args', jsonb_build_object('n', i)%s) order by i)
				from generate_series($1::integer, $2::integer) i))`, more), from, min(from+batch, jobs)-1)
		if err != nil {
			return err
		}
	}
	return nil
}

// finished inserts jobs that have succeeded, as rows: to drain so many would take too long.
func (p *place) finished(ctx context.Context, jobs int) error {
	return p.exec(ctx, `
		insert into procrastinate_jobs (task_name, args, status, attempts, deferred_at, started_at, finished_at)
		select 'noop', jsonb_build_object('n', i), 'succeeded', 1, x.at, x.at, x.at
		from generate_series(1, $1::integer) i
		cross join lateral (select now() - interval '1 day' + i * interval '1 day' / $1::integer as at) x`, jobs)
}
