package worker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTypedReadsArgs(t *testing.T) {
	handler := Typed(func(ctx context.Context, args struct{ A, B int }) (int, error) {
		if FromContext(ctx) == nil {
			t.Error("no job in the context")
		}
		return args.A + args.B, nil
	})
	j := job(1)
	j.Args = []byte(`{"a": 3, "b": 5}`)
	got, err := handler(context.WithValue(t.Context(), attemptKey{}, &attempt{given: *j}), j)
	if got != 8 || err != nil {
		t.Errorf("got %v, %v; want 8", got, err)
	}
	j.Args = []byte(`{"a": "three"}`)
	_, err = handler(t.Context(), j)
	if end := settle(nil, &attempt{job: j}, nil, err); !end.final || !strings.HasPrefix(end.text, "read args: ") {
		t.Errorf("args that do not fit: got %+v, want a final failure", end)
	}
}

// asNil is what a handler returns that declares a pointer to its own error and returns it as it is.
type asNil struct{ text string }

func (e *asNil) Error() string { return e.text }

func TestAnErrorThatPanicsIsAFailure(t *testing.T) {
	run := func(context.Context, *Job) (any, error) {
		var err *asNil
		return nil, err
	}
	db := newFake(job(1))
	try(t, db, Config{}, run, func(*trial) {
		synctest.Wait()
		if got := db.endOf(1); !strings.HasPrefix(got, "fail panic: runtime error: ") || !strings.Contains(got, "(*asNil).Error") {
			t.Errorf("ended as %q, want the panic and its stack", got)
		}
	})
}

func TestSettle(t *testing.T) {
	boom := errors.New("boom")
	j := job(1)
	j.Timeout = time.Second
	tests := []struct {
		name  string
		cause error
		err   error
		want  ending
	}{
		{"success", nil, nil, ending{kind: succeeded}},
		{"success though aborted", ErrAborted, nil, ending{kind: succeeded}},
		{"success though timed out", ErrTimeout, nil, ending{kind: succeeded}},
		{"failure", nil, boom, ending{kind: failed, text: "boom"}},
		{"permanent", nil, fmt.Errorf("wrapped: %w", Permanent(boom)), ending{kind: failed, text: "wrapped: boom", final: true}},
		{"retry", nil, RetryIn(boom, time.Minute), ending{kind: failed, text: "boom", retryIn: ptr(time.Minute)}},
		{"retry at once", nil, RetryIn(boom, -1), ending{kind: failed, text: "boom", retryIn: ptr(time.Duration(0))}},
		{"snooze", nil, Snooze(time.Hour), ending{kind: snoozed, wait: time.Hour}},
		{"snooze for ever", nil, Snooze(1 << 62), ending{kind: snoozed, wait: maxWait}},
		{"aborted", ErrAborted, boom, ending{kind: aborted, text: "boom"}},
		{"aborted, and asks to retry", ErrAborted, RetryIn(boom, 0), ending{kind: aborted, text: "boom"}},
		{"timed out", ErrTimeout, context.DeadlineExceeded, ending{kind: failed, text: "timed out after 1s"}},
		{"timed out, returned as the cause", ErrTimeout, ErrTimeout, ending{kind: failed, text: "timed out after 1s"}},
		{"timed out with a reason", ErrTimeout, boom, ending{kind: failed, text: "timed out after 1s: boom"}},
		{
			"timed out with a reason that wraps the cause", ErrTimeout, fmt.Errorf("half done: %w", ErrTimeout),
			ending{kind: failed, text: "timed out after 1s: half done: job timed out"},
		},
		{
			"timed out with a reason that wraps the deadline", ErrTimeout, fmt.Errorf("get page: %w", context.DeadlineExceeded),
			ending{kind: failed, text: "timed out after 1s: get page: context deadline exceeded"},
		},
		{"shutdown", ErrShutdown, boom, ending{kind: returned}},
		{"shutdown of a job that failed for good", ErrShutdown, Permanent(boom), ending{kind: failed, text: "boom", final: true}},
		{"out of touch", ErrOutOfTouch, boom, ending{kind: returned}},
	}
	for _, test := range tests {
		if got := settle(test.cause, &attempt{job: j}, nil, test.err); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
	if Permanent(nil) != nil || RetryIn(nil, 0) != nil {
		t.Error("no error became one")
	}
}

func TestPanicIsAFailureWithItsStack(t *testing.T) {
	_, _, err := call(t.Context(), func(context.Context, *Job) (any, error) { panic("oh no") }, job(1))
	if err == nil || !strings.HasPrefix(err.Error(), "panic: oh no\n\ngithub.com/procrastinate-pg/procrastinate/worker.Test") || !strings.Contains(err.Error(), "handler_test.go") {
		t.Errorf("got %v, want the panic and where it was", err)
	}
}

func TestPanicInAResultIsAFailure(t *testing.T) {
	_, _, err := call(t.Context(), func(context.Context, *Job) (any, error) { return angry{}, nil }, job(1))
	if err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("got %v", err)
	}
}

type angry struct{}

func (angry) MarshalJSON() ([]byte, error) { panic("not today") }

func TestHandlerThatEndsItsGoroutineFails(t *testing.T) {
	db := newFake(job(1))
	run := func(context.Context, *Job) (any, error) {
		runtime.Goexit()
		return nil, nil
	}
	try(t, db, Config{}, run, func(*trial) {
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "fail handler ended its goroutine"})
	})
}
