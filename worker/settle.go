package worker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ending is how a job shall leave the worker.
type ending struct {
	kind     kind
	result   *string        // of succeeded: the JSON to store; of finished: that is stored
	text     string         // of failed, aborted and finished
	wait     time.Duration  // of snoozed
	retryIn  *time.Duration // of failed: nil leaves it to the policy
	final    bool           // of failed
	took     time.Duration
	inTx     bool // the handler finished the job in a transaction of its own: lost then means that it was committed
	bare     bool // the database refused its result or text, which was replaced
	doubtful bool // asked for once, and no answer came
}

func (e *ending) event(job *Job, how Outcome, status string) Ended {
	event := Ended{Job: job, How: how, Status: status, Error: e.text, Took: e.took}
	if e.result != nil && how == OutcomeFinished {
		event.Result = *e.result
	}
	return event
}

type kind int

const (
	succeeded kind = iota
	failed
	snoozed
	aborted
	returned
	finished // in a transaction of the handler's; fails if that was not committed
)

// outcome is what an event calls it.
func (k kind) outcome() Outcome {
	return [...]Outcome{OutcomeFinished, OutcomeFailed, OutcomeSnoozed, OutcomeAborted, OutcomeReturned, OutcomeFailed}[k]
}

func (k kind) String() string {
	return [...]string{"finish", "fail", "snooze", "abort", "return", "fail"}[k]
}

// settle decides how a job shall leave the worker after its handler returned. cause is nil unless the handler's context had ended.
func settle(cause error, a *attempt, result *string, err error) ending {
	a.over.Store(true)
	end := settledSafely(cause, a.job, result, err)
	inTx := a.finishedInTx.Load()
	if end.inTx = inTx != nil; end.inTx && err == nil {
		// Only the database knows whether it was committed. To fail the job does nothing if it was.
		end.kind, end.text, end.result = finished, errNotCommitted.Error(), inTx.result
	}
	return end
}

// settledSafely makes a failure of an error that panics when it is looked at, as a nil pointer in an error often does.
func settledSafely(cause error, job *Job, result *string, err error) (end ending) {
	defer func() {
		if panicked := recover(); panicked != nil {
			end = ending{kind: failed, text: errorText(panicError(panicked))}
		}
	}()
	return settled(cause, job, result, err)
}

// settled decides what the handler's return means. Only its success outweighs the reason it was cancelled for: work
// that is done is done.
func settled(cause error, job *Job, result *string, err error) ending {
	if err == nil {
		return ending{kind: succeeded, result: result}
	}
	var (
		permanent *permanentError
		retry     *retryError
		snooze    *snoozeError
	)
	switch {
	case errors.Is(cause, ErrAborted):
		return ending{kind: aborted, text: errorText(err)}
	case errors.As(err, &snooze):
		return ending{kind: snoozed, wait: snooze.wait}
	case errors.As(err, &permanent):
		return ending{kind: failed, text: errorText(err), final: true}
	case errors.As(err, &retry):
		return ending{kind: failed, text: errorText(err), retryIn: &retry.wait}
	case errors.Is(cause, ErrTimeout):
		return ending{kind: failed, text: errorText(timedOut(job.Timeout, err))}
	case cause != nil:
		return ending{kind: returned}
	default:
		return ending{kind: failed, text: errorText(err)}
	}
}

// timedOut says how long the job had, and what the handler said unless that is only the end of its context. An error
// that wraps that end says more.
func timedOut(after time.Duration, err error) error {
	if err == ErrTimeout || err == context.DeadlineExceeded {
		return fmt.Errorf("timed out after %s", after)
	}
	return fmt.Errorf("timed out after %s: %w", after, err)
}
