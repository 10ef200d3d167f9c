package main

import (
	"strings"
	"testing"
	"time"
)

func TestNotesAreReadAsWritten(t *testing.T) {
	at := time.Date(2026, 11, 22, 21, 0, 0, 123456789, time.UTC)
	for _, want := range []note{
		{what: started, job: 7, at: at, due: at.Add(-time.Millisecond)},
		{what: ended, at: at},
	} {
		var b strings.Builder
		if err := want.write(&b); err != nil {
			t.Fatal(err)
		}
		got, err := readNote(strings.TrimSuffix(b.String(), "\n"))
		if err != nil || got.what != want.what || got.job != want.job || !got.at.Equal(want.at) || !got.due.Equal(want.due) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := readNote("panic: no note"); err == nil {
		t.Error("got no error for a line that is no note")
	}
}

// Two forms that are the same would make the schedules less various.
func TestCronsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, cron := range crons(time.Date(2026, 11, 22, 21, 31, 5, 0, time.UTC)) {
		if got := len(strings.Fields(cron)); got != 6 || seen[cron] {
			t.Errorf("%q has %d fields, or is there twice", cron, got)
		}
		seen[cron] = true
	}
}

// The gap must end between two looks of an idle worker, with 50 ms to the next: the targets are meant to see a wake-up that was lost.
func TestGapEndsFarFromALook(t *testing.T) {
	for range 1000 {
		if got := gap(); got < 155*time.Millisecond || got > 255*time.Millisecond {
			t.Fatalf("got %s, want it between the looks after 150 and 310 ms", got)
		}
	}
}

func TestPlan(t *testing.T) {
	for _, test := range []struct {
		cells string
		want  int
	}{
		{"", len(cells)},
		{"^lock handed over", 4},
	} {
		got, err := planFor(func(name string) string { return map[string]string{"BENCH_CELLS": test.cells}[name] })
		if err != nil || len(got.cells) != test.want {
			t.Errorf("BENCH_CELLS=%s: got %d cells and error %v, want %d", test.cells, len(got.cells), err, test.want)
		}
	}
	if _, err := planFor(func(string) string { return "no such cell" }); err == nil {
		t.Error("got no error for BENCH_CELLS that no cell matches")
	}
}
