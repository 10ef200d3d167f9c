package worker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// lane is a stream of calls to the database. After a failed one it pauses for longer and longer.
type lane struct {
	inFlight  int
	failing   errand // what did not work last
	tries     int
	notBefore time.Time
	complaint complaint
}

// errand is what a call is for. Of two side by side the success of one says nothing of the other, which must still pause.
type errand int

const (
	looks    errand         = 1 << iota // for jobs
	ends                                // that succeeded
	anything = looks | ends             // what a lane is for that has one call at a time
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
	maxBatch     = 1000    // ids in one call
	maxBatchSize = 8 << 20 // bytes of results and texts in one call
)

func (l *lane) free(now time.Time, width int) bool {
	return l.inFlight < width && !now.Before(l.notBefore)
}

func (l *lane) answered(log *slog.Logger, call string, what errand) {
	if l.failing &^= what; l.failing == 0 {
		l.tries, l.notBefore = 0, time.Time{}
		l.complaint.worked(log, call)
	}
}

func (l *lane) backOff(now time.Time) {
	l.tries++
	l.notBefore = now.Add(backoff(l.tries))
}

// backoff is the span before the next try: doubling, at most about 5 s, and never the same for two workers.
func backoff(tries int) time.Duration {
	wait := min(firstBackoff<<min(tries-1, 10), maxBackoff)
	return wait/2 + rand.N(wait/2)
}

// call runs one call in a goroutine and has its answer handled by the shift's own.
func (s *shift) call(
	ctx context.Context, l *lane, timeout time.Duration, do func(context.Context) (answer func(error), err error),
) {
	l.inFlight++
	s.calls.Go(func() {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		answer, err := do(ctx)
		s.mailbox.post(func() {
			l.inFlight--
			answer(err)
		})
	})
}

// trouble notes that a call failed.
func (s *shift) trouble(l *lane, name string, what errand, err error) {
	if errors.Is(err, ErrNotRegistered) {
		s.loseRegistration()
		return
	}
	l.failing |= what
	l.backOff(s.now)
	l.complaint.failed(s.log, name, err)
}

// callHot finishes what succeeded and fetches what there is room for. While there is much to fetch, both go in one call; with a crowd
// to finish in two side by side, for one processor of the database's is not enough then. While there is little, also in two: so what
// comes next need not wait until an end is on the disk. Who ends a job with a lock fetches in the same call, if none does already: so he
// finds the next of the lock. Only one call that fetches is under way at any time.
func (s *shift) callHot(ctx context.Context) {
	switch {
	case !s.hot.free(s.now, s.maxHot):
	case s.unsure:
		if s.hot.inFlight == 0 {
			s.callKeep(ctx)
		}
	case len(s.done) > 0 && s.well():
	default:
		room, free := s.room()
		wanted := len(s.done) > 0 || s.hungry && free > 0
		if room > 0 && wanted && !s.fetching && !s.stopping && !s.silent && s.doubts == 0 {
			c := &hotCall{fetching: true, room: room, idle: len(s.held) == 0}
			if s.hot.inFlight == 0 && (s.maxHot == 1 || len(s.done) < s.enough() || slices.ContainsFunc(s.done, hasLock)) {
				c.batch = takeBatch(&s.done)
			}
			s.fetching, s.hungry = true, false
			s.sendHot(ctx, c)
		}
		if len(s.done) > 0 && s.hot.inFlight == 0 || len(s.done) >= s.enough() && s.hot.free(s.now, s.maxHot) {
			s.sendHot(ctx, &hotCall{batch: takeBatch(&s.done)})
		}
	}
}

// enough is how many jobs that are done are worth a call of their own beside one that fetches.
func (s *shift) enough() int {
	if s.plenty {
		return s.crowd
	}
	return 1
}

func (s *shift) sendHot(ctx context.Context, c *hotCall) {
	c.worker, c.perLock = s.worker, s.config.MaxPerLock
	s.call(ctx, &s.hot, callTimeout, func(ctx context.Context) (func(error), error) {
		began := time.Now()
		err := s.ask(ctx, c)
		c.took = time.Since(began)
		return func(err error) { s.hotAnswered(c, err) }, err
	})
}

// hotCall is a finish, a fetch, or both in one.
type hotCall struct {
	worker        int64
	batch         []*held // to finish
	fetching      bool
	room, perLock int
	idle          bool // nothing was held before it

	name     string
	jobs     []*Job
	outcomes []outcome
	took     time.Duration
}

func (c *hotCall) errand() (what errand) {
	if c.fetching {
		what = looks
	}
	if len(c.batch) > 0 {
		what |= ends
	}
	return what
}

func (s *shift) ask(ctx context.Context, c *hotCall) (err error) {
	ids, results := idsOf(c.batch), resultsOf(c.batch)
	switch {
	case !c.fetching:
		c.name = "finish"
		batch := neverOne(c.batch)
		c.outcomes, err = s.queue.finish(ctx, c.worker, idsOf(batch), resultsOf(batch))
	case len(c.batch) == 0:
		c.name = "fetch"
		if s.config.OneShot && c.idle {
			_, err = s.queue.tick(ctx, nil)
		}
		if err == nil {
			c.jobs, err = s.queue.fetch(ctx, c.worker, c.room, c.perLock)
		}
	default:
		c.name = "exchange"
		c.jobs, c.outcomes, err = s.queue.exchange(ctx, c.worker, ids, results, c.room, c.perLock)
	}
	return err
}

