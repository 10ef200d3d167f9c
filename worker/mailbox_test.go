package worker

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// numbered are held jobs in the order received.
func numbered(jobs ...*Job) (list []*held) {
	for i, job := range jobs {
		list = append(list, &held{job: job, number: int64(i)})
	}
	return list
}

func (m *mailbox) rang() bool {
	select {
	case <-m.bell:
		return true
	default:
		return false
	}
}

func TestAHandlerTakesTheFirstJobOfThoseOffered(t *testing.T) {
	m, now := newMailbox(), time.Now()
	list := numbered(jobs(5)...)
	if more := m.offer([]*held{list[0], list[2], list[4]}, 2, false, now.Add(time.Hour)); more != 2 {
		t.Errorf("%d slots for three jobs, want 2", more)
	}
	if more := m.offer([]*held{list[1], list[3]}, 2, false, now.Add(time.Hour)); more != 0 {
		t.Errorf("%d slots more, want none: all are taken", more)
	}
	var got []int64
	for h := m.next(nil, now); h != nil; h = m.next(&handled{held: h}, now) {
		got = append(got, h.job.ID)
	}
	if want := []int64{1, 2, 3, 4, 5}; !slices.Equal(got, want) || m.busy != 1 {
		t.Errorf("got %v, want %v; %d slots are taken, want 1", got, want, m.busy)
	}
	if ends, _ := m.read(nil, nil); len(ends) != 5 {
		t.Errorf("%d ends were told, want 5", len(ends))
	}
}

func TestNothingIsTakenOnceTheOffersHaveEnded(t *testing.T) {
	m, now := newMailbox(), time.Now()
	m.offer(numbered(job(1)), 1, false, now)
	if got := m.next(nil, now); got != nil || m.busy != 0 {
		t.Errorf("got %v, and %d slots are taken", got, m.busy)
	}
	if more := m.offer(nil, 1, false, now.Add(time.Second)); more != 1 || m.next(nil, now) == nil {
		t.Errorf("offered again: %d slots, want 1 and the job", more)
	}
}

func TestOnlyNewsRings(t *testing.T) {
	for _, test := range []struct {
		name    string
		offered int
		calm    int
		crowd   int
		locked  bool
		kind    kind
		job     *Job
		want    bool
	}{
		{"a success", 9, math.MaxInt, math.MaxInt, false, succeeded, job(1), true},
		{"one that could not be told", 0, 0, math.MaxInt, false, succeeded, job(1), false},
		{"one that makes a crowd", 9, 0, 1, false, succeeded, job(1), true},
		{"one that does not", 9, 0, 2, false, succeeded, job(1), false},
		{"a failure", 9, 0, math.MaxInt, false, failed, job(1), true},
		{"one with plenty to do", 3, 3, math.MaxInt, false, succeeded, job(1), false},
		{"one that leaves little to do", 2, 3, math.MaxInt, false, succeeded, job(1), true},
		{"a lock that nobody waits for", 9, 0, math.MaxInt, false, succeeded, lockedJob(1, "a"), false},
		{"a lock that somebody waits for", 9, 0, math.MaxInt, true, succeeded, lockedJob(1, "a"), true},
		{"no lock", 9, 0, math.MaxInt, true, succeeded, job(1), false},
	} {
		for _, late := range []bool{false, true} { // late: the owner begins to rest only then
			m, now := newMailbox(), time.Now()
			last := handled{held: &held{job: test.job}, end: ending{kind: test.kind}}
			m.offer(numbered(jobs(int64(test.offered))...), 1, test.locked, now)
			if late {
				m.next(&last, now)
				m.rang()
			}
			m.rest(test.calm, test.crowd)
			if !late {
				m.next(&last, now)
			}
			if got := m.rang(); got != test.want {
				t.Errorf("%s, late %v: rang %v, want %v", test.name, late, got, test.want)
			}
		}
	}
}

