package worker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// fake is a database in memory that knows who holds what, and fails as told. Its methods are the protocol.
type fake struct {
	mu       sync.Mutex
	todo     []*Job
	held     map[int64]*Job
	ends     map[int64]string // how each job ended
	calls    []string
	at       []time.Time // of each call
	latency  time.Duration
	fetching int
	overlap  bool // two fetches at once were seen, or one beside a keep
	beside   int  // finishes that began while a fetch was under way
	crowd    int  // of the shift; 0: its own
	maxHot   int  // of the shift; 0: 2
	most     int  // jobs held at once
	aborts   []int64
	tickWait time.Duration
	ticker   *int64 // who the last tick was of
	rollBack bool   // whatever handlers do in transactions of their own

	// before refuses a call, after loses its answer; both get the method's name and the ids it concerns.
	before, after func(name string, ids []int64) error
	// unended says what a batch leaves: lost or busy, or "" for nothing.
	unended func(name string, id int64, alone bool) string
}

func newFake(jobs ...*Job) *fake {
	return &fake{
		todo: jobs, held: map[int64]*Job{}, ends: map[int64]string{}, tickWait: time.Second,
		before:  func(string, []int64) error { return nil },
		after:   func(string, []int64) error { return nil },
		unended: func(string, int64, bool) string { return "" },
	}
}

func (f *fake) do(name string, ids []int64, act func()) error {
	f.mu.Lock()
	f.calls, f.at = append(f.calls, name), append(f.at, time.Now())
	before, latency := f.before, f.latency
	f.mu.Unlock()
	if err := before(name, ids); err != nil {
		return err
	}
	if latency > 0 { // receiving from a timer that is over already now and then crashes the race detector in a bubble (Go 1.26)
		<-time.After(latency)
	}
	f.mu.Lock()
	act()
	after := f.after
	f.mu.Unlock()
	return after(name, ids)
}

func (f *fake) claim(limit int) (jobs []*Job) {
	n := min(limit, len(f.todo))
	jobs, f.todo = slices.Clone(f.todo[:n]), f.todo[n:]
	for _, job := range jobs {
		f.held[job.ID] = job
	}
	f.most = max(f.most, len(f.held))
	return jobs
}

func (f *fake) enter(delta int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetching += delta
	f.overlap = f.overlap || f.fetching > 1
}

func (f *fake) fetch(_ context.Context, _ int64, limit, _ int) (jobs []*Job, err error) {
	f.enter(1)
	defer f.enter(-1)
	if err = f.do("fetch", nil, func() { jobs = f.claim(limit) }); err != nil {
		return nil, err
	}
	return jobs, nil
}

// end ends the held ones among the ids; again puts them back to todo.
func (f *fake) end(name string, ids []int64, how func(i int) string, again bool) (outcomes []outcome) {
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			continue // named twice so as not to be waited for
		}
		what := f.unended(name, id, len(ids) == 1)
		if what == "" && f.held[id] == nil {
			what = outcomeLost
		}
		if what != "" {
			outcomes = append(outcomes, outcome{id, what})
			continue
		}
		f.ends[id] = how(i)
		if again {
			f.todo = append(f.todo, f.held[id])
		}
		delete(f.held, id)
	}
	return outcomes
}

func resultAt(results []*string) func(int) string {
	return func(i int) string {
		if results == nil || results[i] == nil {
			return "finish"
		}
		return "finish " + *results[i]
	}
}

func (f *fake) exchange(
	_ context.Context, _ int64, ids []int64, results []*string, limit, _ int,
) (jobs []*Job, outcomes []outcome, err error) {
	f.enter(1)
	defer f.enter(-1)
	err = f.do("exchange", ids, func() {
		outcomes = f.end("exchange", ids, resultAt(results), false)
		jobs = f.claim(limit)
	})
	if err != nil {
		return nil, nil, err
	}
	return jobs, outcomes, nil
}

func (f *fake) finish(_ context.Context, _ int64, ids []int64, results []*string) (outcomes []outcome, err error) {
	f.mu.Lock()
	f.beside += f.fetching
	f.mu.Unlock()
	err = f.do("finish", ids, func() { outcomes = f.end("finish", ids, resultAt(results), false) })
	return outcomes, err
}

