package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneJobIsFinishedAtOnce(t *testing.T) {
	db := newFake(job(1))
	run := func(context.Context, *Job) (any, error) { return map[string]int{"sum": 8}, nil }
	try(t, db, Config{}, run, func(tr *trial) {
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: `finish {"sum":8}`})
		if got := tr.since(); got != 0 {
			t.Errorf("it took %s, want no time beside that of the calls", got)
		}
	})
}

func TestManyJobsAreFinishedInBatches(t *testing.T) {
	const n, concurrency = 10_000, 10
	db := newFake(jobs(n)...)
	db.latency = time.Millisecond
	var running, most atomic.Int64
	run := func(context.Context, *Job) (any, error) {
		now := running.Add(1)
		defer running.Add(-1)
		for {
			seen := most.Load()
			if now <= seen || most.CompareAndSwap(seen, now) {
				return nil, nil
			}
		}
	}
	try(t, db, Config{Concurrency: concurrency, OneShot: true, BeatInterval: time.Hour, StalledAfter: 4 * time.Hour}, run, func(tr *trial) {
		<-tr.over
		if tr.err != nil || len(db.ends) != n {
			t.Errorf("%d jobs ended, error %v; want all %d", len(db.ends), tr.err, n)
		}
		if most.Load() > concurrency {
			t.Errorf("%d handlers ran at once, want at most %d", most.Load(), concurrency)
		}
		if want := concurrency + maxAhead + maxBatch; db.most > want {
			t.Errorf("%d jobs were held at once, want at most %d", db.most, want)
		}
		for _, names := range [][]string{{"fetch", "exchange"}, {"exchange", "finish"}} {
			if calls := len(tr.db.timesOf(tr.start, names...)); calls > n/300 {
				t.Errorf("%d calls of %v for %d jobs: no full batches", calls, names, n)
			}
		}
	})
}

func TestIdleWorkerLooksAgainEverMoreSeldom(t *testing.T) {
	db := newFake(job(1))
	try(t, db, Config{PollInterval: 100 * time.Millisecond}, done, func(tr *trial) {
		<-time.After(400 * time.Millisecond)
		synctest.Wait()
		ms := time.Millisecond
		// The fetch and the exchange that finds nothing, then 20, 40, 80 and again and again 100 ms later.
		want := []time.Duration{0, 0, 20 * ms, 60 * ms, 140 * ms, 240 * ms, 340 * ms}
		if got := db.timesOf(tr.start, "fetch", "exchange"); !slices.Equal(got, want) {
			t.Errorf("looked at %s, want %s", describe(got), describe(want))
		}
	})
}

func TestNotificationWakesAtOnce(t *testing.T) {
	db := newFake()
	try(t, db, Config{PollInterval: time.Hour}, done, func(tr *trial) {
		<-time.After(time.Minute)
		db.add(job(1))
		before := tr.since()
		tr.notified(`{"type": "job_inserted", "job_id": 1}`)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish"})
		if got := tr.since(); got != before {
			t.Errorf("it took %s", got-before)
		}
	})
}

func TestALockIsPassedOnAtOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
	}{
		{"by a failure", errors.New("no")},
		{"by a snooze", Snooze(time.Hour)},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := newFake(lockedJob(1, "l"))
			run := func(context.Context, *Job) (any, error) {
				time.Sleep(time.Minute)
				return nil, test.err
			}
			try(t, db, Config{PollInterval: time.Hour}, run, func(tr *trial) {
				<-time.After(time.Minute)
				synctest.Wait()
				looks := db.timesOf(tr.start, "fetch")
				if last := looks[len(looks)-1]; last != time.Minute {
					t.Errorf("looked at %s, want the last look when the job ended", describe(looks))
				}
			})
		})
	}
}