func TestAClosedMailboxKeepsNothing(t *testing.T) {
	m, now := newMailbox(), time.Now()
	m.offer(numbered(jobs(2)...), 1, false, now.Add(time.Hour))
	h := m.next(nil, now)
	m.close()
	m.post(func() {})
	if next := m.next(&handled{held: h}, now); next != nil || len(m.posts)+len(m.ends)+len(m.offers) > 0 {
		t.Errorf("got %v, and %d posts, %d ends, %d offers are kept", next, len(m.posts), len(m.ends), len(m.offers))
	}
}

// Whatever is told at whatever moment, the owner hears of it: this ends.
func TestNothingToldIsLost(t *testing.T) {
	const rounds, batch, slots = 300, 50, 4
	m := newMailbox()
	var running sync.WaitGroup
	told, posted := 0, 0
	until := time.Now().Add(time.Hour)
	var ends []handled
	var posts []func()
	for range rounds {
		for more := m.offer(numbered(jobs(batch)...), slots, false, until); more > 0; more-- {
			running.Go(func() {
				for h := m.next(nil, time.Now()); h != nil; h = m.next(&handled{held: h}, time.Now()) {
					if h.job.ID == batch/2 {
						m.post(func() { posted++ })
					}
				}
			})
		}
		for want := told + batch; told < want; {
			m.rest([]int{1, batch / 2, math.MaxInt}[rand.N(3)], 1+rand.N(batch))
			select {
			case <-m.bell:
			case <-time.After(10 * time.Second):
				t.Fatalf("not told of %d ends", want-told)
			}
			ends, posts = m.read(ends, posts)
			told += len(ends)
			for _, f := range posts {
				f()
			}
		}
		told = 0
	}
	running.Wait()
	_, posts = m.read(nil, nil)
	if posted+len(posts) != rounds {
		t.Errorf("%d posts were read, want %d", posted+len(posts), rounds)
	}
}

func TestAnIdleShiftKeepsNoJob(t *testing.T) {
	const n = 3000
	db := newFake(jobs(n)...)
	var mu sync.Mutex
	var given []weak.Pointer[Job]
	run := func(_ context.Context, j *Job) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		given = append(given, weak.Make(j))
		if j.ID%100 == 0 {
			return nil, errors.New("no good")
		}
		return nil, nil
	}
	try(t, db, Config{PollInterval: time.Hour}, run, func(*trial) {
		<-time.After(time.Minute)
		synctest.Wait()
		runtime.GC()
		kept := 0
		for _, pointer := range given {
			if pointer.Value() != nil {
				kept++
			}
		}
		if len(given) != n || kept > 0 {
			t.Errorf("%d of %d jobs were run, and %d are still in memory", len(given), n, kept)
		}
	})
}

// holdUp has the calls of a name take a minute.
func (f *fake) holdUp(name string) {
	f.before = func(called string, _ []int64) error {
		if called == name {
			<-time.After(time.Minute)
		}
		return nil
	}
}

// fetchAhead has a shift fetch several jobs at once, however few handlers it has.
func (tr *trial) fetchAhead(jobs ...*Job) {
	tr.mailbox.post(func() { tr.usual = 0 }) // as after many quick jobs
	synctest.Wait()
	tr.db.add(jobs...)
	tr.notified(`{"type": "job_inserted"}`)
	synctest.Wait()
}

func TestAnAbortFindsOutWhichOfTheJobsFetchedAheadIsRunning(t *testing.T) {
	db := newFake()
	db.holdUp("finish") // meanwhile handlers go on by themselves
	run := func(ctx context.Context, j *Job) (any, error) {
		if j.ID < 3 {
			return nil, nil
		}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	try(t, db, Config{Concurrency: 1, PollInterval: time.Hour}, run, func(tr *trial) {
		tr.fetchAhead(jobs(4)...)
		db.requestAbort(3)
		db.requestAbort(4)
		tr.notified(`{"type": "abort_job_requested"}`)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "", 2: "", 3: "abort job aborted", 4: "abort aborted before it started"})
		if tr.since() > time.Second {
			t.Errorf("it took %s", tr.since())
		}
	})
}

