// The program river is River for bench/peers, with the settings that are its
// best for no-op jobs on two cores. See bench/README.md for its commands.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"golang.org/x/sync/errgroup"
)

type noop struct {
	N int `json:"n"`
}

func (noop) Kind() string { return "noop" }

type peer struct {
	numbers []int
	options []string
	stdin   io.Reader
	out     *json.Encoder
	pool    *pgxpool.Pool
}

type values map[string]any

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin *os.File, stdout io.Writer) error {
	if len(args) == 0 {
		return errors.New("no command")
	}
	p := &peer{stdin: stdin, out: json.NewEncoder(stdout)}
	command, ok := map[string]struct {
		run     func(context.Context) error
		numbers int
	}{
		"install": {p.install, 0}, "insert": {p.insert, 1}, "defer": {p.deferJobs, 2},
		"send": {p.send, 2}, "left": {p.left, 0}, "work": {p.work, 0},
	}[args[0]]
	if !ok || len(args)-1 < command.numbers {
		return fmt.Errorf("no command %q", args)
	}
	for _, arg := range args[1 : 1+command.numbers] {
		number, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		p.numbers = append(p.numbers, number)
	}
	p.options = args[1+command.numbers:]

	if info, err := stdin.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 && args[0] != "work" {
		// The starter's end closes it, which ends us.
		go func() {
			_, _ = io.Copy(io.Discard, stdin)
			os.Exit(1)
		}()
	}
	return command.run(ctx)
}

// connect opens a pool of so many connections, all of them now.
func (p *peer) connect(ctx context.Context, conns int) error {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	config.MaxConns = int32(conns)
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	for range conns {
		conn, err := p.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
	}
	return nil
}

// sender is a client that only inserts. It notifies once in this span at most.
func (p *peer) sender(ctx context.Context, conns int, notifyEvery time.Duration) (*river.Client[pgx.Tx], error) {
	if err := p.connect(ctx, conns); err != nil {
		return nil, err
	}
	return river.NewClient(riverpgxv5.New(p.pool), &river.Config{FetchCooldown: notifyEvery, FetchPollInterval: notifyEvery})
}

func (p *peer) install(ctx context.Context) error {
	if err := p.connect(ctx, 1); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(p.pool), nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	version := ""
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/riverqueue/river" {
			version = module.Version[1:]
		}
	}
	return p.out.Encode(values{"system": "River", "version": version, "runtime": runtime.Version()})
}

// insert takes the path of COPY.
func (p *peer) insert(ctx context.Context) error {
	jobs := p.numbers[0]
	client, err := p.sender(ctx, 1, river.FetchCooldownDefault)
	if err != nil {
		return err
	}
	start := time.Now()
	for first := 0; first < jobs; first += 1000 {
		batch := make([]river.InsertManyParams, min(1000, jobs-first))
		for i := range batch {
			batch[i].Args = noop{first + i}
		}
		if _, err := client.InsertManyFast(ctx, batch); err != nil {
			return err
		}
	}
	return p.out.Encode(values{"jobs": jobs, "seconds": time.Since(start).Seconds()})
}

func (p *peer) deferJobs(ctx context.Context) error {
	span, conns := time.Duration(p.numbers[0])*time.Second, p.numbers[1]
	notifyEvery := river.FetchCooldownDefault
	if slices.Contains(p.options, "--notify=off") {
		notifyEvery = time.Hour // there is no switch: the first call notifies, no other does
	}
	client, err := p.sender(ctx, conns, notifyEvery)
	if err != nil {
		return err
	}
	var jobs atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for range conns {
		group.Go(func() error {
			for time.Since(start) < span {
				if _, err := client.Insert(ctx, noop{int(jobs.Add(1) - 1)}, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return p.out.Encode(values{"jobs": jobs.Load(), "seconds": time.Since(start).Seconds()})
}

func (p *peer) send(ctx context.Context) error {
	jobs, gap := p.numbers[0], float64(p.numbers[1])*float64(time.Millisecond)
	// Else a job that comes within 100 ms of another would wait for a poll.
	client, err := p.sender(ctx, 1, time.Millisecond)
	if err != nil {
		return err
	}
	for i := range jobs {
		time.Sleep(time.Duration((0.5 + rand.Float64()) * gap))
		if _, err := client.Insert(ctx, noop{i}, nil); err != nil {
			return err
		}
		if err := p.out.Encode(values{"n": i, "at": time.Now().UnixMicro()}); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) left(ctx context.Context) error {
	if err := p.connect(ctx, 1); err != nil {
		return err
	}
	var left int
	if err := p.pool.QueryRow(ctx, `select count(*) from river_job where state <> 'completed'`).Scan(&left); err != nil {
		return err
	}
	return p.out.Encode(values{"left": left})
}
