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
		sql  string
	}{
		{"0", 0, 0, "0 days 00:00:00.000000"},
		{"90s", 0, 90 * time.Second, "0 days 00:01:30.000000"},
		{"1h30m", 0, 90 * time.Minute, "0 days 01:30:00.000000"},
		{"0.5s", 0, 500 * time.Millisecond, "0 days 00:00:00.500000"},
		{"30d", 30, 0, "30 days 00:00:00.000000"},
		{"0d", 0, 0, "0 days 00:00:00.000000"},
		{"2w", 14, 0, "14 days 00:00:00.000000"},
		{"1w2d3h", 9, 3 * time.Hour, "9 days 03:00:00.000000"},
		{"36500d876000h", 36500, 876000 * time.Hour, "36500 days 876000:00:00.000000"},
	}
	for _, test := range tests {
		got, err := parseSpan(test.text)
		if err != nil || got.days != test.days || got.rest != test.rest || got.sql() != test.sql || !got.given {
			t.Errorf("%q: got %+v, %s, %v; want %d days and %s", test.text, got, got.sql(), err, test.days, test.rest)
		}
	}
	for _, text := range []string{"", "5", "d", "1.5d", "-1d", "1d-5h", "-5h", "+5h", "1d2w", "1d 2h", "1y", "1mon", "36501d", "99999w", "900000h", "1d1d"} {
		if got, err := parseSpan(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "-1s": -time.Second, "90s": 90 * time.Second, "2d": 48 * time.Hour, "1w1h": 169 * time.Hour} {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "5 min", "1y", "-1d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}
