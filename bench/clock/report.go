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

// A figure is the median of what each round gave.
type figure struct {
	Name    string     `json:"name"`
	Value   float64    `json:"value"`
	Each    []float64  `json:"each"`
	Target  lab.Target `json:"target"`
	Verdict string     `json:"verdict"`
}

// waits are spans in milliseconds, in the order measured; the target is of the 99th of a hundred.
type waits struct {
	Name    string     `json:"name"`
	P50     float64    `json:"p50"`
	P95     float64    `json:"p95"`
	P99     float64    `json:"p99"`
	Max     float64    `json:"max"`
	Each    []float64  `json:"each"`
	Target  lab.Target `json:"target"`
	Verdict string     `json:"verdict"`
}

// result is what a cell has to say.
type result struct {
	Figures []figure `json:"figures,omitempty"`
	Waits   []waits  `json:"waits,omitempty"`
}

func (r *room) figure(name string, t lab.Target, each ...float64) {
	value := lab.Median(each)
	r.result.Figures = append(r.result.Figures, figure{name, value, each, t, t.Verdict(value)})
	r.log("%s: %s %s", name, lab.Digits(value), t.Unit)
}

func (r *room) waits(name string, t lab.Target, spans []time.Duration) {
	w := newWaits(name, t, spans)
	r.result.Waits = append(r.result.Waits, w)
	r.log("%s: p50 %s, p99 %s ms of %d", name, lab.Digits(w.P50), lab.Digits(w.P99), len(spans))
}

func newWaits(name string, t lab.Target, spans []time.Duration) waits {
	w := waits{Name: name, Target: t}
	for _, span := range spans {
		w.Each = append(w.Each, math.Round(span.Seconds()*1e6)/1000)
	}
	sorted := slices.Sorted(slices.Values(w.Each))
	w.P50, w.P95, w.P99, w.Max = lab.Percentile(sorted, 50), lab.Percentile(sorted, 95), lab.Percentile(sorted, 99), lab.Percentile(sorted, 100)
	w.Verdict = t.Verdict(w.P99)
	return w
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
			fmt.Fprintf(table, "%4d  %-52s\t%s\t%s\t%s\t%s\t\n", c.Part, f.Name, lab.Digits(f.Value), f.Target.Unit, f.Target, f.Verdict)
		}
	}
	fmt.Fprintf(table, "\npart  %-52s\tp50\tp95\tp99\tmax\tof\ttarget for p99\t\t\n", "ms until the handler starts")
	for _, c := range r.Cells {
		for _, w := range c.Waits {
			fmt.Fprintf(table, "%4d  %-52s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t\n", c.Part, w.Name,
				lab.Digits(w.P50), lab.Digits(w.P95), lab.Digits(w.P99), lab.Digits(w.Max), len(w.Each), w.Target, w.Verdict)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
