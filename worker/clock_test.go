package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ticked waits until that time, and wants ticks to have come then and no others.
func (tr *trial) ticked(t *testing.T, until time.Duration, want ...time.Duration) {
	t.Helper()
	<-time.After(until - tr.since())
	synctest.Wait()
	if got := tr.db.timesOf(tr.start, "tick"); !slices.Equal(got, want) {
		t.Errorf("ticks after %v, want %v", got, want)
	}
}

const ms = time.Millisecond

func TestTicksWhenSomethingIsDue(t *testing.T) {
	for wait, want := range map[time.Duration][]time.Duration{
		300 * ms:    {0, 300 * ms, 600 * ms, 900 * ms},
		time.Second: {0},
		time.Minute: {0},
	} {
		db := newFake()
		db.tickWait = wait
		try(t, db, Config{}, done, func(tr *trial) { tr.ticked(t, 999*ms, want...) })
	}
}

// What becomes due again and again is no reason to do nothing but tick.
func TestTicksRestAsLongAsTheyTake(t *testing.T) {
	for latency, want := range map[time.Duration][]time.Duration{
		0:       {0, ms, 2 * ms},
		3 * ms:  {0, 6 * ms, 12 * ms},
		50 * ms: {0, 55 * ms, 110 * ms},
	} {
		db := newFake()
		db.tickWait, db.latency = 0, latency
		try(t, db, Config{}, done, func(tr *trial) { tr.ticked(t, want[2], want...) })
	}
}

func TestHintBringsATickForward(t *testing.T) {
	try(t, newFake(), Config{}, done, func(tr *trial) {
		tr.ticked(t, 100*ms, 0)
		tr.ear.hint(time.Now().Add(300 * ms))
		tr.ear.hint(time.Now().Add(200 * ms))
		tr.ear.hint(time.Now().Add(500 * ms))
		tr.ticked(t, 1299*ms, 0, 300*ms) // which told of what the others are of
		tr.ticked(t, 1300*ms, 0, 300*ms, 1300*ms)
	})
}

func TestHintForLaterThanPlannedCostsNoTick(t *testing.T) {
	try(t, newFake(), Config{}, done, func(tr *trial) {
		tr.ticked(t, 500*ms, 0)
		tr.ear.hint(time.Now().Add(600 * ms))
		tr.ticked(t, 1999*ms, 0, time.Second)
	})
}

func TestHintDuringATickIsNotLost(t *testing.T) {
	db := newFake()
	db.latency = 100 * ms
	try(t, db, Config{}, done, func(tr *trial) {
		tr.ticked(t, 50*ms, 0)
		tr.ear.hint(time.Now().Add(450 * ms))
		tr.ear.hint(time.Now()) // before the tick is over
		tr.ticked(t, 105*ms, 0, 105*ms)
		tr.ear.hint(time.Now().Add(300 * ms))
		tr.ticked(t, 600*ms, 0, 105*ms, 405*ms)
	})
}

// While the database is away hints cannot come; those of before do not keep the calls from becoming rarer.
func TestTicksGoOnAfterTrouble(t *testing.T) {
	db := newFake()
	db.fails(errConnection, "tick")
	try(t, db, Config{}, done, func(tr *trial) {
		<-time.After(time.Minute)
		db.fails(nil)
		failed := len(db.timesOf(tr.start, "tick"))
		if failed > 30 {
			t.Errorf("%d ticks in a minute of trouble", failed)
		}
		<-time.After(maxBackoff)
		synctest.Wait()
		if got := len(db.timesOf(tr.start, "tick")); got == failed {
			t.Error("no tick came afterwards")
		}
	})
}

func TestHintsAreOfMilliseconds(t *testing.T) {
	for payload, want := range map[string]time.Duration{
		"300": 300 * ms, "0": 0, "-5": 0, "": 0, "soon": 0, "1.5": 0,
		"1000": time.Second, "1001": time.Second, "9223372036854775807": time.Second, "92233720368547758070": 0,
	} {
		if got := hintedWait(payload); got != want {
			t.Errorf("%q: %v, want %v", payload, got, want)
		}
	}
}

