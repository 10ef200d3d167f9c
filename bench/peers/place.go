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
)

// patience is how long a program may take to end, or to say that it is ready.
const patience = 30 * time.Second

// A place is a database in which a system is measured.
type place struct {
	system
	server *lab.Server
	name   string
	conn   *pgx.Conn
	bench  *bench
	copied bool // for one drain
}

// place makes a database, of what another one holds: nobody may be connected to that.
func (b *bench) place(ctx context.Context, server *lab.Server, s system, like string) (*place, error) {
	p := &place{system: s, server: server, name: fmt.Sprintf("place_%d_%s", b.places.Add(1), s.key), bench: b}
	create := "create database " + p.name
	if like != "" {
		create += " template " + like
	}
	if err := server.Admin(ctx, create); err != nil {
		return nil, err
	}
	return p, p.connect(ctx)
}

func (p *place) connect(ctx context.Context) (err error) {
	p.conn, err = pgx.Connect(ctx, p.server.Database(p.name))
	return err
}

// leave ends our connection: then the place can be copied.
func (p *place) leave(ctx context.Context) error {
	if p.conn == nil {
		return nil
	}
	err := p.conn.Close(ctx)
	p.conn = nil
	return err
}

// drop deletes it: the next one needs its memory, and the disk. It takes a while, and a short run has enough of both.
func (p *place) drop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if p.bench.plan.keep {
		return p.leave(ctx)
	}
	return errors.Join(p.leave(ctx), p.server.Admin(ctx, "drop database "+p.name+" with (force)"))
}

func (p *place) exec(ctx context.Context, sql string, args ...any) error {
	_, err := p.conn.Exec(ctx, sql, args...)
	return err
}

// settle is done before all that is measured.
func (p *place) settle(ctx context.Context) error {
	return errors.Join(p.exec(ctx, "vacuum analyze"), p.exec(ctx, "checkpoint"))
}

// program is an adapter that was started, and what it says.
type program struct {
	*lab.Process
	said chan line // closed when it has ended
	text string

	forget func()
}

func (p *place) start(args ...string) (*program, error) {
	command, err := p.command()
	if err != nil {
		return nil, err
	}
	command = append(command, args...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+p.server.Database(p.name))
	result := &program{said: make(chan line, 1000), text: fmt.Sprintf("%s %v", p.system.name, args)}
	result.forget = func() { p.bench.running.Delete(result) }
	result.Process, err = lab.StartProcess(cmd, func(text string) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			p.bench.log("%s said %q: %v", result.text, text, err)
			return
		}
		result.said <- l
	}, func() { close(result.said) })
	if err == nil {
		p.bench.running.Store(result, true)
	}
	return result, err
}

// call runs a command to its end and returns what it said last.
func (p *place) call(ctx context.Context, args ...string) (last line, err error) {
	prog, err := p.start(args...)
	if err != nil {
		return last, err
	}
	interrupted := context.AfterFunc(ctx, prog.Stop)
	defer interrupted()
	for l := range prog.said {
		last = l
	}
	if err := prog.end(); err != nil {
		return last, err
	}
	return last, ctx.Err()
}

// end waits until it has ended.
func (g *program) end() error {
	err := g.Wait(patience)
	g.forget()
	if err != nil {
		return fmt.Errorf("%s: %w", g.text, err)
	}
	return nil
}

// next is what it says next.
func (g *program) next(ctx context.Context, within time.Duration) (line, error) {
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case l, ok := <-g.said:
		if !ok {
			return l, errors.Join(fmt.Errorf("%s ended", g.text), g.end())
		}
		return l, nil
	case <-ctx.Done():
		return line{}, ctx.Err()
	case <-late.C:
		return line{}, fmt.Errorf("%s says nothing for %s", g.text, within)
	}
}

// worker starts a worker process that is ready to begin.
func (p *place) worker(ctx context.Context, modes ...string) (*program, error) {
	prog, err := p.start(append([]string{"work"}, modes...)...)
	if err != nil {
		return nil, err
	}
	if l, err := prog.next(ctx, patience); err != nil || !l.Ready {
		prog.Stop()
		return nil, errors.Join(err, prog.end(), fmt.Errorf("%s is not ready", prog.text))
	}
	return prog, nil
}

// stop stops it gracefully. What it said and nobody heard is forgotten.
func (g *program) stop() error {
	g.Stop()
	go func() {
		for range g.said { // its last words must not block it
		}
	}()
	return g.end()
}
