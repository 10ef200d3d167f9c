package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// beats proves again and again that the worker lives, at once when asked to. An abort that was requested comes
// back from every beat until the job has ended.
func (s *shift) beats(ctx context.Context) {
	var trouble complaint
	for {
		wait := s.config.BeatInterval
		sent := time.Now()
		callCtx, cancel := context.WithTimeout(ctx, max(s.config.StalledAfter/4, time.Second))
		ids, err := s.queue.beat(callCtx, s.worker)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrNotRegistered):
			s.post(s.loseRegistration)
			return
		case err != nil:
			trouble.failed(s.log, "beat", err)
			wait = min(backoff(trouble.failures), wait)
		default:
			trouble.worked(s.log, "beat")
			s.post(func() { s.beaten(sent, ids) })
		}
		select {
		case <-ctx.Done():
			return
		case <-s.beatNow:
		case <-time.After(wait):
		}
	}
}

// beaten notes a successful beat and cancels what shall be aborted.
func (s *shift) beaten(sent time.Time, abortIDs []int64) {
	s.beatAt, s.silent = sent, false
	for _, id := range abortIDs {
		h := s.held[id]
		switch {
		case h == nil: // its fetch is still under way: the next beat names it again
		case h.running:
			s.cancel(h, ErrAborted)
		default:
			s.abortReady(h)
		}
	}
}

// abortReady ends a job that was not started yet.
func (s *shift) abortReady(h *held) {
	found := s.returnReady(func(other *held) bool { return other == h })
	if found == 0 {
		return // its handler has returned already
	}
	s.back = s.back[:len(s.back)-1]
	h.ending = ending{kind: aborted, text: "aborted before it started"}
	s.alone = append(s.alone, h)
}

// clockwork is what ticks asks of the database.
type clockwork interface {
	tick(ctx context.Context) (time.Duration, error)
}

// ticks turns the clockwork: due jobs, dead workers. Any number of workers may do so at once.
func ticks(ctx context.Context, queue clockwork, log *slog.Logger) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	var trouble complaint
	for {
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		wait, err := queue.tick(callCtx)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			trouble.failed(log, "tick", err)
			wait = backoff(trouble.failures)
		default:
			trouble.worked(log, "tick")
			wait = min(max(wait, shortest), longest)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
