package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// rates are jobs a second: of a cell, by system, one for each round.
type rates map[string]map[string][]float64

func (r rates) add(cell, system string, rate float64) {
	if r[cell] == nil {
		r[cell] = map[string][]float64{}
	}
	r[cell][system] = append(r[cell][system], rate)
}

// verdict is ok or short, or - where nothing was asked for.
func verdict(checks ...check) string {
	result := "-"
	for _, c := range checks {
		if !(c.got >= c.atLeast) {
			return "short"
		}
		result = "ok"
	}
	return result
}

// In a check NaN is short.
type check struct{ got, atLeast float64 }

// What the targets are.
const (
	toPrototype = 1.00 // everywhere
	toFirst     = 0.85 // at batch 100 and 1000, and on 10k locks
	toClean     = 0.85
	toLockless  = 0.40 // the goal is 0.70
	lockGoal    = 0.70
)

var batches = []int{1, 10, 100, 1000}

// report is what results.json holds. A ratio that cannot be given is absent.
type report struct {
	Head   lab.Head    `json:"head"`
	Plan   plan        `json:"plan"`
	Cells  []cellRow   `json:"cells"`
	Ratios []ratioRow  `json:"ratios"`
	Locks  *float64    `json:"locks_to_lockless,omitempty"`
	Pinned []pinnedRow `json:"pinned_to_clean"`
}

type cellRow struct {
	Name        string               `json:"name"`
	Rates       map[string][]float64 `json:"jobs_per_second"` // by system, of each round
	ToPrototype *float64             `json:"ours_to_prototype,omitempty"`
	ToFirst     *float64             `json:"ours_to_first,omitempty"`
	Target      string               `json:"target"` // to the prototype, to the first
	Verdict     string               `json:"verdict"`
}

// ratioRow compares two cells, in each system.
type ratioRow struct {
	Name    string             `json:"name"`
	Ratios  map[string]float64 `json:"ratios"`
	AtLeast float64            `json:"at_least"` // for ours
	Verdict string             `json:"verdict"`
}

// pinnedRow has the worse of the two pins.
type pinnedRow struct {
	Batch int      `json:"batch"`
	Ratio *float64 `json:"ratio,omitempty"`
}

func newReport(head lab.Head, plan plan, r rates) report {
	result := report{Head: head, Plan: plan}
	for _, c := range plan.cells {
		row := cellRow{Name: c.name, Rates: r[c.name], Target: fmt.Sprintf("%.2f", toPrototype)}
		p, f := lab.Ratio(row.Rates[ours], row.Rates[prototype]), lab.Ratio(row.Rates[ours], row.Rates[first])
		row.ToPrototype, row.ToFirst = given(p), given(f)
		checks := []check{{p, toPrototype}}
		if c.first {
			checks = append(checks, check{f, toFirst})
			row.Target += fmt.Sprintf(", %.2f", toFirst)
		}
		row.Verdict = verdict(checks...)
		result.Cells = append(result.Cells, row)
	}
	for _, n := range batches {
		lockless := fmt.Sprintf("fetch+finish %d", n)
		s := result.compare(r, lockless+", snapshot", lockless, toClean)
		w := result.compare(r, lockless+", writer", lockless, toClean)
		result.Pinned = append(result.Pinned, pinnedRow{n, given(min(s, w))})
	}
	c := result.compare(r, "10k locks, fetch+finish 100", "fetch+finish 100", toLockless)
	e := result.compare(r, "10k locks, exchange 100", "exchange 100", toLockless)
	result.Locks = given(min(c, e))
	return result
}

// compare adds a row of ratios, if both cells were measured, and returns ours.
func (r *report) compare(rates rates, of, to string, atLeast float64) float64 {
	if rates[of] == nil || rates[to] == nil {
		return math.NaN()
	}
	row := ratioRow{Name: of + " / " + to, Ratios: map[string]float64{}, AtLeast: atLeast}
	for _, s := range systems {
		row.Ratios[s.name] = lab.Ratio(rates[of][s.name], rates[to][s.name])
	}
	row.Verdict = verdict(check{row.Ratios[ours], atLeast})
	r.Ratios = append(r.Ratios, row)
	return row.Ratios[ours]
}

func given(ratio float64) *float64 {
	if math.IsNaN(ratio) {
		return nil
	}
	return &ratio
}

func (r report) print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprint(&b, r.Head)
	fmt.Fprintf(&b, "%d clients, medians of %d rounds, after %d jobs of history\n", clients, r.Plan.Rounds, r.Plan.History)
	if r.Plan.Quick {
		fmt.Fprintf(&b, "BENCH_QUICK: too little to mean anything\n")
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\n%-31s\t%s\t%s\t%s\tours/prototype\tours/first\ttarget\t\t\n", "jobs/s", ours, prototype, first)
	for _, row := range r.Cells {
		fmt.Fprintf(table, "%-31s\t", row.Name)
		for _, s := range systems {
			fmt.Fprintf(table, "%s\t", whole(lab.Median(row.Rates[s.name])))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t\n", digits(row.ToPrototype), digits(row.ToFirst), row.Target, row.Verdict)
	}
	fmt.Fprintf(table, "\n%-48s\t%s\t%s\t%s\ttarget for ours\t\t\n", "ratio", ours, prototype, first)
	for _, row := range r.Ratios {
		fmt.Fprintf(table, "%-48s\t", row.Name)
		for _, s := range systems {
			fmt.Fprintf(table, "%.2f\t", row.Ratios[s.name])
		}
		target := fmt.Sprintf("%.2f", row.AtLeast)
		if row.AtLeast == toLockless {
			target += fmt.Sprintf(", goal %.2f", lockGoal)
		}
		fmt.Fprintf(table, "%s\t%s\t\n", target, row.Verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nlocks/lockless n=100 %s\n", digits(r.Locks))
	for _, p := range r.Pinned {
		fmt.Fprintf(&b, "pinned/clean n=%d %s\n", p.Batch, digits(p.Ratio))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func digits(ratio *float64) string {
	if ratio == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *ratio)
}

func whole(rate float64) string {
	if math.IsNaN(rate) {
		return "-"
	}
	return fmt.Sprintf("%.0f", rate)
}
