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
	result   *string        // of succeeded: the JSON to store
	text     string         // of failed and aborted
	wait     time.Duration  // of snoozed
	retryIn  *time.Duration // of failed: nil leaves it to the policy
	final    bool           // of failed
	took     time.Duration
	bare     bool // the database refused its result or text, which was replaced
	doubtful bool // asked for once, and no answer came
}

type kind int

const (
	succeeded kind = iota
	failed
	snoozed
	aborted
	returned
)

func (k kind) String() string {
	return [...]string{"finish", "fail", "snooze", "abort", "return"}[k]
}

// settle decides what the handler's return means. Only its success outweighs the reason it was cancelled for:
// work that is done is done. cause is nil unless the handler's context had ended.
func settle(cause error, job *Job, result *string, err error) ending {
	var (
		permanent *permanentError
		retry     *retryError
		snooze    *snoozeError
	)
	switch {
	case err == nil:
		return ending{kind: succeeded, result: result}
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
