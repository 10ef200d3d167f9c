package worker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestZeroConfigIsValid(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	err := Config{
		Concurrency: -1, MaxPerLock: -1, PollInterval: -time.Second, BeatInterval: time.Minute,
		Queues: []string{"", "ok", strings.Repeat("q", 129)}, Name: "a\x00",
		TaskConcurrency: map[string]int{"": 1, "resize": 0},
	}.Validate()
	for _, want := range []string{
		"concurrency -1", "max per lock -1", "poll interval -1s", "beat interval 1m0s is not below", `queue ""`, `queue "qqq`, `name "a\x00"`,
		`task ""`, `concurrency 0 of task "resize"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 9 {
		t.Errorf("%d faults, want 9: %v", got, err)
	}
}

func TestTranslate(t *testing.T) {
	sentinels := map[string]error{
		"PJ001": ErrInvalid, "PJ002": ErrNotHeld, "PJ003": ErrNotRegistered, "PJ004": ErrNoJob, "PJ005": ErrJobStatus,
		"PJ006": ErrCron, "PJ007": ErrUnknownName, "PJ008": ErrArgs, "PJ009": ErrIsolation, "PJ010": ErrSchema,
	}
	for code, want := range sentinels {
		got := Translate(fmt.Errorf("query: %w", &pgconn.PgError{Code: code, Message: "no", Hint: "do so"}))
		if !errors.Is(got, want) || !strings.Contains(got.Error(), "do so") || sqlstate(got) != code {
			t.Errorf("%s: got %v, want %v with hint and code", code, got, want)
		}
	}
	for _, err := range []error{nil, errConnection, &pgconn.PgError{Code: "23505"}} {
		if got := Translate(err); got != err {
			t.Errorf("got %v, want %v as it was", got, err)
		}
	}
}

func TestKindsOfTrouble(t *testing.T) {
	fatal := &pgconn.PgError{Severity: "FATAL", Code: "XX000"}
	tests := []struct {
		name                           string
		err                            error
		unanswered, transient, badData bool
	}{
		{"connection", errConnection, true, true, false},
		{"server goes down", &pgconn.PgError{Code: "57P01"}, true, true, false},
		{"session ends", fatal, true, false, false},
		{"deadlock", &pgconn.PgError{Code: "40P01"}, false, true, false},
		{"bad text", &pgconn.PgError{Code: "22021"}, false, false, true},
		{"too deep", &pgconn.PgError{Code: "54001"}, false, false, true},
		{"bad argument", &pgconn.PgError{Code: "PJ001"}, false, false, true},
		{"no such function", &pgconn.PgError{Code: "42883"}, false, false, false},
		{"wrong password", &pgconn.PgError{Code: "28P01"}, false, false, false},
	}
	for _, test := range tests {
		if got := isUnanswered(test.err); got != test.unanswered {
			t.Errorf("%s: unanswered is %v", test.name, got)
		}
		if got := isTransient(test.err); got != test.transient {
			t.Errorf("%s: transient is %v", test.name, got)
		}
		if got := isBadData(test.err); got != test.badData {
			t.Errorf("%s: bad data is %v", test.name, got)
		}
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	for tries := 1; tries < 100; tries++ {
		full := min(firstBackoff<<min(tries-1, 10), maxBackoff)
		if got := backoff(tries); got < full/2 || got > full {
			t.Errorf("try %d: %s is not within half of %s", tries, got, full)
		}
	}
}
