package worker

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func countLines(log *bytes.Buffer, text string) int {
	return strings.Count(log.String(), text)
}

func TestLostAnswerOfAFetchPutsItsJobsBack(t *testing.T) {
	db := newFake(jobs(5)...)
	db.after = onceFor("fetch", errConnection)
	try(t, db, Config{OneShot: true}, done, func(tr *trial) {
		<-tr.over
		for id := int64(1); id <= 5; id++ {
			wantEnds(t, db, map[int64]string{id: "finish"})
		}
		hot := slices.DeleteFunc(slices.Clone(db.calls), func(name string) bool { return name == "beat" || name == "tick" })
		if want := []string{"fetch", "keep", "fetch"}; !slices.Equal(hot[:3], want) {
			t.Errorf("called %v, want %v first", hot, want)
		}
	})
}

func TestLostAnswerOfAnExchangeKeepsWhatIsRunning(t *testing.T) {
	db := newFake(jobs(20)...)
	db.after = onceFor("exchange", errConnection)
	slow := newGate()
	runs := make(chan int64, 100)
	run := func(_ context.Context, j *Job) (any, error) {
		runs <- j.ID
		if j.ID == 2 {
			slow.pass()
		}
		return nil, nil
	}
	try(t, db, Config{Concurrency: 3}, run, func(tr *trial) {
		<-time.After(time.Minute)
		slow.open()
		synctest.Wait()
		close(runs)
		seen := map[int64]int{}
		for id := range runs {
			seen[id]++
		}
		for id := int64(1); id <= 20; id++ {
			wantEnds(t, db, map[int64]string{id: "finish"})
			if seen[id] != 1 {
				t.Errorf("job %d ran %d times, want once", id, seen[id])
			}
		}
	})
}

func TestKeepIsRepeatedWhileRowsAreBusy(t *testing.T) {
	db := newFake(jobs(1)...)
	db.after = onceFor("fetch", errConnection)
	keeps := 0
	db.unended = func(name string, _ int64, _ bool) string {
		if name == "keep" {
			if keeps++; keeps < 4 {
				return outcomeBusy
			}
		}
		return ""
	}
	try(t, db, Config{OneShot: true}, done, func(tr *trial) {
		<-tr.over
		wantEnds(t, db, map[int64]string{1: "finish"})
		if keeps != 4 {
			t.Errorf("asked %d times, want 4", keeps)
		}
	})
}

func TestBusyRowIsFinishedAloneWhileOthersGoOn(t *testing.T) {
	db := newFake(jobs(50)...)
	free := newGate()
	db.unended = func(name string, id int64, alone bool) string {
		if id == 2 && !(name == "finish" && alone) {
			return outcomeBusy
		}
		return ""
	}
	db.before = func(name string, ids []int64) error {
		if name == "finish" && slices.Equal(ids, []int64{2}) {
			free.pass() // as the call waits for the row
		}
		return nil
	}
	try(t, db, Config{Concurrency: 5}, done, func(tr *trial) {
		synctest.Wait()
		for id := int64(1); id <= 50; id++ {
			want := "finish"
			if id == 2 {
				want = ""
			}
			wantEnds(t, db, map[int64]string{id: want})
		}
		free.open()
		synctest.Wait()
		wantEnds(t, db, map[int64]string{2: "finish"})
	})
}

// A call for one job alone would wait for its row, and keep all that end later from being told.
func TestBusyRowOfTheOnlyOneHoldsUpNoneThatEndLater(t *testing.T) {
	for want, stop := range map[string]bool{"fail boom": false, "finish": true} {
		db := newFake(jobs(3)...)
		free := newGate()
		db.unended = func(_ string, id int64, alone bool) string {
			if id == 1 && !alone {
				return outcomeBusy
			}
			return ""
		}
		db.before = func(_ string, ids []int64) error {
			if slices.Equal(ids, []int64{1}) {
				free.pass() // as the call waits for the row
			}
			return nil
		}
		run := func(_ context.Context, j *Job) (any, error) {
			<-time.After(time.Duration(j.ID) * time.Second)
			if stop {
				return nil, nil
			}
			return nil, errors.New("boom")
		}
		try(t, db, Config{}, run, func(tr *trial) {
			synctest.Wait()
			if stop { // for a worker that does not stop fetches in the same call, which never waits
				tr.mailbox.post(tr.beginStop)
			}
			<-time.After(3 * time.Second)
			synctest.Wait()
			wantEnds(t, db, map[int64]string{1: "", 2: want, 3: want})
			free.open()
			synctest.Wait()
			wantEnds(t, db, map[int64]string{1: want})
		})
	}
}

func TestJobsAreGivenBackThoughOthersFailAllTheTime(t *testing.T) {
	const concurrency = 10
	db := newFake(jobs(3000)...)
	db.latency = time.Millisecond
	run := func(_ context.Context, j *Job) (any, error) {
		<-time.After(time.Duration(j.ID%7+1) * 100 * time.Microsecond) // some fail while a call is under way
		return nil, errors.New("boom")
	}
	try(t, db, Config{Concurrency: concurrency}, run, func(tr *trial) {
		count := make(chan int, 1)
		for returned := 0; returned == 0; returned = <-count {
			<-time.After(time.Millisecond)
			tr.mailbox.post(func() { count <- tr.returnReady(func(*held) bool { return true }) })
		}
		<-time.After(10 * time.Millisecond)
		if calls := db.timesOf(tr.start, "return"); len(calls) == 0 {
			t.Error("nothing was given back")
		}
	})
}

