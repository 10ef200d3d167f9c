package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

func TestPlan(t *testing.T) {
	for _, test := range []struct {
		name, quick, cells, systems string
		want                        int
		wantSystems                 []system
	}{
		{"all", "", "", "", len(cells), systems},
		{"quick", "1", "", "", 4, systems},
		{"some cells", "", "lock", "", 2, systems},
		{"some systems", "", "drain", "ours,graphile,RIVER", 1, []system{ours, graphile, river}},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{"BENCH_QUICK": test.quick, "BENCH_CELLS": test.cells, "BENCH_SYSTEMS": test.systems}
			got, err := planFor(func(name string) string { return env[name] })
			if err != nil || len(got.cells) != test.want || !slices.Equal(got.systems, test.wantSystems) {
				t.Errorf("got %d cells, %v, %v", len(got.cells), got.systems, err)
			}
		})
	}
	for name, value := range map[string]string{"BENCH_CELLS": "no such cell", "BENCH_SYSTEMS": "ours,,river"} {
		if _, err := planFor(func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}); err == nil {
			t.Errorf("got no error for %s=%s", name, value)
		}
	}
}

func TestAlternate(t *testing.T) {
	var got []string
	contenderOf := func(name string, breaksIn int) contender {
		round := 0
		return contender{name: name, run: func(ctx context.Context) error {
			got = append(got, name)
			if round++; round == breaksIn {
				return errors.New("broken")
			}
			return nil
		}}
	}
	b := &bench{}
	err := b.alternate(t.Context(), 3, []contender{contenderOf("a", 0), contenderOf("b", 2), contenderOf("c", 0)})
	if want := strings.Fields("a b c b c a c a"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: another one first in each round, and not what broke", got, want)
	}
	if err == nil || err.Error() != "b: broken" {
		t.Errorf("got %v, want the fault of b", err)
	}
}

func TestTimeOf(t *testing.T) {
	points := []point{{0, 0}, {1, 100}, {2, 300}}
	for jobs, want := range map[float64]float64{50: 0.5, 100: 1, 200: 1.5, 300: 2} {
		if got := timeOf(points, jobs); got != want {
			t.Errorf("%v jobs: got %v, want %v", jobs, got, want)
		}
	}
}

func TestLatenciesAreOfAllRounds(t *testing.T) {
	var w waits
	w.add([]float64{5, 1, 3})
	w.add([]float64{2, 100})
	if w.P50 != 3 || w.P95 != 100 || w.P99 != 100 || len(w.Each) != 2 {
		t.Errorf("got %+v", w)
	}
}

// reported has two rounds of drains and one of all else.
func reported() *bench {
	b := newBench(plan{Quick: true}, io.Discard)
	b.drained("drain, ours", drain{rate: 30_000, worker: 1, sql: 2, peak: 20})
	b.drained("drain, graphile-worker", drain{rate: 10_000, worker: 3, sql: 3, peak: 150})
	b.drained("drain, graphile-worker", drain{rate: 20_000, worker: 3, sql: 3, peak: 160})
	b.drained("drain, ours", drain{rate: 20_000, worker: 1, sql: 2, peak: 22})
	of := func(name string) drawn { return b.report.drains("drain, " + name) }
	b.compare(drainToGraphile, lab.Above(2.5, ""), "jobs/s", of("ours").Rate, of("graphile-worker").Rate)
	b.compare(drainToRiver, lab.Above(3, ""), "jobs/s", of("ours").Rate, of("River").Rate)
	b.compare("CPU", lab.AtMost(0.5, ""), "s/100k", of("ours").cpu(), of("graphile-worker").cpu())
	b.compare(latencyToGraphile, lab.AtMost(1, ""), "ms", []float64{3}, []float64{2})
	b.figure("memory", lab.AtMost(60, "MB"), 21, 22, 23)
	b.report.Waits = []waits{{Name: "ours", P50: 3, P95: 4, P99: 5, Each: [][]float64{{1, 2}, {3}}}}
	return b
}

func TestReport(t *testing.T) {
	var out strings.Builder
	if err := reported().report.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"drain, ours / graphile-worker >= 2.50 2 short 25000 / 15000 jobs/s",
		"CPU <= 0.50 0.50 ok 3 / 6 s/100k",
		"latency p50, ours / graphile-worker <= 1 1.50 short 3 / 2 ms",
		"memory <= 60 22 MB ok",
		"drain, ours 25000 1 2 21",
		"ours 3 4 5 3",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("got %s, want %s in it", out.String(), want)
		}
	}
	last := "\ndrain ours/graphile-worker 2 ours/river -; defer ours/river -; latency p50 ours/graphile-worker 1.50; pinned/clean -\n"
	if !strings.HasSuffix(out.String(), last) {
		t.Errorf("got %s, want it to end with %s", out.String(), last)
	}
	if _, err := json.Marshal(reported().report); err != nil {
		t.Error(err)
	}
	if got := reported().report.value("not measured"); !math.IsNaN(got) {
		t.Errorf("got %v for what was not measured", got)
	}
}

func TestGraph(t *testing.T) {
	// twice as fast in the first half
	g := newGraph("a <b>", []point{{0, 0}, {1, 200}, {3, 400}})
	if len(g.rate) != 30 || g.end != 3 {
		t.Fatalf("got %d spans until %v", len(g.rate), g.end)
	}
	for i, want := range map[int]float64{0: 200, 29: 100} {
		if got := g.rate[i].done; math.Abs(got-want) > 0.01 {
			t.Errorf("span %d: got %v jobs/s, want %v", i, got, want)
		}
	}
	picture := draw([]graph{g, newGraph("other", []point{{0, 0}, {2, 100}})})
	texts, lines := 0, 0
	for d := xml.NewDecoder(strings.NewReader(picture)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "polyline" {
			lines++
		}
		if c, ok := token.(xml.CharData); ok && (string(c) == "a <b>" || string(c) == "other") {
			texts++
		}
	}
	if lines != 2 || texts != 2 {
		t.Errorf("got %d lines and %d names in %s", lines, texts, picture)
	}
}

func TestStep(t *testing.T) {
	for greatest, want := range map[float64]float64{0.5: 0.2, 3: 0.5, 9: 2, 28: 5, 36_000: 5000, 79_000: 10_000, 99_000: 20_000} {
		if got := step(greatest); math.Abs(got-want) > want/1000 {
			t.Errorf("%v: got %v, want %v", greatest, got, want)
		}
	}
}
