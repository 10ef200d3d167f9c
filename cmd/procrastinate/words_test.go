package main

import (
	"testing"
	"time"
)

func TestSpansForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1400 * time.Millisecond: "1s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m", 2 * time.Hour: "2h",
		47 * time.Hour: "47h", 48 * time.Hour: "2d",
	} {
		if got := people(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-22T20:55:37.700025+00:00": "2026-11-22 20:55:37+00", "2026-11-22T20:00:00+05:30": "2026-11-22 20:00:00+05:30",
		"2026-11-22T20:00:00-08:00": "2026-11-22 20:00:00-08", "infinity": "infinity",
	} {
		if got := moment(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for number, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 100000: "100,000"} {
		if got := thousands(number); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
