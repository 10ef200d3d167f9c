package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// A place is a database of one system.
type place struct {
	system  system
	url     string
	pgbench string
	conn    *pgx.Conn // for all that is not timed
	pin     *pgx.Conn // in an open transaction, or nil
}

func newPlace(ctx context.Context, server *lab.Server, name string, s system) (*place, error) {
	admin, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return nil, err
	}
	database := name + "_" + s.name
	if _, err := admin.Exec(ctx, "create database "+database); err != nil {
		return nil, err
	}
	if err := admin.Close(ctx); err != nil {
		return nil, err
	}
	p := &place{system: s, url: server.Database(database), pgbench: server.Pgbench}
	if p.conn, err = pgx.Connect(ctx, p.url); err != nil {
		return nil, err
	}
	if err := s.install(ctx, p.conn); err != nil {
		return nil, err
	}
	if err := execute(s.batches())(ctx, p.conn); err != nil {
		return nil, err
	}
	for range clients {
		if _, err := p.conn.Exec(ctx, s.register); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *place) openPin(ctx context.Context, begin, statement string) error {
	var err error
	if p.pin, err = pgx.Connect(ctx, p.url); err != nil {
		return err
	}
	if _, err := p.pin.Exec(ctx, begin); err != nil {
		return err
	}
	_, err = p.pin.Exec(ctx, strings.TrimSuffix(statement, ";"))
	return err
}

// process defers jobs, a thousand a call, fetches and finishes them a thousand at a time.
func (p *place) process(ctx context.Context, jobs int) error {
	mark, err := p.number(ctx, p.lastID())
	if err != nil {
		return err
	}
	if err := p.fill(ctx, "plain", jobs); err != nil {
		return err
	}
	if _, err := p.run(ctx, cell{script: "cycle", batch: 1000, perLock: 1}, clients, calls(jobs/1000/clients)); err != nil {
		return err
	}
	return p.drain(ctx, mark)
}

func (p *place) lastID() string { return `select coalesce(max(id), 0) from ` + p.system.jobsTable }

func (p *place) deferred(from int64) string {
	return fmt.Sprintf(`select count(*) from %s where id > %d`, p.system.jobsTable, from)
}

func (p *place) succeeded(from int64) string { return p.deferred(from) + ` and status = 'succeeded'` }

func (p *place) unfinished(from int64) string {
	return p.deferred(from) + ` and status in ('todo', 'doing')`
}

func (p *place) number(ctx context.Context, sql string) (n int64, err error) {
	err = p.conn.QueryRow(ctx, sql).Scan(&n)
	return n, err
}

// fill defers at least so many jobs in bulk: whole batches, as many of each row.
func (p *place) fill(ctx context.Context, batch string, jobs int) error {
	perCall := 1000 * clients
	_, err := p.run(ctx, cell{script: "defer many", fill: batch}, clients, calls((jobs+perCall-1)/perCall))
	return err
}

// drain finishes all jobs above the mark. What a client had in hand at the end of an exchange is finished first.
func (p *place) drain(ctx context.Context, mark int64) error {
	for w := range int64(clients) {
		held, err := p.ids(ctx, fmt.Sprintf(
			`select id from %s where id > %d and status = 'doing' and worker_id = $1`, p.system.jobsTable, mark), w+1)
		if err != nil {
			return err
		}
		if _, err := p.conn.Exec(ctx, p.system.finish, w+1, held); err != nil {
			return err
		}
	}
	for {
		fetched, err := p.ids(ctx, p.system.fetch, 1)
		if err != nil {
			return err
		}
		if len(fetched) == 0 {
			break
		}
		if _, err := p.conn.Exec(ctx, p.system.finish, 1, fetched); err != nil {
			return err
		}
	}
	left, err := p.number(ctx, p.unfinished(mark))
	if err == nil && left > 0 && p.system.name == ours {
		err = fmt.Errorf("%d jobs are left that no fetch returns", left)
	}
	return err
}

func (p *place) ids(ctx context.Context, sql string, worker int64) ([]int64, error) {
	rows, err := p.conn.Query(ctx, sql, worker)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// prepareLanes uses each of a thousand lanes once and leaves them empty; parked, if that is asked for.
func (p *place) prepareLanes(ctx context.Context, how string) error {
	mark, err := p.number(ctx, p.lastID())
	if err != nil {
		return err
	}
	// by one client: two would open some lanes twice
	if _, err := p.run(ctx, cell{script: "defer many", fill: "all lanes"}, 1, calls(1)); err != nil {
		return err
	}
	if err := p.drain(ctx, mark); err != nil {
		return err
	}
	lanes, err := p.number(ctx, p.system.lanes)
	if err != nil || how == "open" {
		if err == nil && lanes < 1000 {
			err = fmt.Errorf("%d lanes instead of 1,000", lanes)
		}
		return err
	}
	// a lane is parked when those who may still write to it have ended, and autovacuum may be among them
	for end := time.Now().Add(20 * time.Second); lanes > 1 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, statement := range p.system.park {
			if _, err := p.conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		if lanes, err = p.number(ctx, p.system.lanes); err != nil {
			return err
		}
	}
	if lanes > 1 {
		return fmt.Errorf("%d lanes are not parked", lanes)
	}
	return nil
}
