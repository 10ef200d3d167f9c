package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// Handler runs one attempt of a job. What it returns is stored as JSON; nil stores nothing, and neither does more than 8 MiB,
// which is logged. An error makes the attempt fail, and the task's policy decides whether there is another; Permanent, RetryIn
// and Snooze say it themselves. A panic is a failure, with its stack. The context ends when the job is aborted, has timed out,
// or when the worker will not wait any longer (see context.Cause); a handler must then return.
type Handler func(ctx context.Context, job *Job) (result any, err error)

// Typed makes a handler of a function that takes its args as a Go value. Args that do not fit fail the job for
// good. The job itself is in FromContext.
func Typed[A, R any](run func(ctx context.Context, args A) (R, error)) Handler {
	return func(ctx context.Context, job *Job) (any, error) {
		var args A
		if err := json.Unmarshal(job.Args, &args); err != nil {
			return nil, Permanent(fmt.Errorf("read args: %w", err))
		}
		return run(ctx, args)
	}
}

// maxWait is the longest span the worker asks the database to wait.
const maxWait = 365 * 24 * time.Hour

// Permanent fails the job for good, whatever attempts its policy would leave. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryIn fails the attempt and asks for the next one after the span (at least 0, at most a year).
// RetryIn(nil, …) is nil.
func RetryIn(err error, wait time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryError{err, clampWait(wait)}
}

// Snooze puts the job off by the span (at least 0, at most a year); it does not count as an attempt.
func Snooze(wait time.Duration) error {
	return &snoozeError{clampWait(wait)}
}

func clampWait(wait time.Duration) time.Duration {
	return min(max(wait, 0), maxWait)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

type retryError struct {
	err  error
	wait time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

type snoozeError struct{ wait time.Duration }

func (e *snoozeError) Error() string { return fmt.Sprintf("snooze for %s", e.wait) }

// errGoexit stands for a handler that ended its goroutine instead of returning.
var errGoexit = errors.New("handler ended its goroutine")

// call runs a handler and encodes what it returns; a panic in either becomes an error with its stack.
func call(ctx context.Context, handler Handler, job *Job) (result *string, change string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			result, err = nil, panicError(cause)
		}
	}()
	value, err := handler(ctx, job)
	if err != nil {
		return nil, "", err
	}
	return encodeResult(value)
}

// panicError is the failure for a panic that is being recovered from, with the stack from where it panicked.
func panicError(cause any) error {
	head, stack, found := strings.Cut(string(debug.Stack()), "\npanic(")
	if !found {
		return fmt.Errorf("panic: %v\n\n%s", cause, head)
	}
	for range 2 { // the line of panic itself, and where that is
		_, stack, _ = strings.Cut(stack, "\n")
	}
	return fmt.Errorf("panic: %v\n\n%s", cause, stack)
}

// maxResultBytes bounds a result: a database that keeps many larger ones is none to be looked at.
const maxResultBytes = 8 << 20

// encodeResult makes the JSON to store. change says what had to be done to it, in the words of a log record, if anything.
func encodeResult(value any) (result *string, change string, err error) {
	if value == nil {
		return nil, "", nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, "", fmt.Errorf("encode result: %w", err)
	}
	raw, cleaned, err := cleanJSON(raw)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("clean result: %w", err)
	case len(raw) > maxResultBytes:
		return nil, "result too large to be stored", nil
	case cleaned:
		change = "result cleaned"
	}
	text := string(raw)
	return &text, change, nil
}
