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
			s.mailbox.post(s.loseRegistration)
			return
		case err != nil:
			trouble.failed(s.log, "beat", err)
			wait = min(backoff(trouble.failures), wait)
		default:
			trouble.worked(s.log, "beat")
			s.mailbox.post(func() { s.beaten(sent, ids) })
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
	if len(abortIDs) > 0 {
		s.withdraw()
	}
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

// clockwork is what the clock asks of the database.
type clockwork interface {
	tick(ctx context.Context, worker *int64) (time.Duration, error)
}

// clock turns the clockwork: due jobs, dead workers. Any number of workers may do so at once.
type clock struct {
	queue clockwork
	log   *slog.Logger
	hints chan time.Time // at most one, the earliest
	ear   *ear
}

func newClock(queue clockwork, log *slog.Logger, ear *ear) *clock {
	return &clock{queue: queue, log: log, hints: make(chan time.Time, 1), ear: ear}
}

// hint asks for a tick at that time, or before.
func (c *clock) hint(at time.Time) {
	for {
		select {
		case c.hints <- at:
			return
		case other := <-c.hints:
			if other.Before(at) {
				at = other
			}
		}
	}
}

const (
	usualWait    = time.Second // what a tick returns at most to who does not say who it is
	longestWait  = 10 * time.Second
	shortestRest = time.Millisecond
	longestRest  = 5 * time.Millisecond
)

// ticks ticks whenever something is due, and has the shifts look when something was. In between it rests about as long as the tick
// took, so that what becomes due in quick succession goes in one.
func (c *clock) ticks(ctx context.Context) {
	var trouble complaint
	due := true // for all it knows, as nobody may have ticked for long
	for ctx.Err() == nil {
		began := time.Now()
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		wait, err := c.queue.tick(callCtx, c.ear.tells())
		cancel()
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			trouble.failed(c.log, "tick", err)
			wait, due = backoff(trouble.failures), true
		default:
			trouble.worked(c.log, "tick")
			if due {
				c.ear.lookIfDeaf()
			}
			wait = min(wait, longestWait)
			due = wait < usualWait
		}
		rest := min(max(now.Sub(began), shortestRest), longestRest)
		c.sleep(ctx, now.Add(max(wait, rest)), now.Add(rest))
	}
}

// sleep returns at a time, or by that of a hint, if it came during the tick, which may not have seen what it is of, or comes
// now; but not before earliest.
func (c *clock) sleep(ctx context.Context, until, earliest time.Time) {
	for wait := time.Until(until); wait > 0; wait = time.Until(until) {
		select {
		case <-ctx.Done():
			return
		case hint := <-c.hints:
			if hint.Before(earliest) {
				hint = earliest
			}
			if hint.Before(until) {
				until = hint
			}
		case <-time.After(wait):
		}
	}
}
