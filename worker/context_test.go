package worker

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

type testKey struct{}

// newContext is a handler's, of a parent with a value.
func newContext(t *testing.T) *handlerContext {
	return &handlerContext{parent: context.WithValue(context.WithoutCancel(t.Context()), testKey{}, "value"), attempt: &attempt{}}
}

func TestAHandlersContextEndsWithItsCauseHoweverEarly(t *testing.T) {
	for _, looked := range []bool{true, false} {
		c := newContext(t)
		if looked && (c.Err() != nil || context.Cause(c) != nil || c.cause() != nil) {
			t.Errorf("it ended by itself with %v", c.Err())
		}
		c.cancel(ErrAborted)
		c.cancel(ErrShutdown)
		if got := c.cause(); !errors.Is(got, ErrAborted) {
			t.Errorf("looked at before %v: the worker finds %v, want ErrAborted", looked, got)
		}
		<-c.Done()
		if c.Err() != context.Canceled || context.Cause(c) != ErrAborted || c.cause() != ErrAborted {
			t.Errorf("looked at before %v: got %v, cause %v, %v", looked, c.Err(), context.Cause(c), c.cause())
		}
	}
}

func TestAHandlersContextHasTheValuesOfItsParentAndTheAttempt(t *testing.T) {
	c := newContext(t)
	if got := c.Value(testKey{}); got != "value" {
		t.Errorf("got %v, want the parent's value", got)
	}
	if _, bounded := c.Deadline(); bounded || attemptOf(c) != c.attempt {
		t.Errorf("a deadline %v, or another attempt", bounded)
	}
	if c.limit(time.Hour, func() {}); time.Until(deadline(c)) > time.Hour || attemptOf(c) != c.attempt || c.Value(testKey{}) != "value" {
		t.Errorf("limited: deadline %s", deadline(c))
	}
	c.cancel(nil)
}

func deadline(c context.Context) time.Time {
	at, _ := c.Deadline()
	return at
}

func TestContextsOfAHandlersEndWithItAndStartNoGoroutine(t *testing.T) {
	c := newContext(t)
	before := runtime.NumGoroutine()
	child, cancel := context.WithTimeout(c, time.Hour)
	defer cancel()
	if got := runtime.NumGoroutine(); got > before {
		t.Errorf("%d goroutines, %d before", got, before)
	}
	c.cancel(ErrShutdown)
	<-child.Done()
	if got := context.Cause(child); got != ErrShutdown {
		t.Errorf("got %v, want ErrShutdown", got)
	}
}

func TestALimitedContextTimesOutAndTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		c := newContext(t)
		c.limit(time.Second, func() { told++ })
		<-c.Done()
		synctest.Wait()
		if c.Err() != context.DeadlineExceeded || context.Cause(c) != ErrTimeout || c.cause() != ErrTimeout || told != 1 {
			t.Errorf("got %v, cause %v, told %d times", c.Err(), context.Cause(c), told)
		}
		quiet := newContext(t)
		unwatch := quiet.limit(time.Second, func() { told++ })
		unwatch()
		quiet.cancel(context.Canceled)
		<-time.After(time.Minute)
		synctest.Wait()
		if quiet.Err() != context.Canceled || told != 1 {
			t.Errorf("got %v, told %d times, want not again", quiet.Err(), told)
		}
	})
}

func TestTheContextOfAHandlerThatReturnedHasEnded(t *testing.T) {
	var kept context.Context
	run := func(ctx context.Context, _ *Job) (any, error) {
		kept = ctx
		return nil, nil
	}
	try(t, newFake(job(1)), Config{}, run, func(*trial) {
		synctest.Wait()
		if kept.Err() != context.Canceled {
			t.Errorf("got %v, want that it was cancelled", kept.Err())
		}
	})
}
