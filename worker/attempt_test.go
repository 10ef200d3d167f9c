package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func finishInTx(after error) Handler {
	return func(ctx context.Context, _ *Job) (any, error) {
		if err := FinishTx(ctx, nil, map[string]int{"sum": 8}); err != nil {
			return nil, err
		}
		return nil, after
	}
}

func TestAJobFinishedInATransactionIsNotFinishedAgain(t *testing.T) {
	db := newFake(job(1))
	try(t, db, Config{}, finishInTx(nil), func(tr *trial) {
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: `finish {"sum":8}`})
		wantLog(t, tr, "job finished")
		if calls := db.timesOf(tr.start, "finish"); len(calls) > 0 || len(tr.held) > 0 {
			t.Errorf("finished %d times more, and %d jobs are still held", len(calls), len(tr.held))
		}
	})
}

func TestSuccessWithoutTheCommitIsAFailure(t *testing.T) {
	db := newFake(job(1))
	db.rollBack = true
	try(t, db, Config{}, finishInTx(nil), func(tr *trial) {
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "fail " + errNotCommitted.Error()})
		wantLog(t, tr, "job failed")
	})
}

func TestWhatAnUnansweredCallFailedIsNotToldAsFinished(t *testing.T) {
	db := newFake(job(1))
	db.rollBack = true
	db.after = onceFor("fail", errConnection)
	try(t, db, Config{}, finishInTx(nil), func(tr *trial) {
		<-time.After(time.Second)
		synctest.Wait()
		wantLog(t, tr, "job end not confirmed")
		if countLines(tr.log, "job finished") > 0 {
			t.Errorf("told as finished:\n%s", tr.log)
		}
	})
}

func TestAnErrorAfterFinishTxIsAFailureUnlessItWasCommitted(t *testing.T) {
	for rollBack, want := range map[bool]string{true: "fail commit: boom", false: `finish {"sum":8}`} {
		db := newFake(job(1))
		db.rollBack = rollBack
		try(t, db, Config{}, finishInTx(errors.New("commit: boom")), func(tr *trial) {
			synctest.Wait()
			wantEnds(t, db, map[int64]string{1: want})
			if !rollBack {
				wantLog(t, tr, "job end not confirmed")
			}
		})
	}
}

func TestFinishTxSaysWhatItDidToTheResult(t *testing.T) {
	run := func(ctx context.Context, j *Job) (any, error) {
		large := strings.Repeat("a", maxResultBytes)
		if j.ID == 2 {
			return large, FinishTx(ctx, nil, "a\x00b")
		}
		return large, FinishTx(ctx, nil, large)
	}
	db := newFake(jobs(2)...)
	try(t, db, Config{}, run, func(tr *trial) {
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish", 2: "finish \"a\uFFFDb\""})
		wantLog(t, tr, `msg="result too large to be stored" worker=1 job=1`)
		wantLog(t, tr, `msg="result cleaned" worker=1 job=2`)
		if got := countLines(tr.log, "result too large"); got != 1 {
			t.Errorf("%d results too large, want that of job 1 alone: what was returned is not stored:\n%s", got, tr.log)
		}
	})
}

func TestFinishTxOfAJobThatIsNotHeld(t *testing.T) {
	db := newFake(job(1))
	db.unended = func(name string, _ int64, _ bool) string {
		if name == "finishTx" {
			return outcomeLost
		}
		return ""
	}
	run := func(ctx context.Context, _ *Job) (any, error) {
		err := FinishTx(ctx, nil, nil)
		if !errors.Is(err, ErrNotHeld) {
			t.Errorf("got %v, want ErrNotHeld", err)
		}
		return nil, err
	}
	try(t, db, Config{}, run, func(*trial) { synctest.Wait() })
}

func TestFinishTxEndsNoLaterAttempt(t *testing.T) {
	db := newFake(job(1))
	var first context.Context
	run := func(ctx context.Context, _ *Job) (any, error) {
		if first == nil {
			first = ctx
			db.add(job(1)) // as its policy says
			return nil, errors.New("boom")
		}
		if err := FinishTx(context.WithoutCancel(first), nil, nil); !errors.Is(err, ErrNotHeld) {
			t.Errorf("got %v, want ErrNotHeld", err)
		}
		return "second", nil
	}
	try(t, db, Config{OneShot: true}, run, func(tr *trial) {
		<-tr.over
		wantEnds(t, db, map[int64]string{1: `finish "second"`})
	})
}

func TestFinishTxNeedsAHandler(t *testing.T) {
	if err := FinishTx(t.Context(), nil, nil); err == nil {
		t.Error("got no error outside of a handler")
	}
}
