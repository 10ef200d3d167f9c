package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

type benchReport struct {
	Jobs        int     `json:"jobs"`
	Concurrency int     `json:"concurrency"`
	Server      string  `json:"server_version"`
	DeferRate   float64 `json:"defer_jobs_per_second"`
	DrainRate   float64 `json:"run_jobs_per_second"`
	waits       []time.Duration
}

func (r benchReport) print(out io.Writer, options *options) error {
	slices.Sort(r.waits)
	p50, p95, p99 := percentile(r.waits, 50), percentile(r.waits, 95), percentile(r.waits, 99)
	if options.json {
		return printJSON(out, struct {
			benchReport
			Samples int     `json:"latency_samples"`
			P50     float64 `json:"latency_p50_seconds"`
			P95     float64 `json:"latency_p95_seconds"`
			P99     float64 `json:"latency_p99_seconds"`
		}{r, len(r.waits), p50.Seconds(), p95.Seconds(), p99.Seconds()})
	}
	_, err := fmt.Fprintf(out, "deferred  %.0f jobs/s\nrun       %.0f jobs/s, %d at once\nlatency   p50 %s, p95 %s, p99 %s, of %d single jobs\n"+
		"%d jobs that do nothing, on PostgreSQL %s; true of this machine and this server.\n",
		r.DeferRate, r.DrainRate, r.Concurrency, round(p50), round(p95), round(p99), len(r.waits), r.Jobs, r.Server)
	return err
}

func round(span time.Duration) time.Duration { return span.Round(10 * time.Microsecond) }

// percentile is the smallest value that so many percent of the sorted ones do not exceed; 0 of none.
func percentile(sorted []time.Duration, percent float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(percent/100*float64(len(sorted))))-1)]
}