func (s *shift) hotAnswered(c *hotCall, err error) {
	if c.fetching {
		s.fetching = false
		s.emit(Fetched{c.room, len(c.jobs), len(c.batch), c.took, err})
	}
	if err != nil {
		s.hotFailed(c, err)
		return
	}
	s.hot.answered(s.log, c.name, c.errand())
	passedOn := s.accepted(c.batch, c.outcomes)
	if c.fetching {
		s.take(c.jobs, c.room, c.idle)
	} else if passedOn {
		s.lookAgain()
	}
}

func (s *shift) hotFailed(c *hotCall, err error) {
	if c.fetching {
		s.hungry = true
		s.unsure = s.unsure || isUnanswered(err)
	}
	if isBadData(err) && len(c.batch) > 0 {
		s.alone = append(s.alone, c.batch...)
	} else {
		s.done = append(s.undelivered(c.batch, err), s.done...)
	}
	s.trouble(&s.hot, c.name, c.errand(), err)
	if s.config.OneShot && len(s.held) == 0 && !s.lost && !isTransient(err) {
		s.gaveUp = err
		s.beginStop()
	}
}

// take keeps what a fetch brought, and decides when to look again.
func (s *shift) take(jobs []*Job, asked int, idle bool) {
	for _, job := range jobs {
		if earlier := s.held[job.ID]; earlier != nil {
			s.supersede(earlier)
		}
		s.fetched++
		h := &held{job: job, number: s.fetched, since: s.now}
		s.held[job.ID] = h
		s.ready = append(s.ready, h)
	}
	s.drained = idle && len(jobs) == 0
	s.plenty = len(jobs) >= asked
	switch {
	case len(jobs) >= asked:
		s.hungry = true
		s.pause = firstPause
	case len(jobs) > 0:
		s.pause = firstPause
	default:
		s.pause = min(2*s.pause, s.config.PollInterval)
	}
	s.lookAt = s.now.Add(s.pause)
	if s.stopping {
		s.returnReady(func(*held) bool { return true })
	}
}

// callKeep tells the database all that the worker holds, after an answer that never arrived. The rest goes back.
func (s *shift) callKeep(ctx context.Context) {
	ids := make([]int64, 0, len(s.held))
	for id := range s.held {
		ids = append(ids, id)
	}
	worker := s.worker
	s.call(ctx, &s.hot, callTimeout, func(ctx context.Context) (func(error), error) {
		outcomes, err := s.queue.keep(ctx, worker, ids)
		return func(err error) {
			if err != nil {
				s.trouble(&s.hot, "keep", looks, err)
				return
			}
			s.hot.answered(s.log, "keep", looks)
			s.unsure = false
			for _, o := range outcomes {
				if o.what == outcomeBusy {
					s.unsure = true
					s.hot.backOff(s.now)
				} else {
					s.log.Info("job of a lost answer returned", "job", o.id)
				}
			}
		}, err
	})
}

// callSide fails or gives back in batches, one call at a time. They take turns, for under load there is always more of either.
func (s *shift) callSide(ctx context.Context) {
	if !s.side.free(s.now, 1) || s.inDoubt() {
		return
	}
	worker := s.worker
	list, name := &s.failed, "fail"
	if len(s.failed) == 0 || s.backNext && len(s.back) > 0 {
		list, name = &s.back, "return"
	}
	batch := takeBatch(list)
	if len(batch) == 0 {
		return
	}
	s.backNext = name == "fail"
	asked := neverOne(batch)
	failures, ids := failuresOf(asked), idsOf(asked)
	s.call(ctx, &s.side, callTimeout, func(ctx context.Context) (func(error), error) {
		var outcomes []outcome
		var err error
		if name == "fail" {
			outcomes, err = s.queue.fail(ctx, worker, failures)
		} else {
			outcomes, err = s.queue.giveBack(ctx, worker, ids)
		}
		return func(err error) {
			switch {
			case err == nil:
				s.side.answered(s.log, name, anything)
				if s.accepted(batch, outcomes) {
					s.lookAgain()
				}
				return
			case isBadData(err):
				s.alone = append(s.alone, batch...)
			default:
				*list = append(s.undelivered(batch, err), *list...)
			}
			s.trouble(&s.side, name, anything, err)
		}, err
	})
}

// takeBatch takes the head of a list, as much as suits one call.
func takeBatch(list *[]*held) []*held {
	n, size := 0, 0
	for _, h := range *list {
		size += len(h.ending.text)
		if h.ending.result != nil {
			size += len(*h.ending.result)
		}
		if n == maxBatch || n > 0 && size > maxBatchSize {
			break
		}
		n++
	}
	batch := (*list)[:n:n]
	if *list = (*list)[n:]; len(*list) == 0 {
		*list = nil
	}
	return batch
}

// neverOne names a job twice that would be alone in its call. The database waits for the row of one job alone, and all that comes
// later would wait with it; of several it says that the row is busy.
func neverOne(batch []*held) []*held {
	if len(batch) == 1 {
		return []*held{batch[0], batch[0]}
	}
	return batch
}

func idsOf(batch []*held) []int64 {
	ids := make([]int64, len(batch))
	for i, h := range batch {
		ids[i] = h.job.ID
	}
	return ids
}

// resultsOf is nil if no handler returned anything: so the database need not look for it.
func resultsOf(batch []*held) []*string {
	if !slices.ContainsFunc(batch, func(h *held) bool { return h.ending.result != nil }) {
		return nil
	}
	results := make([]*string, len(batch))
	for i, h := range batch {
		results[i] = h.ending.result
	}
	return results
}

func failuresOf(batch []*held) []failure {
	failures := make([]failure, len(batch))
	for i, h := range batch {
		failures[i] = failure{h.job.ID, h.ending.text, h.ending.retryIn, h.ending.final}
	}
	return failures
}