func TestAbortNotificationBeatsAtOnce(t *testing.T) {
	db := newFake(job(1))
	run := func(ctx context.Context, _ *Job) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	try(t, db, Config{}, run, func(tr *trial) {
		<-time.After(time.Second)
		db.requestAbort(1)
		before := tr.since()
		tr.notified(`{"type": "abort_job_requested", "job_id": 1}`)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "abort job aborted"})
		if got := tr.since(); got != before {
			t.Errorf("it took %s", got-before)
		}
	})
}

func TestAbortComesWithABeatWhenTheNotificationIsMissed(t *testing.T) {
	db := newFake(job(1))
	run := func(ctx context.Context, _ *Job) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	try(t, db, Config{BeatInterval: 10 * time.Second}, run, func(tr *trial) {
		<-time.After(time.Second)
		db.requestAbort(1)
		<-time.After(9 * time.Second)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "abort job aborted"})
	})
}

func TestAbortOfAJobThatWaitsForItsLock(t *testing.T) {
	db := newFake(lockedJob(1, "a"), lockedJob(2, "a"))
	release := newGate()
	run := func(context.Context, *Job) (any, error) {
		release.pass()
		return nil, nil
	}
	try(t, db, Config{MaxPerLock: 2}, run, func(tr *trial) {
		synctest.Wait()
		db.requestAbort(2)
		tr.notified("")
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "", 2: "abort aborted before it started"})
		release.open()
	})
}

func TestJobsOfOneLockRunInOrderOneByOne(t *testing.T) {
	db := newFake(lockedJob(3, "a"), lockedJob(1, "a"), job(9), lockedJob(2, "a"))
	var order []int64
	var running atomic.Int64
	run := func(_ context.Context, j *Job) (any, error) {
		if j.Lock == nil {
			return nil, nil
		}
		if running.Add(1) > 1 {
			t.Error("two jobs of one lock ran at once")
		}
		defer running.Add(-1)
		<-time.After(time.Second)
		order = append(order, j.ID)
		return nil, nil
	}
	try(t, db, Config{MaxPerLock: 10, OneShot: true}, run, func(tr *trial) {
		<-tr.over
		if want := []int64{3, 1, 2}; !slices.Equal(order, want) {
			t.Errorf("ran in order %v, want %v", order, want)
		}
	})
}

func TestJobsThatWaitForTheirLockLeaveTheirSlotsToOthers(t *testing.T) {
	const concurrency = 4
	var list []*Job
	for id := int64(1); id <= concurrency; id++ {
		list = append(list, lockedJob(id, "a"))
	}
	db := newFake(append(list, job(5), job(6))...)
	slow := newGate()
	run := func(_ context.Context, j *Job) (any, error) {
		if j.Lock != nil {
			slow.pass()
		}
		return nil, nil
	}
	try(t, db, Config{Concurrency: concurrency, MaxPerLock: concurrency}, run, func(tr *trial) {
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "", 2: "", 5: "finish", 6: "finish"})
		slow.open()
	})
}

func TestWhatAHandlerDoesToItsJobIsItsOwnAffair(t *testing.T) {
	db := newFake(lockedJob(1, "a"), lockedJob(2, "a"))
	run := func(ctx context.Context, j *Job) (any, error) {
		if FromContext(ctx) != j {
			t.Error("the context has another job")
		}
		*j = *job(7)
		if j.Attempt++; FromContext(ctx).ID != 7 {
			t.Error("the context has the job as it was")
		}
		return nil, FinishTx(ctx, nil, nil)
	}
	try(t, db, Config{MaxPerLock: 2}, run, func(*trial) {
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish", 2: "finish", 7: ""})
	})
}

func TestTimeoutIsAFailure(t *testing.T) {
	slow := job(1)
	slow.Timeout = 3 * time.Second
	db := newFake(slow)
	run := func(ctx context.Context, _ *Job) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	try(t, db, Config{}, run, func(tr *trial) {
		<-time.After(3 * time.Second)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "fail timed out after 3s"})
	})
}