// finishTx commits at once, or never if the handlers are said to roll back.
func (f *fake) finishTx(_ context.Context, _ pgx.Tx, _, job int64, result *string) (outcomes []outcome, err error) {
	err = f.do("finishTx", []int64{job}, func() {
		if !f.rollBack {
			outcomes = f.end("finishTx", []int64{job}, resultAt([]*string{result}), false)
		}
	})
	return outcomes, err
}

func (f *fake) fail(_ context.Context, _ int64, failures []failure) (outcomes []outcome, err error) {
	ids := make([]int64, len(failures))
	for i := range failures {
		ids[i] = failures[i].id
	}
	err = f.do("fail", ids, func() {
		var failed []outcome
		outcomes = f.end("fail", ids, func(i int) string {
			status := "failed"
			if failures[i].retryIn != nil {
				status = "todo"
			}
			failed = append(failed, outcome{ids[i], status})
			return "fail " + failures[i].text
		}, false)
		outcomes = append(outcomes, failed...)
	})
	return outcomes, err
}

func (f *fake) snooze(_ context.Context, _, job int64, wait time.Duration) (string, error) {
	err := f.do("snooze", []int64{job}, func() {
		f.end("snooze", []int64{job}, func(int) string { return "snooze " + wait.String() }, false)
	})
	return "todo", err
}

func (f *fake) abort(_ context.Context, _, job int64, text string) (string, error) {
	err := f.do("abort", []int64{job}, func() {
		f.aborts = slices.DeleteFunc(f.aborts, func(id int64) bool { return id == job })
		f.end("abort", []int64{job}, func(int) string { return "abort " + text }, false)
	})
	return "aborted", err
}

func (f *fake) giveBack(_ context.Context, _ int64, ids []int64) (outcomes []outcome, err error) {
	err = f.do("return", ids, func() { outcomes = f.end("return", ids, func(int) string { return "return" }, true) })
	return outcomes, err
}

func (f *fake) keep(_ context.Context, _ int64, ids []int64) (outcomes []outcome, err error) {
	f.enter(1)
	defer f.enter(-1)
	err = f.do("keep", ids, func() {
		for id, job := range f.held {
			if what := f.unended("keep", id, false); what != "" {
				outcomes = append(outcomes, outcome{id, what})
			} else if !slices.Contains(ids, id) {
				f.todo = append(f.todo, job)
				delete(f.held, id)
				outcomes = append(outcomes, outcome{id, "returned"})
			}
		}
	})
	return outcomes, err
}

func (f *fake) beat(context.Context, int64) (ids []int64, err error) {
	err = f.do("beat", nil, func() { ids = slices.Clone(f.aborts) })
	return ids, err
}

func (f *fake) tick(_ context.Context, worker *int64) (wait time.Duration, err error) {
	err = f.do("tick", nil, func() { wait, f.ticker = f.tickWait, worker })
	return wait, err
}

// tellDue is what ticks return from now on.
func (f *fake) tellDue(wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tickWait = wait
}

// fails makes all further calls of these names fail; without names, all calls; with no error, none.
func (f *fake) fails(err error, names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = func(name string, _ []int64) error {
		if len(names) == 0 || slices.Contains(names, name) {
			return err
		}
		return nil
	}
}

func (f *fake) add(jobs ...*Job) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.todo = append(f.todo, jobs...)
}

func (f *fake) requestAbort(id int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aborts = append(f.aborts, id)
}

func (f *fake) endOf(id int64) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ends[id]
}

// timesOf says when the calls of a name came, since the given time.
func (f *fake) timesOf(start time.Time, names ...string) (spans []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, call := range f.calls {
		if slices.Contains(names, call) {
			spans = append(spans, f.at[i].Sub(start))
		}
	}
	return spans
}

// errConnection is an answer that never came.
var errConnection = errors.New("connection reset")

func pgError(code string) error {
	return Translate(&pgconn.PgError{Severity: "ERROR", Code: code, Message: "told to"})
}

