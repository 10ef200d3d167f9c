package worker

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

func TestStopLetsHandlersFinish(t *testing.T) {
	db := newFake(lockedJob(1, "a"), lockedJob(2, "a"), job(3))
	run := func(ctx context.Context, _ *Job) (any, error) {
		<-time.After(20 * time.Second)
		return nil, context.Cause(ctx)
	}
	try(t, db, Config{MaxPerLock: 2}, run, func(tr *trial) {
		synctest.Wait()
		if err := tr.stopped(); err != nil {
			t.Error(err)
		}
		wantEnds(t, db, map[int64]string{1: "finish", 2: "return", 3: "finish"})
		if got := tr.since(); got != 20*time.Second {
			t.Errorf("it took %s, want 20s", got)
		}
	})
}

func TestStopCancelsAfterTheGracefulTimeout(t *testing.T) {
	db := newFake(job(1))
	var cause error
	run := func(ctx context.Context, _ *Job) (any, error) {
		<-ctx.Done()
		cause = context.Cause(ctx)
		return nil, errors.New("interrupted")
	}
	try(t, db, Config{GracefulTimeout: 5 * time.Second}, run, func(tr *trial) {
		synctest.Wait()
		if err := tr.stopped(); err != nil {
			t.Error(err)
		}
		wantEnds(t, db, map[int64]string{1: "return"})
		if !errors.Is(cause, ErrShutdown) {
			t.Errorf("cancelled because %v, want ErrShutdown", cause)
		}
		if got := tr.since(); got != 5*time.Second {
			t.Errorf("it took %s, want 5s", got)
		}
	})
}

func TestAbortCancelsAtOnce(t *testing.T) {
	db := newFake(job(1))
	run := func(ctx context.Context, _ *Job) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	try(t, db, Config{}, run, func(tr *trial) {
		synctest.Wait()
		close(tr.abort)
		<-tr.over
		wantEnds(t, db, map[int64]string{1: "return"})
		if tr.err != nil || tr.since() != 0 {
			t.Errorf("ended after %s with %v, want at once with no error", tr.since(), tr.err)
		}
	})
}

func TestStuckHandlerKeepsItsJob(t *testing.T) {
	db := newFake(jobs(2)...)
	free := newGate()
	run := func(ctx context.Context, j *Job) (any, error) {
		if j.ID == 1 {
			free.pass()
		}
		return nil, nil
	}
	try(t, db, Config{GracefulTimeout: 5 * time.Second, StuckAfter: 2 * time.Second}, run, func(tr *trial) {
		synctest.Wait()
		err := tr.stopped()
		if !errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "job 1 (task)") || strings.Contains(err.Error(), "job 2") {
			t.Errorf("ended with %v, want ErrStuck naming job 1", err)
		}
		if got := tr.since(); got != 7*time.Second {
			t.Errorf("it took %s, want 7s", got)
		}
		wantEnds(t, db, map[int64]string{1: "", 2: "finish"})
		wantLog(t, tr, "handler stuck")
		wantLog(t, tr, ".(*gate).pass(")
		free.open()
	})
}

// To look at one stack the runtime prints all, and the world stands still meanwhile.
func TestManyStuckHandlersStopTheWorldOnce(t *testing.T) {
	const n = 500
	db := newFake(jobs(n)...)
	free := newGate()
	run := func(context.Context, *Job) (any, error) {
		free.pass()
		return nil, nil
	}
	began := time.Now() // by the clock outside of the bubble
	try(t, db, Config{Concurrency: n, GracefulTimeout: time.Second, StuckAfter: time.Second}, run, func(tr *trial) {
		synctest.Wait()
		if err := tr.stopped(); !errors.Is(err, ErrStuck) {
			t.Errorf("ended with %v, want ErrStuck", err)
		}
		if got := countLines(tr.log, ".(*gate).pass("); got != n {
			t.Errorf("%d stacks are logged, want %d", got, n)
		}
		free.open()
	})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s, as if the world was stopped for each", took)
	}
}

func TestStopWithoutDatabaseEndsAfterASecondGracefulTimeout(t *testing.T) {
	db := newFake(job(1))
	try(t, db, Config{GracefulTimeout: 5 * time.Second}, func(context.Context, *Job) (any, error) {
		<-time.After(time.Second)
		return nil, nil
	}, func(tr *trial) {
		synctest.Wait()
		db.fails(errConnection)
		err := tr.stopped()
		if !errors.Is(err, ErrUndelivered) || errors.Is(err, ErrStuck) {
			t.Errorf("ended with %v, want ErrUndelivered alone", err)
		}
		if got := tr.since(); got != 6*time.Second {
			t.Errorf("it took %s, want 6s", got)
		}
	})
}

func TestHandlerThatIgnoresALostRegistrationEndsTheWorker(t *testing.T) {
	db := newFake(job(1))
	free := newGate()
	run := func(context.Context, *Job) (any, error) {
		free.pass()
		return nil, nil
	}
	try(t, db, Config{BeatInterval: time.Second, StuckAfter: time.Second}, run, func(tr *trial) {
		synctest.Wait()
		db.fails(pgError("PJ003"))
		<-tr.over
		if !errors.Is(tr.err, ErrStuck) {
			t.Errorf("ended with %v, want ErrStuck", tr.err)
		}
		free.open()
	})
}

func TestAbortEndsAWorkerWhoseDatabaseDoesNotAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	pool, err := pgxpool.New(t.Context(), "postgres://"+silent.Addr().String()+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w, err := New(pool, Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.Handle("task", done)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(t.Context()) }()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w.Abort()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v, want no error", err)
		}
	case <-time.After(callTimeout / 2):
		t.Error("it still waits for an answer")
	}
}
