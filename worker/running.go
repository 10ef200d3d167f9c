package worker

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// start gives free slots to ready jobs in the order received; a job whose lock is running here keeps its place.
func (s *shift) start(ctx context.Context) {
	if s.silent || s.stopping || s.active >= s.config.Concurrency {
		return
	}
	waiting := s.ready[:0]
	for _, h := range s.ready {
		if s.active < s.config.Concurrency && !s.isLocked(h) {
			s.begin(ctx, h)
		} else {
			waiting = append(waiting, h)
		}
	}
	clear(s.ready[len(waiting):])
	s.ready = waiting
}

func (s *shift) isLocked(h *held) bool {
	return h.job.Lock != nil && s.locks[*h.job.Lock]
}

// begin runs one handler in a goroutine of its own, which nobody can end from outside.
func (s *shift) begin(ctx context.Context, h *held) {
	handler, ok := s.handlers[h.job.Task]
	if !ok {
		s.putOff(h)
		return
	}
	a := s.attemptFor(h.job)
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, attemptKey{}, a))
	release := func() {}
	if h.job.Timeout > 0 {
		ctx, release = context.WithTimeoutCause(ctx, h.job.Timeout, ErrTimeout)
	}
	h.cancel, h.running, h.since = cancel, true, s.now
	s.active++
	if h.job.Lock != nil {
		s.locks[*h.job.Lock] = true
	}
	unwatch := context.AfterFunc(ctx, func() { s.post(func() { s.noteCancelled(h) }) })
	go func() {
		var result *string
		var cleaned bool
		err := errGoexit
		defer func() {
			unwatch()
			end := settle(context.Cause(ctx), a, result, err)
			release()
			cancel(nil)
			s.post(func() { s.ended(h, end, cleaned) })
		}()
		result, cleaned, err = call(ctx, handler, h.job)
	}()
}

func (s *shift) attemptFor(job *Job) *attempt {
	return &attempt{job: job, finish: func(ctx context.Context, tx pgx.Tx, result *string) ([]outcome, error) {
		return s.queue.finishTx(ctx, tx, s.worker, job.ID, result)
	}}
}

func (s *shift) noteCancelled(h *held) {
	h.cancelled = s.now
	s.cancelled = append(s.cancelled, h)
}

// putOff snoozes a job whose task has no handler here.
func (s *shift) putOff(h *held) {
	if !s.unknown[h.job.Task] {
		s.unknown[h.job.Task] = true
		s.log.Error("task without handler", h.job.attrs()...)
	}
	h.ending = ending{kind: snoozed, wait: time.Minute}
	s.alone = append(s.alone, h)
}

// ended takes what a handler left behind.
func (s *shift) ended(h *held, end ending, cleaned bool) {
	end.took = s.now.Sub(h.since)
	h.running, h.ending = false, end
	s.active--
	if h.job.Lock != nil {
		delete(s.locks, *h.job.Lock)
	}
	s.usual = (7*s.usual + end.took) / 8
	if s.held[h.job.ID] != h {
		s.log.Warn("job lost", h.job.attrs()...)
		return
	}
	if cleaned {
		s.log.Warn("result cleaned", h.job.attrs()...)
	}
	switch end.kind {
	case succeeded:
		s.done = append(s.done, h)
	case failed, finished:
		s.failed = append(s.failed, h)
	case returned:
		s.back = append(s.back, h)
		s.returnTail(h.job.Lock)
	default:
		s.alone = append(s.alone, h)
	}
}

// returnTail gives back the rest of a run of jobs of one lock: their order would not hold without the first.
func (s *shift) returnTail(lock *string) {
	if lock == nil {
		return
	}
	s.returnReady(func(h *held) bool { return h.job.Lock != nil && *h.job.Lock == *lock })
}

// returnReady gives back the jobs in ready that were not started and match.
func (s *shift) returnReady(match func(*held) bool) (count int) {
	waiting := s.ready[:0]
	for _, h := range s.ready {
		if match(h) {
			h.ending = ending{kind: returned}
			s.back = append(s.back, h)
			count++
		} else {
			waiting = append(waiting, h)
		}
	}
	clear(s.ready[len(waiting):])
	s.ready = waiting
	return count
}

// returnStale gives back jobs that were fetched ahead and found all handlers slow.
func (s *shift) returnStale() {
	stale := func(h *held) bool { return s.now.Sub(h.since) >= maxReadyAge && !s.isLocked(h) }
	if !s.silent && s.active >= s.config.Concurrency && s.returnReady(stale) > 0 {
		s.usual = maxReadyAge
	}
}

// room is how many jobs a fetch may bring, and free how many of them would start at once.
func (s *shift) room() (room, free int) {
	ahead := 0
	if s.usual < prefetchBelow {
		ahead = s.config.Concurrency
	}
	taken := s.active + len(s.ready)
	return max(s.config.Concurrency+ahead-taken, 0), max(s.config.Concurrency-taken, 0)
}
