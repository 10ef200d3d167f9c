package worker

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
)

// Job is what a handler is given. It belongs to one attempt; changing it changes nothing in the database.
type Job struct {
	ID    int64
	Task  string
	Queue string

	// Args is a JSON object.
	Args     json.RawMessage
	Priority int32

	// Lock is nil for a job that shares no lock.
	Lock *string

	// Attempt counts from 1.
	Attempt int32

	// MaxAttempts is nil when the task's policy decides alone.
	MaxAttempts *int32

	// Timeout bounds this attempt. Zero means none.
	Timeout time.Duration

	// ScheduledAt is zero for a job that was never scheduled.
	ScheduledAt time.Time
	DeferredAt  time.Time

	// Metadata is a JSON object that the producer attached; it may be nil.
	Metadata json.RawMessage
}

// MarshalJSON writes the job with the names the database uses; spans are in seconds.
func (j *Job) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID          int64           `json:"id"`
		Task        string          `json:"task"`
		Queue       string          `json:"queue"`
		Args        json.RawMessage `json:"args"`
		Priority    int32           `json:"priority"`
		Lock        *string         `json:"lock"`
		Attempt     int32           `json:"attempt"`
		MaxAttempts *int32          `json:"max_attempts"`
		Timeout     *float64        `json:"timeout"`
		ScheduledAt *time.Time      `json:"scheduled_at"`
		DeferredAt  *time.Time      `json:"deferred_at"`
		Metadata    json.RawMessage `json:"metadata"`
	}{
		j.ID, j.Task, j.Queue, j.Args, j.Priority, j.Lock, j.Attempt, j.MaxAttempts,
		unlessZero(j.Timeout.Seconds()), unlessZero(j.ScheduledAt), unlessZero(j.DeferredAt), j.Metadata,
	})
}

func unlessZero[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// attrs are the keys that every log record about a job carries.
func (j *Job) attrs() []any {
	return []any{
		slog.Int64("job", j.ID),
		slog.String("task", j.Task),
		slog.String("queue", j.Queue),
		slog.Int("attempt", int(j.Attempt)),
	}
}

// FromContext returns the job whose handler was given this context, or nil.
func FromContext(ctx context.Context) *Job {
	if a := attemptOf(ctx); a != nil {
		return &a.given
	}
	return nil
}
