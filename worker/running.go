package worker

import (
	"context"
	"time"
)

// start gives free slots to ready jobs in the order received; a job whose lock is running here keeps its place.
func (s *shift) start(ctx context.Context) {
	if s.silent || s.stopping {
		return
	}
	for len(s.ready) > 0 && s.active < s.config.Concurrency && !s.isLocked(s.ready[0]) {
		s.begin(ctx, s.ready[0])
		s.ready[0] = nil
		s.ready = s.ready[1:]
	}
	if len(s.ready) == 0 || s.active >= s.config.Concurrency {
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

// begin runs one handler in a goroutine that nobody can end from outside: one that has run another and waits, for its stack has
// grown already, or else a new one.
func (s *shift) begin(ctx context.Context, h *held) {
	handler, ok := s.handlers[h.job.Task]
	if !ok {
		s.putOff(h)
		return
	}
	h.handler = handler
	h.attempt = attempt{job: h.job, given: *h.job, queue: s.queue, worker: s.worker}
	h.ctx.parent, h.ctx.attempt = ctx, &h.attempt
	h.started, h.running, h.since = true, true, s.now
	s.active++
	s.began = true
	s.emit(Started{h.job})
	if h.job.Lock != nil {
		s.locks[*h.job.Lock] = true
	}
	select {
	case s.handlings <- h:
	default:
		go s.handles(h)
	}
}

func (s *shift) handles(h *held) {
	id := goroutineID()
	for h != nil {
		h.goroutine.Store(id)
		s.handle(h)
		h = <-s.handlings // nil at the end of the shift
	}
}

func (s *shift) handle(h *held) {
	var result *string
	var change string
	err := errGoexit
	unwatch := func() bool { return false }
	if h.job.Timeout > 0 {
		unwatch = h.ctx.limit(h.job.Timeout, func() { s.post(func() { s.noteCancelled(h) }) })
	}
	began := time.Now()
	defer func() {
		end := settle(h.ctx.cause(), &h.attempt, result, err)
		end.took = time.Since(began)
		if inTx := h.attempt.finishedInTx.Load(); inTx != nil {
			change = inTx.change // what the handler returned is not stored
		}
		unwatch()
		h.ctx.cancel(context.Canceled)
		s.post(func() { s.ended(h, end, change) })
	}()
	result, change, err = call(&h.ctx, h.handler, &h.attempt.given)
}

// cancel cancels the handler of a job that runs.
func (s *shift) cancel(h *held, cause error) {
	h.ctx.cancel(cause)
	s.noteCancelled(h)
}

func (s *shift) noteCancelled(h *held) {
	if h.cancelled.IsZero() {
		h.cancelled = s.now
		s.cancelled = append(s.cancelled, h)
	}
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
func (s *shift) ended(h *held, end ending, change string) {
	h.running, h.ending = false, end
	s.active--
	if h.job.Lock != nil {
		delete(s.locks, *h.job.Lock)
	}
	s.usual = (7*s.usual + end.took) / 8
	if s.held[h.job.ID] != h {
		s.reportLost(h, false)
		return
	}
	if change != "" {
		s.log.Warn(change, h.job.attrs()...)
	}
	switch end.kind {
	case succeeded:
		if len(s.done) == 0 {
			s.doneAt = s.now
		}
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

// ahead is how many jobs to hold beside those that run: as many as the handlers, if quick, get through in prefetchFor. They
// find work there while a call is under way.
func (s *shift) ahead() int {
	if s.usual >= prefetchFor {
		return 0
	}
	quick := s.config.Concurrency * int(prefetchFor/max(s.usual, time.Microsecond))
	return min(quick, max(s.config.Concurrency, maxAhead))
}

// room is how many jobs a fetch may bring, and free how many of them would start at once. A job that waits for its lock leaves its
// slot to others, but takes room of those fetched ahead; and so does what ended and waits for a call to tell it, beside that of the
// next: handlers may end jobs quicker than the calls are.
func (s *shift) room() (room, free int) {
	taken := s.active + len(s.ready)
	if s.config.MaxPerLock > 1 {
		for _, h := range s.ready {
			if s.isLocked(h) {
				taken--
			}
		}
	}
	others := len(s.held) - taken - len(s.done)
	free = s.config.Concurrency - taken
	room = min(free+s.ahead(), free+max(s.config.Concurrency, maxAhead)-others)
	return max(room, 0), max(free, 0)
}

// well says whether there is so much to start that what is done may wait a moment for more: that makes fewer calls.
func (s *shift) well() bool {
	ahead := s.ahead()
	return ahead > 0 && len(s.ready) > ahead/2 && s.now.Sub(s.doneAt) < finishDelay
}
