package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestACrowdIsFinishedBesideAFetch(t *testing.T) {
	const n = 10 * maxBatch
	db := newFake(jobs(n)...)
	db.latency = 50 * time.Millisecond
	try(t, db, Config{OneShot: true, Concurrency: 100}, done, func(tr *trial) {
		<-tr.over
		if len(db.ends) != n || db.beside < 5 {
			t.Errorf("%d jobs ended, want %d; %d calls finished beside a fetch, want 5 at least", len(db.ends), n, db.beside)
		}
	})
}

// A disk that is slow to store the end of one job holds up no other that comes meanwhile.
func TestAJobIsFetchedWhileTheEndOfAnotherIsStored(t *testing.T) {
	db := newFake(job(1))
	db.holdUp("finish")
	started := make(chan int64, 2)
	run := func(_ context.Context, j *Job) (any, error) {
		started <- j.ID
		return nil, nil
	}
	try(t, db, Config{PollInterval: time.Hour}, run, func(tr *trial) {
		<-started
		synctest.Wait()
		db.add(job(2))
		tr.notified(`{"type": "job_inserted"}`)
		<-started
		if tr.since() > 0 {
			t.Errorf("it started after %s, want at once", tr.since())
		}
	})
}

// Its end goes beside a fetch that had looked before: the next of its lock is found by one that comes after it.
func TestALockIsPassedOnThoughAFetchIsUnderWay(t *testing.T) {
	db := newFake(lockedJob(1, "a"))
	var slowly atomic.Bool
	db.before = func(name string, _ []int64) error {
		if name == "fetch" && slowly.Load() {
			<-time.After(time.Second)
		}
		return nil
	}
	slow := newGate()
	run := func(context.Context, *Job) (any, error) {
		slow.pass()
		return nil, nil
	}
	try(t, db, Config{PollInterval: time.Hour}, run, func(tr *trial) {
		<-time.After(time.Minute)
		slowly.Store(true)
		tr.notified(`{"type": "job_inserted"}`)
		synctest.Wait()
		slow.open()
		<-time.After(time.Minute)
		ended, looks := db.timesOf(tr.start, "finish"), db.timesOf(tr.start, "fetch")
		if last := looks[len(looks)-1]; len(ended) != 1 || last <= ended[0] || last > ended[0]+2*time.Second {
			t.Errorf("ended at %s and looked at %s, want a look right after the end", describe(ended), describe(looks))
		}
	})
}

func TestWhatFailsPausesThoughTheCallBesideItWorks(t *testing.T) {
	for _, fails := range []string{"finish", "fetch"} {
		db := newFake(jobs(3)...)
		try(t, db, Config{PollInterval: time.Millisecond}, done, func(tr *trial) {
			synctest.Wait()
			db.fails(pgError("42501"), fails, "exchange")
			for id := int64(10); id < 100; id++ {
				db.add(job(id))
				<-time.After(100 * time.Millisecond)
			}
			if calls := len(db.timesOf(tr.start, fails, "exchange")); calls > 30 {
				t.Errorf("%s was called %d times in 9 s, though it fails", fails, calls)
			}
			if lines := countLines(tr.log, "database call failed"); lines != 1 {
				t.Errorf("told of %d times, want once", lines)
			}
			db.fails(nil)
			<-time.After(2 * maxBackoff)
			if lines := countLines(tr.log, "database call works again"); lines != 1 {
				t.Errorf("said to work again %d times, want once:\n%s", lines, tr.log)
			}
		})
	}
}

// Calls side by side, of which many fail, and of others the answer is lost: each job ends once, as its handler said, and none is left.
func TestLostAnswersOfCallsSideBySide(t *testing.T) {
	const n = 300
	beside := 0
	for seed := range uint64(40) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			db := newFake(jobs(n)...)
			db.crowd, db.maxHot = 3, 1+int(seed%2) // with 1: a small pool
			var one sync.Mutex
			dice := rand.New(rand.NewPCG(seed, 0))
			roll := func(sides int) int {
				one.Lock()
				defer one.Unlock()
				return dice.IntN(sides)
			}
			// at least 1 ms, see fake.do
			trouble := func(string, []int64) error {
				<-time.After(time.Duration(1+roll(20)) * time.Millisecond)
				if roll(6) == 0 {
					return errConnection
				}
				return nil
			}
			db.before, db.after = trouble, trouble
			run := func(_ context.Context, j *Job) (any, error) {
				<-time.After(time.Duration(1+roll(3)) * time.Millisecond)
				if j.ID%10 == 0 {
					return nil, errors.New("no")
				}
				return nil, nil
			}
			try(t, db, Config{Concurrency: 20, StalledAfter: time.Hour}, run, func(tr *trial) {
				<-time.After(10 * time.Minute)
				for id := int64(1); id <= n; id++ {
					want := "finish"
					if id%10 == 0 {
						want = "fail no"
					}
					wantEnds(t, db, map[int64]string{id: want})
				}
				db.mu.Lock()
				defer db.mu.Unlock()
				if len(db.held)+len(db.todo) > 0 {
					t.Errorf("%d jobs are held and %d todo", len(db.held), len(db.todo))
				}
			})
			beside += db.beside
		})
	}
	if beside == 0 {
		t.Error("no two calls were side by side")
	}
}
