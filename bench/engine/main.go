// Command engine measures the SQL functions against two prototypes of theirs, on throw-away servers. It is run from
// the root of the repository, by make bench-engine; the README beside it says what is measured and how.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench-engine: %v\n", err)
		os.Exit(1)
	}
}

const (
	clients     = 2
	resultsPath = "bench/engine/results.json"
)

// plan is what is measured, and how much of it.
type plan struct {
	Quick   bool `json:"quick"`
	Rounds  int  `json:"rounds"`
	History int  `json:"history"` // jobs processed before anything is measured where history matters
	Backlog int  `json:"backlog"` // jobs that wait all the while in the place of that name
	shrink  int  // every piece is so many times smaller
	cells   []cell
}

// planFor reads BENCH_QUICK, which is for a smoke test, and BENCH_CELLS, a regular expression for their names.
func planFor(getenv func(string) string) (plan, error) {
	result := plan{Rounds: 3, History: 500_000, Backlog: 1_000_000, shrink: 1}
	if getenv("BENCH_QUICK") == "1" {
		result = plan{Quick: true, Rounds: 1, History: 10_000, Backlog: 20_000, shrink: 50}
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

func (p plan) needs(place string) bool {
	return slices.ContainsFunc(p.cells, func(c cell) bool { return c.place == place })
}

func run(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) error {
	plan, err := planFor(getenv)
	if err != nil {
		return err
	}
	began := time.Now()
	b := &bench{plan: plan, places: map[placeKey]*place{}, log: lab.Progress(stderr)}
	defer b.close()
	if err := b.setUp(ctx); err != nil {
		return err
	}
	head, err := lab.NewHead(ctx, b.places[placeKey{plan.cells[0].place, ours}].conn)
	if err != nil {
		return err
	}
	rates, err := b.measure(ctx)
	if err != nil {
		return err
	}
	head.Took = time.Since(began).Round(time.Second).String()
	report := newReport(head, plan, rates)
	if err := lab.WriteJSON(resultsPath, report); err != nil {
		return err
	}
	return report.print(stdout)
}

// measure runs every cell for every system once a round. The systems follow each other at once, another one first in
// each round, and every second round goes through the cells backwards: what drifts on the machine hits all alike.
func (b *bench) measure(ctx context.Context) (rates, error) {
	result := rates{}
	for round := range b.plan.Rounds {
		order := slices.Clone(b.plan.cells)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			for i := range systems {
				s := systems[(i+round)%len(systems)]
				if !s.can(c) {
					continue
				}
				rate, err := b.piece(ctx, s, c)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", c.name, s.name, err)
				}
				result.add(c.name, s.name, rate)
				b.log("round %d/%d  %-32s %-9s %8.0f jobs/s", round+1, b.plan.Rounds, c.name, s.name, rate)
			}
		}
	}
	return result, nil
}
