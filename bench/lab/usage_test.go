package lab

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	// as of a backend whose name has brackets and spaces
	got, err := parseStat([]byte("42 (postgres: x) y) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 20 10 20 0 1 0 12345 0 0\n"))
	want := usage{parent: 7, own: 2 * time.Second, reaped: 300 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, text := range []string{"42 (x) S 7", strings.Replace("42 (x) S 7 42 42 0 -1 4194560 1 2 3 4 n 50 20 10 20", "n", "many", 1)} {
		if _, err := parseStat([]byte(text)); err == nil {
			t.Errorf("got no error for %q", text)
		}
	}
}

func TestTreeHasAllThatAProcessStarted(t *testing.T) {
	processes := Processes{
		1: {own: time.Hour},
		2: {parent: 1, own: 1 * time.Second, reaped: 20 * time.Second},
		3: {parent: 2, own: 300 * time.Second},
		4: {parent: 3, own: 4000 * time.Second},
		5: {parent: 1, own: time.Hour},
	}
	if got, want := processes.Tree(2), 4321*time.Second; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPeakMemory(t *testing.T) {
	got, err := parsePeak("VmPeak:\t 99 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 5 kB\n")
	if err != nil || got != 1234*1024 {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := parsePeak("Name:\tx\n"); err == nil {
		t.Error("got no error for a status without it")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here")
	}
	if got, err := PeakMemory(os.Getpid()); err != nil || got < 1<<20 || got > 1<<34 {
		t.Errorf("of this process: got %d, %v", got, err)
	}
}
