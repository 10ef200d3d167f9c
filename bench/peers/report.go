package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// report is what results.json holds.
type report struct {
	Head    lab.Head             `json:"head"`
	Systems []line               `json:"systems"`
	Plan    plan                 `json:"plan"`
	Rows    []row                `json:"targets"`
	Drains  []drawn              `json:"drains,omitempty"`
	Waits   []waits              `json:"waits,omitempty"`
	Rates   map[string][]float64 `json:"jobs_per_second,omitempty"` // of what is no drain
}

// A row is what a target is held against: the median of what each round gave.
type row struct {
	Name    string     `json:"name"`
	Value   float64    `json:"value"`
	Each    []float64  `json:"each"`
	Target  lab.Target `json:"target"`
	Verdict string     `json:"verdict"`
	Of      string     `json:"of"` // the medians that a ratio is of
}

// drawn are the drains of one contender, one of each round.
type drawn struct {
	Name   string    `json:"name"`
	Rate   []float64 `json:"jobs_per_second"`
	Worker []float64 `json:"worker_cpu_seconds_per_100k"`
	SQL    []float64 `json:"postgresql_cpu_seconds_per_100k"`
	Peak   []float64 `json:"worker_peak_mb"`
	Conns  []float64 `json:"worker_connections"`
}

// cpu is that of worker and PostgreSQL together.
func (d drawn) cpu() (sums []float64) {
	for i := range d.Worker {
		sums = append(sums, d.Worker[i]+d.SQL[i])
	}
	return sums
}

// drained notes a drain.
func (b *bench) drained(name string, d drain) {
	b.log("%-40s %8.0f jobs/s, CPU %5.2f + %5.2f s/100k, %4.0f MB", name, d.rate, d.worker, d.sql, d.peak)
	all := &b.report.Drains
	i := 0
	for ; i < len(*all) && (*all)[i].Name != name; i++ {
	}
	if i == len(*all) {
		*all = append(*all, drawn{Name: name})
	}
	to := &(*all)[i]
	to.Rate, to.Worker, to.SQL, to.Peak = append(to.Rate, d.rate), append(to.Worker, d.worker), append(to.SQL, d.sql), append(to.Peak, d.peak)
	to.Conns = append(to.Conns, d.conns)
}

// drains are those of a name; none if it was not measured.
func (r report) drains(name string) drawn {
	for _, d := range r.Drains {
		if d.Name == name {
			return d
		}
	}
	return drawn{}
}

// compare adds a row of ratios, if both were measured.
func (b *bench) compare(name string, t lab.Target, unit string, of, to []float64) {
	if len(of) == 0 || len(to) == 0 {
		return
	}
	var each []float64
	for i := range min(len(of), len(to)) {
		each = append(each, of[i]/to[i])
	}
	b.add(row{Name: name, Value: lab.Ratio(of, to), Each: each, Target: t,
		Of: fmt.Sprintf("%s / %s %s", lab.Digits(lab.Median(of)), lab.Digits(lab.Median(to)), unit)})
}

// figure adds a row that is no ratio.
func (b *bench) figure(name string, t lab.Target, each ...float64) {
	if len(each) > 0 {
		b.add(row{Name: name, Value: lab.Median(each), Each: each, Target: t})
	}
}

func (b *bench) add(r row) {
	r.Verdict = r.Target.Verdict(r.Value)
	b.report.Rows = append(b.report.Rows, r)
	b.log("%s: %s %s (%s %s)", r.Name, lab.Digits(r.Value), r.Target.Unit, r.Target, r.Verdict)
}

// value is that of a row; NaN if there is none.
func (r report) value(name string) float64 {
	for _, row := range r.Rows {
		if row.Name == name {
			return row.Value
		}
	}
	return math.NaN()
}

// Names of rows that are in the summary too.
const (
	drainToGraphile   = "drain, ours / graphile-worker"
	drainToRiver      = "drain, ours / River"
	deferToRiver      = "defer one a call, ours / River"
	latencyToGraphile = "latency p50, ours / graphile-worker"
	pinnedToClean     = "pinned by a reader / clean"
)

// summary is all in a line.
func (r report) summary() string {
	v := func(name string) string { return lab.Digits(r.value(name)) }
	return fmt.Sprintf("drain ours/graphile-worker %s ours/river %s; defer ours/river %s; latency p50 ours/graphile-worker %s; pinned/clean %s",
		v(drainToGraphile), v(drainToRiver), v(deferToRiver), v(latencyToGraphile), v(pinnedToClean))
}

func (r report) print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprint(&b, r.Head)
	if r.Plan.Quick {
		fmt.Fprintln(&b, "quick: small runs, which say less")
	}
	var versions []string
	for _, s := range r.Systems {
		versions = append(versions, fmt.Sprintf("%s %s (%s)", s.System, s.Version, s.Runtime))
	}
	fmt.Fprintln(&b, strings.Join(versions, ", "))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\n%-50s\ttarget\tmeasured\t\t\tmedians\t\n", "measure")
	for _, row := range r.Rows {
		fmt.Fprintf(table, "%-50s\t%s\t%s\t%s\t%s\t%s\t\n", row.Name, row.Target, lab.Digits(row.Value), row.Target.Unit, row.Verdict, row.Of)
	}
	if len(r.Drains) > 0 {
		fmt.Fprintf(table, "\n%-50s\tjobs/s\tCPU worker\tCPU PostgreSQL\tpeak MB\t\n", "medians of drains; CPU in s per 100,000 jobs")
	}
	for _, d := range r.Drains {
		fmt.Fprintf(table, "%-50s\t%s\t%s\t%s\t%s\t\n", d.Name, lab.Digits(lab.Median(d.Rate)), lab.Digits(lab.Median(d.Worker)),
			lab.Digits(lab.Median(d.SQL)), lab.Digits(lab.Median(d.Peak)))
	}
	if len(r.Waits) > 0 {
		fmt.Fprintf(table, "\n%-50s\tp50\tp95\tp99\tof\t\n", "ms from the commit to the handler's start")
	}
	for _, w := range r.Waits {
		fmt.Fprintf(table, "%-50s\t%s\t%s\t%s\t%d\t\n", w.Name, lab.Digits(w.P50), lab.Digits(w.P95), lab.Digits(w.P99), len(slices.Concat(w.Each...)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if r.Plan.Quick {
		fmt.Fprintf(&b, "\n%s\n", r.summary())
	}
	_, err := w.Write(b.Bytes())
	return err
}