func TestUnknownTaskIsPutOffAndLoggedOnce(t *testing.T) {
	first, second := job(1), job(2)
	first.Task, second.Task = "other", "other"
	db := newFake(first, second)
	try(t, db, Config{}, done, func(tr *trial) {
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "snooze 1m0s", 2: "snooze 1m0s"})
		if err := tr.stopped(); err != nil {
			t.Error(err)
		}
		if got := countLines(tr.log, "task without handler"); got != 1 {
			t.Errorf("logged %d times, want once:\n%s", got, tr.log)
		}
	})
}

func TestQuickJobsAreFetchedAheadAndSlowOnesGivenBack(t *testing.T) {
	const concurrency = 4
	db := newFake(jobs(100)...)
	slow := newGate()
	run := func(ctx context.Context, j *Job) (any, error) {
		if j.ID > 60 {
			slow.pass()
		}
		return nil, nil
	}
	try(t, db, Config{Concurrency: concurrency}, run, func(tr *trial) {
		synctest.Wait()
		if db.most <= concurrency {
			t.Errorf("held %d at most, want some beside those that run", db.most)
		}
		<-time.After(maxReadyAge)
		synctest.Wait()
		if got := len(db.held); got != concurrency {
			t.Errorf("%d jobs are held while all handlers are slow, want %d", got, concurrency)
		}
		slow.open()
	})
}

func TestSlowJobsAreGivenBackBehindOneThatWaitsForItsLock(t *testing.T) {
	db := newFake(lockedJob(1, "a"), lockedJob(2, "a"))
	slow := newGate()
	run := func(context.Context, *Job) (any, error) {
		slow.pass()
		return nil, nil
	}
	config := Config{Concurrency: 3, MaxPerLock: 2, BeatInterval: time.Hour, StalledAfter: 4 * time.Hour, PollInterval: time.Hour}
	try(t, db, config, run, func(tr *trial) {
		tr.mailbox.post(func() { tr.usual = 0 }) // as after many quick jobs
		<-time.After(maxReadyAge / 2)
		db.add(job(3), job(4), job(5))
		tr.notified(`{"type": "job_inserted"}`)
		<-time.After(maxReadyAge)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "", 2: "", 3: "", 4: "", 5: "return"})
		slow.open()
	})
}

func TestAWorkerHoldsNoMoreThanItSaysHoweverSlowlyJobsEnd(t *testing.T) {
	const n, concurrency = 2400, 10
	db := newFake(jobs(n)...)
	db.before = func(name string, _ []int64) error {
		if name == "snooze" {
			<-time.After(time.Millisecond)
		}
		return nil
	}
	run := func(context.Context, *Job) (any, error) { return nil, Snooze(time.Hour) }
	try(t, db, Config{Concurrency: concurrency, OneShot: true, PollInterval: time.Millisecond}, run, func(tr *trial) {
		<-tr.over
		if tr.err != nil || len(db.ends) != n {
			t.Errorf("%d jobs ended, error %v; want all %d", len(db.ends), tr.err, n)
		}
		if db.most > concurrency+maxAhead {
			t.Errorf("%d jobs were held at once, want at most %d", db.most, concurrency+maxAhead)
		}
	})
}

func TestOneShotEndsWhenNothingIsLeft(t *testing.T) {
	db := newFake(jobs(3)...)
	run := func(_ context.Context, j *Job) (any, error) {
		if j.ID == 1 {
			db.add(job(4)) // a job that defers another
		}
		if j.ID == 2 {
			return nil, fmt.Errorf("no good")
		}
		return nil, nil
	}
	try(t, db, Config{OneShot: true}, run, func(tr *trial) {
		<-tr.over
		wantEnds(t, db, map[int64]string{1: "finish", 2: "fail no good", 3: "finish", 4: "finish"})
		if tr.err != nil {
			t.Error(tr.err)
		}
		if got := tr.since(); got != 0 {
			t.Errorf("it took %s", got)
		}
	})
}
