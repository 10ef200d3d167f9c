//go:build integration

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The program that is tested is its own adapter.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == oursArg {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestCells(t *testing.T) {
	t.Chdir("../..")
	tiny := plan{
		Quick: true, Rounds: 1, Drain: 2000, DeferRounds: 1, Seconds: 0.1, Waits: 5, Gap: 4, History: 2000, Piece: 1000, First: 500, Hot: 300,
		Workers: 2, Window: 100 * time.Millisecond, Curve: 2000,
		picture: filepath.Join(t.TempDir(), "curve.svg"), systems: []system{ours}, keep: true, settings: []string{"fsync = off"},
	}
	for _, c := range cells {
		if !slices.Contains([]string{"bulk", "locks and queues", "busy workers"}, c.name) { // they are like others
			tiny.cells = append(tiny.cells, c)
		}
	}
	b := newBench(tiny, t.Output())
	defer b.close()
	if err := b.setUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.runCells(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range b.report.Rows {
		got = append(got, row.Name)
		if !(row.Value > 0) && row.Target.Unit != "% of a core" {
			t.Errorf("%s: got %v", row.Name, row.Value)
		}
	}
	want := []string{
		"pinned by a reader / clean",
		"first 500 of 2000 / of few",
		"beside 2000 future, 4000 finished jobs / alone",
		"one lock with 300 jobs",
		"one lock, pinned / clean",
		"2 idle worker processes, CPU",
		"... of it PostgreSQL",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got rows %q, want %q", got, want)
	}
	if got := b.report.drains("drain, ours"); len(got.Rate) != 1 || got.Worker[0] <= 0 || got.SQL[0] <= 0 || got.Peak[0] < 1 || got.Conns[0] < 1 {
		t.Errorf("got drains %+v", got)
	}
	if got := b.report.Rates["defer, ours"]; len(got) != 1 || got[0] <= 0 {
		t.Errorf("got rates %v", got)
	}
	if got := b.report.Waits; len(got) != 1 || len(got[0].Each) != 1 || len(got[0].Each[0]) != tiny.Waits || got[0].P50 <= 0 {
		t.Errorf("got latencies %+v", got)
	}
	if _, err := os.Stat(tiny.picture); err != nil {
		t.Error(err)
	}
	insistOnOrder(t, b)
}

// A handler that sees jobs out of order must end the run, or the figure of the hot lock means nothing.
func insistOnOrder(t *testing.T, b *bench) {
	t.Helper()
	p, err := b.fresh(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 2} {
		if err := p.exec(t.Context(), `select procrastinate_defer('noop', jsonb_build_object('n', $1::integer), lock => 'hot')`, n); err != nil {
			t.Fatal(err)
		}
	}
	r, err := p.ready(t.Context(), drains{jobs: 2, modes: []string{modeOrdered}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.drain(t.Context()); err == nil || !strings.Contains(err.Error(), "[work ordered] ended") {
		t.Errorf("jobs out of order: got %v, want the end of the worker", err)
	}
}
