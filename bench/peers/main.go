// Command peers measures our worker beside other queues on PostgreSQL, on a throw-away server. It is run from the root of the
// repository, by make bench and make bench-quick; the README beside it says what is measured and how.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

const (
	resultsPath = "bench/peers/results.json"

	// maxConnections is enough for fifty worker processes of up to five each, and for those of a peer's pool.
	maxConnections = 800

	// oursArg makes this program the adapter of our worker; the other arguments are those of an adapter.
	oursArg = "ours"
)

// plan is what is measured, and how much of it.
type plan struct {
	Quick       bool          `json:"quick"`
	Rounds      int           `json:"rounds"`
	Drain       int           `json:"drained_jobs"`
	DeferRounds int           `json:"defer_rounds"`
	Seconds     float64       `json:"defer_seconds"`
	Bulk        int           `json:"bulk_jobs"`
	Waits       int           `json:"latency_jobs_a_round"`
	Gap         int           `json:"latency_gap_ms"`
	History     int           `json:"history"` // jobs drained before, or waiting behind
	Piece       int           `json:"jobs_after_history"`
	First       int           `json:"first_jobs_of_a_backlog"`
	Hot         int           `json:"jobs_of_one_lock"`
	Shape       int           `json:"jobs_of_many_locks_or_queues"`
	Workers     int           `json:"worker_processes"`
	Window      time.Duration `json:"idle_window"`
	Curve       int           `json:"curve_jobs"`
	picture     string        // where the curve is drawn
	keep        bool          // databases that are done with are not dropped
	settings    []string      // of the server, beside those of all benchmarks
	cells       []cell
	systems     []system
}

var (
	full = plan{
		Rounds: 3, Drain: 200_000, DeferRounds: 5, Seconds: 3, Bulk: 100_000, Waits: 150, Gap: 50, History: 1_000_000, Piece: 100_000,
		First: 50_000, Hot: 10_000, Shape: 100_000, Workers: 50, Window: 15 * time.Second, Curve: 400_000, picture: "bench/pinned.svg",
	}
	quick = plan{
		Quick: true, Rounds: 3, Drain: 50_000, DeferRounds: 3, Seconds: 1, Waits: 50, Gap: 10, History: 30_000, Piece: 20_000,
		keep: true,
	}
)

// planFor reads BENCH_QUICK, which is for make bench-quick, BENCH_CELLS, a regular expression for their names, and BENCH_SYSTEMS.
func planFor(getenv func(string) string) (plan, error) {
	result := full
	if getenv("BENCH_QUICK") == "1" {
		result = quick
	}
	wanted, err := regexp.Compile(getenv("BENCH_CELLS"))
	if err != nil {
		return result, fmt.Errorf("BENCH_CELLS: %w", err)
	}
	for _, c := range cells {
		if wanted.MatchString(c.name) && (c.quick || !result.Quick) {
			result.cells = append(result.cells, c)
		}
	}
	if len(result.cells) == 0 {
		return result, fmt.Errorf("BENCH_CELLS: no cell is called %s", wanted)
	}
	result.systems, err = systemsFor(getenv("BENCH_SYSTEMS"))
	return result, err
}

func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) > 1 && args[0] == oursArg {
		return runOurs(ctx, args[1:], getenv, stdin, stdout, stderr)
	}
	plan, err := planFor(getenv)
	if err != nil {
		return err
	}
	report, err := measure(ctx, plan, stderr)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, lab.WriteJSON(resultsPath, report), report.print(stdout))
}

// measure runs the cells in turn. What a cell measured before it broke counts.
func measure(ctx context.Context, plan plan, stderr io.Writer) (report, error) {
	b := newBench(plan, stderr)
	defer b.close()
	if err := b.setUp(ctx); err != nil {
		return b.report, err
	}
	err := b.runCells(ctx)
	b.report.Head.Took = time.Since(b.began).Round(time.Second).String()
	return b.report, err
}

func (b *bench) runCells(ctx context.Context) error {
	faults := b.faults
	for _, c := range b.plan.cells {
		if ctx.Err() != nil {
			break
		}
		b.log("%s", c.name)
		if err := c.run(ctx, b); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.name, err))
			b.log("%s: %v", c.name, err)
		}
	}
	return errors.Join(faults...)
}

// bench holds the servers, and what was measured.
type bench struct {
	plan      plan
	began     time.Time
	servers   []*lab.Server
	templates map[string]string // databases in which a system is installed, by its key
	places    atomic.Int64
	running   sync.Map // of programs
	faults    []error  // of the set-up
	report    report
	log       func(format string, args ...any)
}

func newBench(plan plan, stderr io.Writer) *bench {
	return &bench{
		plan: plan, began: time.Now(), templates: map[string]string{}, log: lab.Progress(stderr), report: report{Plan: plan, Rates: map[string][]float64{}},
	}
}

// close ends the programs first: without their server they would only complain.
func (b *bench) close() {
	var all []*program
	for prog := range b.running.Range {
		all = append(all, prog.(*program))
	}
	_ = stopAll(all)
	for _, s := range b.servers {
		s.Stop()
	}
	for _, s := range b.servers {
		s.Wait()
	}
}

// server starts one more.
func (b *bench) server() (*lab.Server, error) {
	s, err := lab.Start(append(b.plan.settings, fmt.Sprintf("max_connections = %d", maxConnections))...)
	if err == nil {
		b.servers = append(b.servers, s)
	}
	return s, err
}

// setUp starts the server and installs each system once; the databases of the cells are copies of that. A system that cannot be
// installed is left out.
func (b *bench) setUp(ctx context.Context) error {
	server, err := b.server()
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if b.report.Head, err = lab.NewHead(ctx, conn); err != nil {
		return err
	}
	for _, s := range b.plan.systems {
		version, err := b.install(ctx, s)
		if err != nil {
			b.faults = append(b.faults, fmt.Errorf("install %s: %w", s.name, err))
			b.log("install %s: %v", s.name, err)
			continue
		}
		b.report.Systems = append(b.report.Systems, version)
	}
	return nil
}

func (b *bench) install(ctx context.Context, s system) (line, error) {
	p, err := b.place(ctx, b.servers[0], s, "")
	if err != nil {
		return line{}, err
	}
	version, err := p.call(ctx, "install")
	if err != nil {
		return line{}, err
	}
	b.templates[s.key] = p.name
	return version, p.leave(ctx)
}

// has says whether a system takes part.
func (b *bench) has(s system) bool { return b.templates[s.key] != "" }
