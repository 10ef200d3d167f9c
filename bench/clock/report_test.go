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

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name   string
		target target
		value  float64
		want   string
	}{
		{"below the bound", below(50, "ms"), 49.9, "ok"},
		{"at the bound of what is to be below", below(50, "ms"), 50, "short"},
		{"at the bound of what is to be above", above(0.8, ""), 0.8, "ok"},
		{"too little", above(0.8, ""), 0.79, "short"},
		{"not measured", below(50, "ms"), newWaits("", soon, nil).P99, "short"},
		{"nothing asked for", none("ms"), 1000, "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.target.verdict(test.value); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestReportHoldsTheMissesToo(t *testing.T) {
	r := &room{log: func(string, ...any) {}}
	r.figure("three rounds", deletions, 30_000, 10_000, 15_000)
	r.figure("no target", none("s"), 1.234)
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

func TestDigits(t *testing.T) {
	for value, want := range map[float64]string{0.123: "0.12", 9.996: "10.00", 12.34: "12.3", 123.4: "123", 50: "50", 21_345.6: "21346"} {
		if got := digits(value); got != want {
			t.Errorf("%v: got %s, want %s", value, got, want)
		}
	}
}