func TestHintIsHeard(t *testing.T) {
	db := newFake()
	try(t, db, Config{PollInterval: time.Hour}, done, func(tr *trial) {
		ctx, cancel := context.WithCancel(context.Background())
		conn, ended := newLine(), make(chan struct{})
		tr.ticked(t, 100*ms, 0)
		go func() {
			defer close(ended)
			tr.listens(ctx, func(context.Context) (listener, error) { return conn, nil })
		}()
		tr.ticked(t, 200*ms, 0, 100*ms) // at once, for something may have been told while nobody listened
		fetches := len(db.timesOf(tr.start, "fetch"))
		conn.news <- &pgconn.Notification{Channel: clockChannel, Payload: "150"}
		tr.ticked(t, 400*ms, 0, 100*ms, 350*ms)
		conn.news <- &pgconn.Notification{Channel: clockChannel, Payload: "2000"}
		tr.ticked(t, 1349*ms, 0, 100*ms, 350*ms)
		if got := len(db.timesOf(tr.start, "fetch")); got != fetches {
			t.Errorf("%d fetches for what only the clock need know", got-fetches)
		}
		cancel()
		<-ended
	})
}

// Where no notification tells that a tick has made something runnable the worker looks by itself, but only if something was due.
func TestDeafWorkerLooksWhenSomethingWasDue(t *testing.T) {
	for _, hears := range []bool{false, true} {
		t.Run(fmt.Sprintf("hears: %v", hears), func(t *testing.T) {
			db := newFake()
			try(t, db, Config{PollInterval: time.Hour}, done, func(tr *trial) {
				tr.ticked(t, 100*ms, 0)
				tr.ear.hears.Store(hears)
				before := len(db.timesOf(tr.start, "fetch"))
				db.tellDue(300 * ms)
				tr.ticked(t, 1200*ms, 0, time.Second)
				if got := len(db.timesOf(tr.start, "fetch")); got != before {
					t.Errorf("%d fetches although nothing was due", got-before)
				}
				db.add(job(1))
				tr.ticked(t, 1301*ms, 0, time.Second, 1300*ms)
				if got := db.endOf(1) == "finish"; got == hears {
					t.Errorf("the job has run: %v", got)
				}
				if named := db.ticker != nil && *db.ticker == 1; named != hears {
					t.Errorf("the tick said who it is of: %v", named)
				}
			})
		})
	}
}

// The tick tells when it is due again, which may be before the next one would have come.
func TestDeafWorkerTicksWhenAJobIsPutOff(t *testing.T) {
	for name, err := range map[string]error{"fails": RetryIn(errors.New("no"), 100*ms), "is snoozed": Snooze(100 * ms)} {
		for _, hears := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, hears: %v", name, hears), func(t *testing.T) {
				db := newFake(job(1))
				run := func(context.Context, *Job) (any, error) {
					time.Sleep(500 * ms)
					return nil, err
				}
				try(t, db, Config{}, run, func(tr *trial) {
					tr.ear.hears.Store(hears)
					want := []time.Duration{0, 500 * ms}
					if hears {
						want = want[:1]
					}
					tr.ticked(t, 900*ms, want...)
				})
			})
		}
	}
}

func TestDeafWorkerLooksAgainForWhatAnotherTickHasInHand(t *testing.T) {
	db := newFake()
	try(t, db, Config{PollInterval: time.Hour}, done, func(tr *trial) {
		tr.ticked(t, 100*ms, 0)
		tr.ear.hears.Store(false)
		db.tellDue(300 * ms)
		tr.ticked(t, 1310*ms, 0, time.Second, 1300*ms)
		db.add(job(1))
		tr.ticked(t, 1400*ms, 0, time.Second, 1300*ms)
		wantEnds(t, db, map[int64]string{1: "finish"})
	})
}

// A worker may look before the first tick has made runnable what became due while nobody ticked.
func TestDeafWorkerLooksAfterItsFirstTick(t *testing.T) {
	db := newFake()
	db.before = func(name string, _ []int64) error {
		if name == "tick" {
			<-time.After(100 * ms)
			db.add(job(1))
		}
		return nil
	}
	try(t, db, Config{PollInterval: time.Hour}, done, func(tr *trial) {
		tr.ear.hears.Store(false)
		<-time.After(200 * ms)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish"})
	})
}
