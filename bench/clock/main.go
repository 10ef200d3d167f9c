// Command clock measures what depends on time: schedules, retention, and how soon a waiting worker starts a job, on a throw-away
// server. It is run from the root of the repository, by make bench-clock; the README beside it says what is measured and how.
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
		fmt.Fprintf(os.Stderr, "bench-clock: %v\n", err)
		os.Exit(1)
	}
}

const (
	resultsPath = "bench/clock/results.json"

	// side is how many cells wait at once for what becomes due. Each is nearly idle.
	side = 4
)

// plan is what is measured, and how much of it.
type plan struct {
	Quick     bool          `json:"quick"`
	Rounds    int           `json:"rounds"` // of what is measured once a round
	Schedules int           `json:"schedules"`
	Old       int           `json:"old_jobs"` // that retention deletes
	Drain     int           `json:"drained_jobs"`
	Workers   int           `json:"idle_workers"`
	Window    time.Duration `json:"window"` // for which idle workers are watched
	shrink    int           // so many times fewer single jobs are waited for
	cells     []cell
}

// planFor reads BENCH_QUICK, which is for a smoke test, and BENCH_CELLS, a regular expression for their names.
func planFor(getenv func(string) string) (plan, error) {
	result := plan{Rounds: 5, Schedules: 10_000, Old: 5_000_000, Drain: 150_000, Workers: 50, Window: 15 * time.Second, shrink: 1}
	if getenv("BENCH_QUICK") == "1" {
		result = plan{Quick: true, Rounds: 1, Schedules: 200, Old: 30_000, Drain: 3000, Workers: 5, Window: time.Second, shrink: 50}
	}
	wanted, err := regexp.Compile(getenv("BENCH_CELLS"))
	if err != nil {
		return result, fmt.Errorf("BENCH_CELLS: %w", err)
	}
	for _, c := range cells {
		if wanted.MatchString(c.name) {
			result.cells = append(result.cells, c)
		}
	}
	if len(result.cells) == 0 {
		return result, fmt.Errorf("BENCH_CELLS: no cell is called %s", wanted)
	}
	return result, nil
}

// count is how many of so many single jobs the plan takes.
func (p plan) count(jobs int) int { return max(jobs/p.shrink, 3) }

func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 2 && args[0] == workerArg {
		return runWorker(ctx, args[1], stdin, stdout, stderr)
	}
	plan, err := planFor(getenv)
	if err != nil {
		return err
	}
	began := time.Now()
	// each worker process has up to six connections
	server, err := lab.Start("max_connections = 500")
	if err != nil {
		return err
	}
	defer server.Wait()
	defer server.Stop()
	b := &bench{plan: plan, server: server, log: lab.Progress(stderr)}
	head, err := b.head(ctx)
	if err != nil {
		return err
	}
	results, err := b.measure(ctx)
	head.Took = time.Since(began).Round(time.Second).String()
	report := newReport(head, plan, results)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(lab.WriteJSON(resultsPath, report), report.print(stdout), err)
}

type bench struct {
	plan   plan
	server *lab.Server
	log    func(format string, args ...any)
}

func (b *bench) head(ctx context.Context) (lab.Head, error) {
	conn, err := pgx.Connect(ctx, b.server.URL)
	if err != nil {
		return lab.Head{}, err
	}
	defer func() { _ = conn.Close(ctx) }()
	return lab.NewHead(ctx, conn)
}

// measure runs the cells in turn, and those that mostly wait several at a time. What a cell measured before it broke counts.
func (b *bench) measure(ctx context.Context) ([]result, error) {
	results := make([]result, len(b.plan.cells))
	faults := make([]error, len(b.plan.cells))
	do := func(i int) {
		c := b.plan.cells[i]
		results[i], faults[i] = b.runCell(ctx, i, c)
		if faults[i] != nil {
			faults[i] = fmt.Errorf("%s: %w", c.name, faults[i])
			b.log("%v", faults[i])
		}
	}
	var waiting sync.WaitGroup
	places := make(chan struct{}, side)
	for i, c := range b.plan.cells {
		if c.waits || ctx.Err() != nil {
			continue
		}
		do(i)
	}
	for i, c := range b.plan.cells {
		if !c.waits || ctx.Err() != nil {
			continue
		}
		places <- struct{}{}
		waiting.Go(func() {
			defer func() { <-places }()
			do(i)
		})
	}
	waiting.Wait()
	return results, errors.Join(faults...)
}

func (b *bench) runCell(ctx context.Context, i int, c cell) (result, error) {
	r := &room{plan: b.plan, server: b.server, cell: c, database: fmt.Sprintf("cell_%d", i), log: b.log}
	err := r.fresh(ctx)
	if err == nil {
		b.log("%s", c.name)
		err = c.run(ctx, r)
	}
	return r.result, errors.Join(err, r.close(ctx))
}
