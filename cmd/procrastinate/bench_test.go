package main

import (
	"strings"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	var spans []time.Duration
	for i := range 200 {
		spans = append(spans, time.Duration(i+1))
	}
	for percent, want := range map[float64]time.Duration{50: 100, 95: 190, 99: 198, 100: 200} {
		if got := percentile(spans, percent); got != want {
			t.Errorf("%.0f of 1 to 200: got %d, want %d", percent, got, want)
		}
	}
	if got := percentile(spans[:1], 50) + percentile(nil, 50); got != 1 {
		t.Errorf("of one, and of none: got %d, want 1", got)
	}
}

func TestWrongUseOfBenchAndRepair(t *testing.T) {
	for args, want := range map[string]string{
		"bench --jobs 0 --concurrency -1": `"0" for --jobs`,
		"bench --concurrency 0":           `"0" for --concurrency`,
		"bench --concurrency 1000000":     "concurrency 1000000 is not between",
		"repair --lock-timeout 0s":        `"0s" for --lock-timeout`,
		"repair --lock-timeout 5":         `"5" for --lock-timeout`,
		"migrate --print --json":          "--print prints SQL",
	} {
		if code, out, errs := runCommand(t, nil, strings.Fields(args)...); code != 2 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: got %d, %q, %q; want 2 and %q", args, code, out, errs, want)
		}
	}
}