func TestWhatEndedAloneIsNotKept(t *testing.T) {
	run := func(context.Context, *Job) (any, error) { return nil, nil }
	try(t, newFake(), Config{}, run, func(tr *trial) {
		all := []*held{{job: job(1)}, {job: job(2)}, {job: job(3)}}
		tr.mailbox.post(func() { tr.alone = all })
		synctest.Wait()
		if got := slices.IndexFunc(all, func(h *held) bool { return h != nil }); got >= 0 {
			t.Errorf("number %d is kept", got)
		}
	})
}

func TestBadDataCostsOnlyTheOffenderItsResult(t *testing.T) {
	db := newFake(jobs(4)...)
	run := func(_ context.Context, j *Job) (any, error) { return j.ID, nil }
	stripped := false
	db.before = func(name string, ids []int64) error {
		if (name == "exchange" || name == "finish") && slices.Contains(ids, 3) && !stripped {
			stripped = len(ids) == 1 // the call for it alone
			return pgError("22P05")
		}
		return nil
	}
	try(t, db, Config{OneShot: true}, run, func(tr *trial) {
		<-tr.over
		wantEnds(t, db, map[int64]string{1: "finish 1", 2: "finish 2", 3: "finish", 4: "finish 4"})
		wantLog(t, tr, "result not stored")
	})
}

func TestLostJobIsLoggedAndForgotten(t *testing.T) {
	db := newFake(job(1))
	db.unended = func(string, int64, bool) string { return outcomeLost }
	try(t, db, Config{}, done, func(tr *trial) {
		synctest.Wait()
		if err := tr.stopped(); err != nil {
			t.Error(err)
		}
		wantLog(t, tr, "job lost")
	})
}

func TestOneShotGivesUpWhenItCannotFetch(t *testing.T) {
	db := newFake(job(1))
	db.before = func(name string, _ []int64) error {
		if name == "fetch" {
			return pgError("42501")
		}
		return nil
	}
	try(t, db, Config{OneShot: true}, done, func(tr *trial) {
		<-tr.over
		if sqlstate(tr.err) != "42501" || tr.since() != 0 {
			t.Errorf("ended after %s with %v, want at once with the error", tr.since(), tr.err)
		}
	})
}

func TestEndOfALostAnswerIsNotReportedAsLost(t *testing.T) {
	db := newFake(job(1))
	db.after = onceFor("finish", errConnection)
	try(t, db, Config{OneShot: true}, done, func(tr *trial) {
		<-tr.over
		wantEnds(t, db, map[int64]string{1: "finish"})
		wantLog(t, tr, "job end not confirmed")
		if countLines(tr.log, "job lost") > 0 {
			t.Errorf("reported as lost:\n%s", tr.log)
		}
	})
}

func TestLostRegistrationCancelsAllHandlers(t *testing.T) {
	db := newFake(jobs(2)...)
	causes := make(chan error, 2)
	run := func(ctx context.Context, _ *Job) (any, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return "too late", nil
	}
	try(t, db, Config{BeatInterval: time.Second}, run, func(tr *trial) {
		synctest.Wait()
		db.fails(pgError("PJ003"))
		<-tr.over
		if !errors.Is(tr.err, ErrNotRegistered) {
			t.Errorf("ended with %v, want ErrNotRegistered", tr.err)
		}
		for range 2 {
			if cause := <-causes; !errors.Is(cause, ErrLostRegistration) {
				t.Errorf("cancelled because %v, want ErrLostRegistration", cause)
			}
		}
		wantEnds(t, db, map[int64]string{1: "", 2: ""})
	})
}

func TestWithoutBeatsLockedJobsAreCancelledAndGivenBack(t *testing.T) {
	db := newFake(lockedJob(1, "a"), job(2))
	run := func(ctx context.Context, j *Job) (any, error) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(35 * time.Second):
			return nil, nil
		}
	}
	config := Config{BeatInterval: 10 * time.Second, StalledAfter: 40 * time.Second}
	try(t, db, config, run, func(tr *trial) {
		synctest.Wait()
		db.fails(errConnection, "beat")
		<-time.After(30*time.Second - 1)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: ""})
		<-time.After(1)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "return", 2: ""})
		db.fails(nil)
		<-time.After(time.Minute)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish", 2: "finish"})
	})
}

func TestResultsAreKeptWhileTheDatabaseIsAway(t *testing.T) {
	db := newFake(jobs(3)...)
	run := func(_ context.Context, j *Job) (any, error) {
		<-time.After(time.Second)
		if j.ID == 3 {
			return nil, errors.New("no good")
		}
		return j.ID, nil
	}
	try(t, db, Config{}, run, func(tr *trial) {
		synctest.Wait()
		db.fails(errConnection)
		<-time.After(20 * time.Second)
		db.fails(nil)
		<-time.After(maxBackoff)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish 1", 2: "finish 2", 3: "fail no good"})
	})
}

// The answer of a failure is lost although it was committed, and the job is todo again at once. Were it fetched
// while the failure is asked for again, the new attempt would get the old one's failure.
func TestOldEndNeverMeetsANewAttempt(t *testing.T) {
	db := newFake(job(1))
	lose := onceFor("fail", errConnection)
	again := false
	db.after = func(name string, ids []int64) error {
		db.mu.Lock()
		if name == "fail" && !again {
			again = true
			db.todo = append(db.todo, job(1))
		}
		slowly := name == "fetch" && again
		db.mu.Unlock()
		if slowly {
			<-time.After(time.Second) // committed, and its answer on the way
		}
		return lose(name, ids)
	}
	attempts := 0
	run := func(context.Context, *Job) (any, error) {
		if attempts++; attempts == 1 {
			return nil, errors.New("first attempt")
		}
		return "second", nil
	}
	try(t, db, Config{}, run, func(tr *trial) {
		<-time.After(time.Minute)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: `finish "second"`})
	})
}
