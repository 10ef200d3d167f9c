package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
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
