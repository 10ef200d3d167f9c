package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

func TestPercentilesOfWaits(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	for _, test := range []struct {
		name               string
		spans              []time.Duration
		p50, p95, p99, max float64
	}{
		{"a hundred", hundred, 50, 95, 99, 100},
		{"a hundred and one: the 99th of a hundred is the last but one", append(hundred, 200*time.Millisecond), 51, 96, 100, 200},
		{"few: the last", []time.Duration{2 * time.Millisecond, time.Millisecond}, 1, 2, 2, 2},
		{"clocks that differ", []time.Duration{-1500 * time.Microsecond}, -1.5, -1.5, -1.5, -1.5},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newWaits("", soon, test.spans)
			if got.P50 != test.p50 || got.P95 != test.p95 || got.P99 != test.p99 || got.Max != test.max {
				t.Errorf("got %v %v %v %v, want %v %v %v %v", got.P50, got.P95, got.P99, got.Max, test.p50, test.p95, test.p99, test.max)
			}
		})
	}
}

func TestReportHoldsTheMissesToo(t *testing.T) {
	r := &room{log: func(string, ...any) {}}
	r.figure("three rounds", deletions, 30_000, 10_000, 15_000)
	r.figure("no target", lab.None("s"), 1.234)
	r.waits("late", soon, []time.Duration{time.Second})
	report := newReport(lab.Head{}, plan{cells: []cell{{part: 4, name: "c"}}}, []result{r.result})
	var out strings.Builder
	if err := report.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"4", "three", "rounds", "15000", "rows/s", ">=", "20000", "short"},
		{"4", "no", "target", "1.23", "s", "-", "-"},
		{"4", "late", "1000", "1000", "1000", "1000", "1", "<", "50", "short"},
	} {
		if !strings.Contains(squeezed(out.String()), "\n"+strings.Join(want, " ")+"\n") {
			t.Errorf("got %s, want a line %s", out.String(), want)
		}
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"figures":[{"name":"three rounds","value":15000,"each":[30000,10000,15000],"target":{"unit":"rows/s","above":20000},"verdict":"short"}`; !bytes.Contains(text, []byte(want)) {
		t.Errorf("got %s, want it to have %s", text, want)
	}
}

// squeezed has one space between the words of a line.
func squeezed(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}