func TestAStopGivesBackWhatWasFetchedAhead(t *testing.T) {
	db := newFake()
	db.holdUp("finish")
	release := newGate()
	run := func(_ context.Context, j *Job) (any, error) {
		if j.ID == 3 {
			release.pass()
		}
		return nil, nil
	}
	try(t, db, Config{Concurrency: 1, PollInterval: time.Hour, GracefulTimeout: time.Hour}, run, func(tr *trial) {
		tr.fetchAhead(jobs(5)...)
		stopped := make(chan error)
		go func() { stopped <- tr.stopped() }()
		<-time.After(time.Second)
		release.open()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		wantEnds(t, db, map[int64]string{1: "finish", 2: "finish", 3: "finish", 4: "return", 5: "return"})
	})
}

func TestOutOfTouchStartsNothingOfWhatWasFetchedAhead(t *testing.T) {
	db := newFake()
	release := newGate()
	var started []int64
	run := func(ctx context.Context, j *Job) (any, error) {
		started = append(started, j.ID)
		release.pass()
		return nil, ctx.Err()
	}
	config := Config{Concurrency: 1, PollInterval: time.Hour, BeatInterval: time.Millisecond, StalledAfter: time.Second}
	try(t, db, config, run, func(tr *trial) {
		tr.fetchAhead(job(1), lockedJob(2, "a"), job(3))
		db.fails(errConnection)
		<-time.After(trusted(time.Second))
		release.open()
		<-time.After(time.Second / 10)
		synctest.Wait()
		if want := []int64{1}; !slices.Equal(started, want) {
			t.Errorf("started %v, want %v", started, want)
		}
		wantLog(t, tr, "worker out of touch")
		db.fails(nil)
		<-time.After(10 * time.Second)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish", 2: "finish", 3: "finish"})
		if want := []int64{1, 2, 3}; !slices.Equal(started, want) {
			t.Errorf("started %v when in touch again, want %v", started, want)
		}
	})
}

func TestAJobKeepsItsPlaceWhileItWaitsForItsLock(t *testing.T) {
	db := newFake()
	var order []int64
	run := func(_ context.Context, j *Job) (any, error) {
		order = append(order, j.ID)
		return nil, nil
	}
	try(t, db, Config{Concurrency: 1, MaxPerLock: 2, PollInterval: time.Hour}, run, func(tr *trial) {
		tr.fetchAhead(lockedJob(1, "a"), lockedJob(2, "a"), job(3), job(4))
		wantEnds(t, db, map[int64]string{1: "finish", 2: "finish", 3: "finish", 4: "finish"})
		if want := []int64{1, 2, 3, 4}; !slices.Equal(order, want) {
			t.Errorf("ran in order %v, want %v", order, want)
		}
	})
}

func TestJobsKeepTheirOrderWhenTheyAreWithdrawnForAMoment(t *testing.T) {
	db := newFake()
	release := newGate()
	var order []int64
	run := func(_ context.Context, j *Job) (any, error) {
		order = append(order, j.ID)
		release.pass()
		return nil, nil
	}
	try(t, db, Config{Concurrency: 1, MaxPerLock: 2, PollInterval: time.Hour}, run, func(tr *trial) {
		tr.fetchAhead(job(1), lockedJob(3, "a"), lockedJob(2, "a"), job(4))
		db.requestAbort(4)
		tr.notified(`{"type": "abort_job_requested"}`)
		synctest.Wait()
		release.open()
		synctest.Wait()
		if want := []int64{1, 3, 2}; !slices.Equal(order, want) {
			t.Errorf("ran in order %v, want %v", order, want)
		}
	})
}

func TestAHandlerThatEndsItsGoroutineLeavesItsSlot(t *testing.T) {
	db := newFake()
	run := func(_ context.Context, j *Job) (any, error) {
		if j.ID == 2 {
			runtime.Goexit()
		}
		return nil, nil
	}
	try(t, db, Config{Concurrency: 1, PollInterval: time.Hour}, run, func(tr *trial) {
		tr.fetchAhead(jobs(3)...)
		wantEnds(t, db, map[int64]string{1: "finish", 2: "fail " + errGoexit.Error(), 3: "finish"})
	})
}
