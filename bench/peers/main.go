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

	// oursArg makes this program the adapter of our worker; the other arguments are those of an adapter.
	oursArg = "ours"
)

// plan is what is measured, and how much of it.
type plan struct {
	Quick   bool `json:"quick"`
	Rounds  int  `json:"rounds"`
	Drain   int  `json:"drain_jobs"`
	cells   []cell
	systems []system
}

var (
	full  = plan{Rounds: 3, Drain: 200_000}
	quick = plan{Quick: true, Rounds: 3, Drain: 50_000}
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
	began := time.Now()
	b := &bench{plan: plan, templates: map[string]string{}, log: lab.Progress(stderr)}
	b.report.Plan = plan
	defer b.close()
	if err := b.setUp(ctx); err != nil {
		return b.report, err
	}
	var faults []error
	for _, c := range plan.cells {
		if ctx.Err() != nil {
			break
		}
		b.log("%s", c.name)
		if err := c.run(ctx, b); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.name, err))
			b.log("%s: %v", c.name, err)
		}
	}
	b.report.Head.Took = time.Since(began).Round(time.Second).String()
	return b.report, errors.Join(append(b.faults, faults...)...)
}

// bench holds the servers, and what was measured.
type bench struct {
	plan      plan
	servers   []*lab.Server
	templates map[string]string // databases in which a system is installed, by its key
	places    int
	faults    []error // of the set-up
	report    report
	log       func(format string, args ...any)
}

func (b *bench) close() {
	for _, s := range b.servers {
		s.Stop()
	}
	for _, s := range b.servers {
		s.Wait()
	}
}

// server starts one more. Fifty worker processes have five connections each, some adapters more.
func (b *bench) server() (*lab.Server, error) {
	s, err := lab.Start("max_connections = 800")
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

// fresh is a place in which a system is installed.
func (b *bench) fresh(ctx context.Context, s system) (*place, error) {
	return b.place(ctx, b.servers[0], s, b.templates[s.key])
}

// has says whether a system takes part.
func (b *bench) has(s system) bool { return b.templates[s.key] != "" }

// A contender is measured beside others, once in each round.
type contender struct {
	name string
	run  func(context.Context) error
}

// alternate calls all of them in each round, another one first each time. One that breaks is left out from then on.
func (b *bench) alternate(ctx context.Context, rounds int, contenders []contender) error {
	broken := map[string]bool{}
	var faults []error
	for round := range rounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			if broken[c.name] || ctx.Err() != nil {
				continue
			}
			if err := c.run(ctx); err != nil {
				broken[c.name] = true
				faults = append(faults, fmt.Errorf("%s: %w", c.name, err))
			}
		}
	}
	return errors.Join(faults...)
}