// onceFor fails the first call of a name.
func onceFor(name string, err error) func(string, []int64) error {
	var once sync.Once
	return func(called string, _ []int64) (result error) {
		if called == name {
			once.Do(func() { result = err })
		}
		return result
	}
}

func job(id int64) *Job {
	return &Job{ID: id, Task: "task", Queue: "default", Args: []byte(`{}`), Attempt: 1}
}

func jobs(n int64) (list []*Job) {
	for id := int64(1); id <= n; id++ {
		list = append(list, job(id))
	}
	return list
}

func lockedJob(id int64, lock string) *Job {
	j := job(id)
	j.Lock = &lock
	return j
}

// gate holds handlers back until it is opened. It is no channel, as one that was made outside of a bubble would
// keep the bubble's clock from going on.
type gate struct {
	mu     sync.Mutex
	opened bool
	wait   *sync.Cond
}

func newGate() *gate {
	g := &gate{}
	g.wait = sync.NewCond(&g.mu)
	return g
}

func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.opened {
		g.wait.Wait()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = true
	g.wait.Broadcast()
}

// trial is a shift on a fake database, in a bubble with a clock of its own.
type trial struct {
	*shift
	ear   *ear
	db    *fake
	log   *bytes.Buffer
	stop  chan struct{}
	abort chan struct{}
	start time.Time
	over  chan struct{}
	err   error
}

// try runs a shift beside the test, which believes that notifications come; the bubble's end waits for all of it.
func try(t *testing.T, db *fake, config Config, handler Handler, test func(*trial)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &bytes.Buffer{}
		config.Logger = slog.New(slog.NewTextHandler(log, nil))
		if config.OnEvent != nil {
			config.OnEvent = oneByOne(config.OnEvent)
		}
		s := newShift(config.withDefaults(), db, map[string]Handler{"task": handler}, 1, cmp.Or(db.maxHot, 2), 2, time.Now())
		s.crowd = cmp.Or(db.crowd, s.crowd)
		e := &ear{config: s.config, shifts: map[*shift]bool{s: true}}
		c := newClock(db, s.log, e)
		e.hint = c.hint
		s.postponed = e.tickIfDeaf
		e.hears.Store(true)
		tr := &trial{
			shift: s, ear: e, db: db, log: log, start: time.Now(),
			stop: make(chan struct{}), abort: make(chan struct{}), over: make(chan struct{}),
		}
		ctx, end := context.WithCancel(t.Context())
		var background sync.WaitGroup
		background.Go(func() { s.beats(ctx) })
		background.Go(func() { c.ticks(ctx) })
		go func() {
			tr.err = s.run(ctx, tr.stop, tr.abort)
			close(tr.over)
		}()
		test(tr)
		select {
		case <-tr.over:
		default:
			close(tr.stop)
			<-tr.over
		}
		end()
		s.calls.Wait()
		background.Wait()
		if db.overlap {
			t.Error("two fetches, or a fetch and a keep, were under way at once")
		}
	})
}

// listens has the shift listen until ctx ends.
func (tr *trial) listens(ctx context.Context, connect func(context.Context) (listener, error)) {
	tr.ear.connect = connect
	tr.ear.listens(ctx)
}

// stopped stops the shift and returns its error.
func (tr *trial) stopped() error {
	close(tr.stop)
	<-tr.over
	return tr.err
}

func (tr *trial) since() time.Duration { return time.Since(tr.start) }

func wantEnds(t *testing.T, db *fake, want map[int64]string) {
	t.Helper()
	for id, end := range want {
		if got := db.endOf(id); got != end {
			t.Errorf("job %d ended as %q, want %q", id, got, end)
		}
	}
}

func wantLog(t *testing.T, tr *trial, text string) {
	t.Helper()
	if !strings.Contains(tr.log.String(), text) {
		t.Errorf("log has no %q:\n%s", text, tr.log)
	}
}

func done(context.Context, *Job) (any, error) { return nil, nil }

func describe(calls []time.Duration) string { return fmt.Sprint(calls) }
