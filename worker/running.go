package worker

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
)

// start lets handlers start what is ready, in the order received; a job whose lock is running here keeps its place. Who has run one
// handler runs the next that may start, without asking: to be told by the owner would take longer than a quick job.
func (s *shift) start(ctx context.Context) {
	if s.silent || s.stopping {
		return
	}
	parent := context.WithoutCancel(ctx) // handlers are cancelled one by one
	var starting []*held
	waiting := s.ready[:0]
	for _, h := range s.ready {
		switch handler, ok := s.handlers[h.job.Task]; {
		case s.isLocked(h):
			waiting = append(waiting, h)
		case !ok:
			s.putOff(h)
		default:
			s.prepare(parent, h, handler)
			starting = append(starting, h)
		}
	}
	clear(s.ready[len(waiting):])
	s.ready = waiting
	for range s.mailbox.offer(starting, s.config.Concurrency, len(waiting) > 0, s.silentAt()) {
		select {
		case s.idle <- struct{}{}:
		default:
			go s.handles()
		}
	}
}

func byNumber(a, b *held) int { return cmp.Compare(a.number, b.number) }

func (s *shift) isLocked(h *held) bool {
	return h.job.Lock != nil && s.locks[*h.job.Lock]
}

func (s *shift) prepare(parent context.Context, h *held, handler Handler) {
	h.handler = handler
	h.attempt.job, h.attempt.queue, h.attempt.worker = h.job, s.queue, s.worker
	h.ctx.parent, h.ctx.attempt = parent, &h.attempt
	h.running = true
	s.active++
	if h.job.Lock != nil {
		s.locks[*h.job.Lock] = true
	}
}

// handles runs handlers in a slot, one after the other, until nothing is left to start, and then waits for another slot: its stack
// has grown already. Nobody can end this goroutine from outside.
func (s *shift) handles() {
	id := goroutineID()
	var h *held
	var began time.Time
	defer func() {
		if h != nil {
			last := handledOf(h, time.Since(began), nil, "", errGoexit)
			s.mailbox.leave(&last)
		}
	}()
	for more := true; more; _, more = <-s.idle {
		began = time.Now()
		for h = s.mailbox.next(nil, began); h != nil; {
			h.goroutine.Store(id)
			result, change, err := s.handle(h)
			now := time.Now()
			last := handledOf(h, now.Sub(began), result, change, err)
			began = now
			h = s.mailbox.next(&last, now)
		}
	}
}

func (s *shift) handle(h *held) (result *string, change string, err error) {
	h.attempt.given = *h.job
	if h.job.Timeout > 0 {
		unwatch := h.ctx.limit(h.job.Timeout, func() { s.mailbox.post(func() { s.noteCancelled(h) }) })
		defer unwatch()
	}
	s.emit(Started{h.job})
	return call(&h.ctx, h.handler, &h.attempt.given)
}

// handledOf settles what became of the handler of a job.
func handledOf(h *held, took time.Duration, result *string, change string, err error) handled {
	end := settle(h.ctx.cause(), &h.attempt, result, err)
	end.took = took
	if inTx := h.attempt.finishedInTx.Load(); inTx != nil {
		change = inTx.change // what the handler returned is not stored
	}
	h.ctx.cancel(context.Canceled)
	return handled{h, end, change}
}

// withdraw takes back what no handler has started yet. So those that are running are those that run.
func (s *shift) withdraw() {
	jobs, ends := s.mailbox.withdraw()
	for _, h := range jobs {
		h.running = false
		s.active--
		if h.job.Lock != nil {
			delete(s.locks, *h.job.Lock)
		}
	}
	s.ready = append(s.ready, jobs...)
	slices.SortFunc(s.ready, byNumber)
	for _, e := range ends {
		s.ended(e)
	}
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
func (s *shift) ended(e handled) {
	h, end := e.held, e.end
	h.running, h.ended, h.ending = false, true, end
	s.began = true
	s.active--
	if h.job.Lock != nil {
		delete(s.locks, *h.job.Lock)
	}
	s.usual = (7*s.usual + end.took) / 8
	if s.held[h.job.ID] != h {
		s.reportLost(h, false)
		return
	}
	if e.change != "" {
		s.log.Warn(e.change, h.job.attrs()...)
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
	s.withdraw()
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
	if _, first := s.mailbox.offered(); first != nil && s.now.Sub(first.since) >= maxReadyAge && s.returnReady(stale) > 0 {
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
// next: handlers may end jobs quicker than the calls are. A call carries maxBatch, as it does when it finishes.
func (s *shift) room() (room, free int) {
	taken := s.active + len(s.ready)
	if s.config.MaxPerLock > 1 {
		for _, h := range s.ready {
			if s.isLocked(h) {
				taken--
			}
		}
	}
	others := len(s.held) - taken - min(len(s.done), maxBatch)
	free = s.config.Concurrency - taken
	room = min(free+s.ahead(), free+max(s.config.Concurrency, maxAhead)-others)
	return min(max(room, 0), maxBatch), max(free, 0)
}

// well says whether what is done may wait a moment for more, which makes fewer calls: there is plenty to start, or the next of each
// lock runs here, so that nobody else waits for it.
func (s *shift) well() bool {
	offered, _ := s.mailbox.offered()
	ahead := s.ahead()
	plenty := ahead > 0 && offered > ahead/2 && len(s.done) < s.enough()
	runs := !slices.ContainsFunc(s.done, func(h *held) bool { return !s.isLocked(h) })
	return (plenty || runs) && s.now.Sub(s.doneAt) < finishDelay
}

// calm is up to how many jobs that wait for a handler the end of another is no news, and how many such ends are news together: while
// a call fetches, what succeeded must wait for a crowd, and whatever waits is started by who ended.
func (s *shift) calm() (calm, crowd int) {
	switch {
	case s.stopping || s.lost:
		return math.MaxInt, 0
	case s.hot.inFlight >= s.maxHot:
		return 0, math.MaxInt
	case s.fetching:
		return 0, s.enough() - len(s.done)
	case len(s.done) > 0 && s.well():
		return s.ahead()/2 + 1, math.MaxInt
	default:
		return math.MaxInt, 0
	}
}
