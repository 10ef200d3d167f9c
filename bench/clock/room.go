package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

// A room is where a cell is measured: a database, and worker processes that are noted.
type room struct {
	plan     plan
	server   *lab.Server
	cell     cell
	database string
	log      func(format string, args ...any)

	conn    *pgx.Conn
	workers []*lab.Process
	notes   chan note
	early   map[noteKey]note // came before somebody waited for them
	result  result
}

type noteKey struct {
	what string
	job  int64
}

// patience is how long a single note is waited for: three polls.
const patience = 3 * quietPoll

var errMissed = errors.New("it did not come")

// fresh gives the room an empty database.
func (r *room) fresh(ctx context.Context) error {
	if err := r.close(ctx); err != nil {
		return err
	}
	if err := r.server.Admin(ctx, "create database "+r.database); err != nil {
		return err
	}
	var err error
	if r.conn, err = pgx.Connect(ctx, r.server.Database(r.database)); err != nil {
		return err
	}
	_, err = migrate.Up(ctx, r.conn, "public")
	return err
}

// close stops the workers and drops the database; the next cell needs its memory and the disk.
func (r *room) close(ctx context.Context) error {
	err := r.stopWorkers()
	if r.conn == nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	_ = r.conn.Close(ctx)
	r.conn = nil
	return errors.Join(err, r.server.Admin(ctx, "drop database "+r.database+" with (force)"))
}

func (r *room) exec(ctx context.Context, sql string, args ...any) error {
	_, err := r.conn.Exec(ctx, sql, args...)
	return err
}

func (r *room) number(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = r.conn.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

// start starts a worker process: this program, called as one.
func (r *room) start(s spec) (*lab.Process, error) {
	s.URL = r.server.Database(r.database)
	arg, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	notes := r.notes
	p, err := lab.StartProcess(exec.Command(program, workerArg, string(arg)), func(line string) {
		n, err := readNote(line)
		if err != nil {
			r.log("%v", err)
			return
		}
		notes <- n
	}, func() {})
	if err == nil {
		r.workers = append(r.workers, p)
	}
	return p, err
}

// stopWorkers ends them as a signal would, and waits until they are gone. What they said and nobody asked for is forgotten.
func (r *room) stopWorkers() error {
	for _, p := range r.workers {
		p.Stop()
	}
	var faults []error
	for _, p := range r.workers {
		if err := p.Wait(time.Minute); err != nil {
			faults = append(faults, fmt.Errorf("a worker process: %w", err))
		}
	}
	r.workers, r.notes, r.early = nil, make(chan note, 10_000), map[noteKey]note{}
	return errors.Join(faults...)
}

// next is the next note.
func (r *room) next(ctx context.Context, within time.Duration) (note, error) {
	select {
	case n := <-r.notes:
		return n, nil
	case <-ctx.Done():
		return note{}, ctx.Err()
	case <-time.After(within):
		return note{}, errMissed
	}
}

// await is the note of one job, or of a worker (0); what else comes is kept for those who will ask.
func (r *room) await(ctx context.Context, what string, job int64, within time.Duration) (note, error) {
	key := noteKey{what, job}
	for end := time.Now().Add(within); ; {
		if n, ok := r.early[key]; ok {
			delete(r.early, key)
			return n, nil
		}
		n, err := r.next(ctx, time.Until(end))
		if err != nil {
			return n, fmt.Errorf("wait for %q of job %d: %w", what, job, err)
		}
		r.early[noteKey{n.what, n.job}] = n
	}
}
