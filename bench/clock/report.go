package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// A target is a bound, or none, for what is measured in a unit.
type target struct {
	Unit  string   `json:"unit"`
	Above *float64 `json:"above,omitempty"` // or equal
	Below *float64 `json:"below,omitempty"`
}

func above(bound float64, unit string) target { return target{Unit: unit, Above: &bound} }
func below(bound float64, unit string) target { return target{Unit: unit, Below: &bound} }
func none(unit string) target                 { return target{Unit: unit} }

// verdict is ok or short, or - where nothing was asked for. What could not be measured is short.
func (t target) verdict(value float64) string {
	switch {
	case t.Above == nil && t.Below == nil:
		return "-"
	case t.Above != nil && value >= *t.Above, t.Below != nil && value < *t.Below:
		return "ok"
	}
	return "short"
}

func (t target) String() string {
	switch {
	case t.Above != nil:
		return ">= " + digits(*t.Above)
	case t.Below != nil:
		return "< " + digits(*t.Below)
	}
	return "-"
}

// A figure is the median of what each round gave.
type figure struct {
	Name    string    `json:"name"`
	Value   float64   `json:"value"`
	Each    []float64 `json:"each"`
	Target  target    `json:"target"`
	Verdict string    `json:"verdict"`
}

// waits are spans in milliseconds, in the order measured; the target is of the 99th of a hundred.
type waits struct {
	Name    string    `json:"name"`
	P50     float64   `json:"p50"`
	P95     float64   `json:"p95"`
	P99     float64   `json:"p99"`
	Max     float64   `json:"max"`
	Each    []float64 `json:"each"`
	Target  target    `json:"target"`
	Verdict string    `json:"verdict"`
}

// result is what a cell has to say.
type result struct {
	Figures []figure `json:"figures,omitempty"`
	Waits   []waits  `json:"waits,omitempty"`
}

func (r *room) figure(name string, t target, each ...float64) {
	value := lab.Median(each)
	r.result.Figures = append(r.result.Figures, figure{name, value, each, t, t.verdict(value)})
	r.log("%s: %s %s", name, digits(value), t.Unit)
}

func (r *room) waits(name string, t target, spans []time.Duration) {
	w := newWaits(name, t, spans)
	r.result.Waits = append(r.result.Waits, w)
	r.log("%s: p50 %s, p99 %s ms of %d", name, digits(w.P50), digits(w.P99), len(spans))
}

func newWaits(name string, t target, spans []time.Duration) waits {
	w := waits{Name: name, Target: t}
	for _, span := range spans {
		w.Each = append(w.Each, math.Round(span.Seconds()*1e6)/1000)
	}
	sorted := slices.Sorted(slices.Values(w.Each))
	w.P50, w.P95, w.P99, w.Max = percentile(sorted, 50), percentile(sorted, 95), percentile(sorted, 99), percentile(sorted, 100)
	w.Verdict = t.verdict(w.P99)
	return w
}

// percentile is the smallest value that so many percent of the sorted ones do not exceed.
func percentile(sorted []float64, percent float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[max(0, int(math.Ceil(percent/100*float64(len(sorted))))-1)]
}

// report is what results.json holds.
type report struct {
	Head  lab.Head  `json:"head"`
	Plan  plan      `json:"plan"`
	Cells []cellRow `json:"cells"`
}

type cellRow struct {
	Part int    `json:"part"`
	Name string `json:"name"`
	result
}

func newReport(head lab.Head, plan plan, results []result) report {
	r := report{Head: head, Plan: plan}
	for i, c := range plan.cells {
		r.Cells = append(r.Cells, cellRow{c.part, c.name, results[i]})
	}
	return r
}

func (r report) print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprint(&b, r.Head)
	if r.Plan.Quick {
		fmt.Fprintf(&b, "BENCH_QUICK: too little to mean anything\n")
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\npart  %-52s\tmedian\tunit\ttarget\t\t\n", "figure")
	for _, c := range r.Cells {
		for _, f := range c.Figures {
			fmt.Fprintf(table, "%4d  %-52s\t%s\t%s\t%s\t%s\t\n", c.Part, f.Name, digits(f.Value), f.Target.Unit, f.Target, f.Verdict)
		}
	}
	fmt.Fprintf(table, "\npart  %-52s\tp50\tp95\tp99\tmax\tof\ttarget for p99\t\t\n", "ms until the handler starts")
	for _, c := range r.Cells {
		for _, w := range c.Waits {
			fmt.Fprintf(table, "%4d  %-52s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t\n", c.Part, w.Name,
				digits(w.P50), digits(w.P95), digits(w.P99), digits(w.Max), len(w.Each), w.Target, w.Verdict)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// digits are enough to compare by, and no more.
func digits(value float64) string {
	switch {
	case math.IsNaN(value):
		return "-"
	case value == math.Trunc(value) || math.Abs(value) >= 100:
		return fmt.Sprintf("%.0f", value)
	case math.Abs(value) >= 10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}
