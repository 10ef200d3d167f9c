package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// protocol is what a shift asks of the database. The queue is the real one.
type protocol interface {
	fetch(ctx context.Context, worker int64, limit, perLock int) ([]*Job, error)
	exchange(ctx context.Context, worker int64, ids []int64, results []*string, limit, perLock int) ([]*Job, []outcome, error)
	finish(ctx context.Context, worker int64, ids []int64, results []*string) ([]outcome, error)
	finishTx(ctx context.Context, tx pgx.Tx, worker, job int64, result *string) ([]outcome, error)
	fail(ctx context.Context, worker int64, failures []failure) ([]outcome, error)
	snooze(ctx context.Context, worker, job int64, wait time.Duration) (string, error)
	abort(ctx context.Context, worker, job int64, text string) (string, error)
	giveBack(ctx context.Context, worker int64, ids []int64) ([]outcome, error)
	keep(ctx context.Context, worker int64, ids []int64) ([]outcome, error)
	beat(ctx context.Context, worker int64) ([]int64, error)
	clockwork
}

// shift is the time from a registration to its end. One goroutine, that of run, owns all its fields; the others
// (handlers, calls, the beat, the listener) only use its mailbox. A finished job that comes while a call is under way
// simply waits for the next: that makes the batches.
type shift struct {
	config   Config
	queue    protocol
	log      *slog.Logger
	handlers map[string]Handler
	unknown  map[string]bool // tasks without a handler that were logged
	worker   int64           // the registration
	maxHot   int             // calls in the hot lane at once: 2, or 1 if the pool is small
	maxAlone int             // calls in the alone lane at once

	mailbox   *mailbox
	idle      chan struct{}  // for goroutines that wait for another slot to run handlers in
	calls     sync.WaitGroup // calls to the database
	beatNow   chan struct{}
	postponed func() // is called when jobs were put off

	now       time.Time       // of this step
	held      map[int64]*held // all that the database thinks it holds, as far as known
	fetched   int64           // jobs so far
	ready     []*held         // fetched and not to be started yet, in the order received
	began     bool            // a handler has run
	active    int             // jobs running
	locks     map[string]bool // locks of those
	cancelled []*held         // running, as far as known, though cancelled
	usual     time.Duration   // a running mean of how long a handler takes

	done   []*held   // succeeded, for the next finish or exchange
	doneAt time.Time // since when the first of them waits
	failed []*held   // failed, for the next batch of them
	back   []*held   // to be given back, likewise
	alone  []*held   // to be ended in a call of their own

	hot, side, solo lane
	fetching        bool // a fetch or an exchange is under way
	crowd           int  // so much that is done is worth a call of its own beside it, though there is plenty to fetch
	plenty          bool // the last fetch brought all that was asked for
	backNext        bool // the side lane failed jobs last
	doubts          int  // jobs that may be todo again, for the answer to their end never came
	unsure          bool // an answer never arrived: keep_jobs must come before the next fetch

	hungry  bool          // there may be something to fetch
	drained bool          // the last look came when nothing was held, and found nothing
	pause   time.Duration // until the next look, when nothing wakes the worker
	lookAt  time.Time

	beatAt time.Time // when the last successful beat was sent
	silent bool      // it is too long ago: locked jobs may soon run elsewhere

	gaveUp error // why a one-shot worker could not even look for jobs

	stopping, killed, lost   bool
	stopAt, killAt, settleAt time.Time
}

// A held job is waiting in ready, then running, then ending until the database has accepted its end. One that is running may still
// wait for a handler, until the shift withdraws it.
type held struct {
	job       *Job
	number    int64     // in the order received
	since     time.Time // fetched
	running   bool
	ended     bool // its handler has
	ending    ending
	cancelled time.Time // when its handler was cancelled; zero means not

	// for its handler
	handler   Handler
	attempt   attempt
	ctx       handlerContext
	goroutine atomic.Int64 // that runs it
}

const (
	firstPause  = 10 * time.Millisecond // an idle worker's first look after it found something
	prefetchFor = 20 * time.Millisecond // of work is fetched ahead for handlers quicker than this
	maxAhead    = 2 * maxBatch          // jobs, or as many as there are handlers
	finishDelay = 5 * time.Millisecond  // for which what is done may wait while there is much to start
	maxReadyAge = time.Second           // then a job fetched ahead is given back
	callTimeout = 30 * time.Second
)

// run works until the worker stops (nil, ErrStuck or ErrUndelivered) or the registration is lost. Calls get their contexts from
// ctx, which must outlast them: stop and abort are what ends the shift.
func (s *shift) run(ctx context.Context, stop, abort <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer close(s.idle)
	defer s.mailbox.close()
	var ends []handled
	var posts []func()
	for {
		s.now = time.Now()
		s.step(ctx)
		if over, err := s.over(); over {
			return err
		}
		timer.Reset(time.Until(s.next()))
		s.mailbox.rest(s.calm())
		select {
		case <-s.mailbox.bell:
		case <-timer.C:
		case <-stop:
			stop = nil
			s.mailbox.post(s.beginStop)
		case <-abort:
			abort = nil
			s.mailbox.post(func() {
				s.beginStop()
				s.kill()
			})
		}
		s.now = time.Now()
		ends, posts = s.mailbox.read(ends, posts)
		for _, e := range ends {
			s.ended(e)
		}
		for _, f := range posts {
			f()
		}
		clear(ends) // else their memory would keep the jobs
		clear(posts)
	}
}

// step does whatever the state of things allows now.
func (s *shift) step(ctx context.Context) {
	if s.lost {
		return
	}
	s.checkSilence()
	s.checkStop()
	s.checkStuck()
	s.returnStale()
	s.start(ctx)
	s.checkOneShot()
	if !s.fetching && !s.now.Before(s.lookAt) {
		s.hungry = true
	}
	s.callHot(ctx)
	s.callSide(ctx)
	s.callAlone(ctx)
}

// next is when step must look again although nothing happened.
func (s *shift) next() time.Time {
	at := s.now.Add(time.Minute)
	consider := func(t time.Time) {
		if t.After(s.now) && t.Before(at) {
			at = t
		}
	}
	if !s.fetching {
		consider(s.lookAt)
	}
	consider(s.silentAt())
	consider(s.hot.notBefore)
	consider(s.side.notBefore)
	consider(s.solo.notBefore)
	consider(s.stopAt.Add(s.config.GracefulTimeout))
	consider(s.killAt.Add(s.config.StuckAfter))
	consider(s.settleAt.Add(s.config.deliverFor()))
	if _, first := s.mailbox.offered(); first != nil { // the oldest
		consider(first.since.Add(maxReadyAge))
	}
	if len(s.done) > 0 {
		consider(s.doneAt.Add(finishDelay))
	}
	for _, h := range s.cancelled {
		consider(h.cancelled.Add(s.config.StuckAfter))
	}
	return at
}
