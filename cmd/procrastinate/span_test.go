package main

import (
	"testing"
	"time"
)

func TestSpans(t *testing.T) {
	tests := []struct {
		text string
		days int
		rest time.Duration
	}{
		{"0", 0, 0},
		{"90s", 0, 90 * time.Second},
		{"1h30m", 0, 90 * time.Minute},
		{"0.5s", 0, 500 * time.Millisecond},
		{"30d", 30, 0},
		{"0d", 0, 0},
		{"2w", 14, 0},
		{"1w2d3h", 9, 3 * time.Hour},
		{"36500d", 36500, 0},
	}
	for _, test := range tests {
		got, err := parseSpan(test.text)
		if err != nil || got.days != test.days || got.rest != test.rest || !got.given {
			t.Errorf("%q: got %+v, %v; want %d days and %s", test.text, got, err, test.days, test.rest)
		}
	}
	for _, text := range []string{"", "5", "d", "1.5d", "-1d", "1d-5h", "-5h", "+5h", "1d2w", "1d 2h", "1y", "1mon", "36501d", "99999w", "900000h", "1d1d"} {
		if got, err := parseSpan(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}
