package worker

import (
	"slices"
	"sync"
	"time"
)

// mailbox is what the goroutine that owns a shift shares with all others: what they have to tell it, and the jobs that handlers may
// start without asking it. Nobody waits for anybody here.
type mailbox struct {
	bell chan struct{} // rung when the owner shall read

	mu     sync.Mutex
	closed bool // nobody reads any more
	posts  []func()
	ends   []handled
	offers []*held   // to be started, in the order received
	until  time.Time // when the offers end
	busy   int       // slots taken: goroutines that run a handler, or look for one to run
	locked bool      // others wait for the locks of jobs
	calm   int       // a success is no news while so many are offered,
	crowd  int       // unless so many have ended
}

// handled is what a handler left behind.
type handled struct {
	held   *held
	end    ending
	change string // what had to be done to its result
}

func newMailbox() *mailbox {
	return &mailbox{bell: make(chan struct{}, 1)}
}

func (m *mailbox) ring() {
	select {
	case m.bell <- struct{}{}:
	default: // it has not been heard yet
	}
}

// post hands a function to the owner.
func (m *mailbox) post(f func()) {
	m.mu.Lock()
	if !m.closed {
		m.posts = append(m.posts, f)
	}
	m.mu.Unlock()
	m.ring()
}

// next tells how a handler ended, if one did, and returns the job to run next. Without one the slot is free: so it is if a job may
// have waited for the lock of the last, as its place may be before all that are offered.
func (m *mailbox) next(last *handled, now time.Time) (job *held) {
	m.mu.Lock()
	if len(m.offers) > 0 && now.Before(m.until) && !m.frees(last) {
		job, m.offers[0] = m.offers[0], nil
		m.offers = m.offers[1:]
	} else {
		m.busy--
	}
	news := last != nil && m.tell(last)
	m.mu.Unlock()
	if news {
		m.ring()
	}
	return job
}

// leave tells how a handler ended whose goroutine ends with it.
func (m *mailbox) leave(last *handled) {
	m.mu.Lock()
	m.busy--
	m.tell(last)
	m.mu.Unlock()
	m.ring()
}

func (m *mailbox) tell(last *handled) (news bool) {
	if m.closed {
		return false
	}
	m.ends = append(m.ends, *last)
	return m.isNews(*last)
}

// isNews says whether the owner has something to do now that this handler ended.
func (m *mailbox) isNews(last handled) bool {
	return len(m.offers) < m.calm || len(m.ends) >= m.crowd || last.end.kind != succeeded || m.frees(&last)
}

// frees says whether the end may let a job start that waits for its lock.
func (m *mailbox) frees(last *handled) bool {
	return m.locked && last != nil && last.held.job.Lock != nil
}

// read returns what was told, and takes the memory of what was read before for more.
func (m *mailbox) read(ends []handled, posts []func()) ([]handled, []func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ends, m.ends = m.ends, ends[:0]
	posts, m.posts = m.posts, posts[:0]
	return ends, posts
}

// rest says what is news from now on, and rings if there is some already.
func (m *mailbox) rest(calm, crowd int) {
	m.mu.Lock()
	m.calm, m.crowd = calm, crowd
	news := len(m.posts) > 0 || slices.ContainsFunc(m.ends, m.isNews)
	m.mu.Unlock()
	if news {
		m.ring()
	}
}

// offer lets handlers start more jobs, in at most that many slots, and until that time even if the owner does not get round to
// withdraw them. locked: others wait for their locks. It returns how many goroutines more have a slot.
func (m *mailbox) offer(jobs []*held, slots int, locked bool, until time.Time) (more int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locked = locked
	m.until = until
	for _, h := range jobs {
		at := len(m.offers)
		if at > 0 && h.number < m.offers[at-1].number { // it had to wait for its lock, and keeps its place
			at, _ = slices.BinarySearchFunc(m.offers, h, byNumber)
		}
		m.offers = slices.Insert(m.offers, at, h)
	}
	more = max(0, min(slots-m.busy, len(m.offers)))
	m.busy += more
	return more
}

// offered is how many jobs no handler has started yet, and the first of them.
func (m *mailbox) offered() (count int, first *held) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.offers) > 0 {
		first = m.offers[0]
	}
	return len(m.offers), first
}

// withdraw takes back what no handler has started yet. The ends that came before tell of all others.
func (m *mailbox) withdraw() (jobs []*held, ends []handled) {
	m.mu.Lock()
	defer m.mu.Unlock()
	jobs, m.offers = m.offers, nil
	ends, m.ends = m.ends, nil
	return jobs, ends
}

// close throws away what comes from now on.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.posts, m.ends, m.offers = true, nil, nil, nil
}
