package main

import (
	"math"
	"strings"
	"testing"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name   string
		checks []check
		want   string
	}{
		{"all reached", []check{{1, 1}, {0.9, 0.85}}, "ok"},
		{"one missed", []check{{1, 1}, {0.84, 0.85}}, "short"},
		{"not measured", []check{{math.NaN(), 1}}, "short"},
		{"nothing asked for", nil, "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := verdict(test.checks...); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// The last lines are read by programs.
func TestLastLinesOfReport(t *testing.T) {
	r := rates{}
	for _, c := range cells {
		for _, s := range systems {
			if s.can(c) {
				r.add(c.name, s.name, 100)
			}
		}
	}
	r["fetch+finish 10, writer"][ours][0] = 50
	r["fetch+finish 100, snapshot"][ours][0] = 70
	r["10k locks, exchange 100"][ours][0] = 45
	var out strings.Builder
	if err := newReport(lab.Head{}, plan{Rounds: 1, cells: cells}, r).print(&out); err != nil {
		t.Fatal(err)
	}
	want := `
locks/lockless n=100 0.45
pinned/clean n=1 1.00
pinned/clean n=10 0.50
pinned/clean n=100 0.70
pinned/clean n=1000 1.00
`
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %s, want it to end with %s", out.String(), want)
	}
	if got := strings.Count(out.String(), "short"); got != 5 {
		t.Errorf("got %d lines that are short, want the three cells and two of their ratios: %s", got, out.String())
	}
}

// Two cells with one name would share their rates.
func TestCellsHaveNamesOfTheirOwn(t *testing.T) {
	names := map[string]bool{}
	for _, c := range cells {
		if names[c.name] {
			t.Errorf("two cells are called %q", c.name)
		}
		names[c.name] = true
	}
}

func TestPlan(t *testing.T) {
	for _, test := range []struct {
		cells string
		want  int
	}{
		{"", len(cells)},
		{"^fetch.finish 100(,|$)", 3},
	} {
		got, err := planFor(func(name string) string { return map[string]string{"BENCH_CELLS": test.cells}[name] })
		if err != nil || len(got.cells) != test.want {
			t.Errorf("BENCH_CELLS=%s: got %d cells and error %v, want %d", test.cells, len(got.cells), err, test.want)
		}
	}
	if _, err := planFor(func(string) string { return "no such cell" }); err == nil {
		t.Error("got no error for BENCH_CELLS that no cell matches")
	}
}
