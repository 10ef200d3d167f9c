//go:build integration

package sql_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// history is what the test itself knows of a mixed run, apart from the queue's own tables. Every time in it is the
// database's clock_timestamp().
type history struct {
	t    *testing.T
	over atomic.Bool // the load ends

	mu     sync.Mutex
	faults int
	counts map[string]int
	jobs   map[int64]*job
	runs   []*run
	newest []int64             // ids of jobs, the last that were deferred
	busy   []int64             // the last that were fetched
	dead   []int64             // that failed or were cancelled
	alive  map[int64]bool      // ids of workers
	doomed map[int64]time.Time // just before the removal of a worker could begin
	open   int                 // jobs that did not end yet, as far as known
}

type job struct {
	committed bool
	ready     time.Time // committed and due before this, if it was deferred with neither a time nor a queueing lock
	touched   bool      // cancelled, or changed
	over      bool      // has ended, if only to be retried
	deletion  time.Time // just before the statement that deleted it
	orphan    bool      // moved or gone on an old snapshot: a place of it may stay in the lock queue
}

// run is one start of a job. The worker certainly had it from began, read after the fetch's commit, to ended, read
// before the statement that ended it.
type run struct {
	id       int64
	lock     string
	priority int
	worker   int64
	fetch    int64 // of one worker; the jobs of one fetch may share a lock
	place    int   // in the answer of the fetch

	asked, began, ended time.Time
	fate                string
}

func newHistory(t *testing.T) *history {
	return &history{
		t: t, counts: map[string]int{}, jobs: map[int64]*job{}, alive: map[int64]bool{}, doomed: map[int64]time.Time{},
	}
}

// fault is told, unless too many were, and ends the load.
func (h *history) fault(format string, args ...any) {
	h.t.Helper()
	h.mu.Lock()
	h.faults++
	tell := h.faults <= 20
	h.mu.Unlock()
	if tell {
		h.t.Errorf(format, args...)
	}
	h.over.Store(true)
}

func (h *history) count(what string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[what] += n
}

// note changes what is known of jobs.
func (h *history) note(ids []int64, change func(i int, j *job)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, id := range ids {
		if h.jobs[id] == nil {
			h.jobs[id] = &job{}
		}
		j := h.jobs[id]
		was := j.committed && !j.over
		change(i, j)
		if is := j.committed && !j.over; is && !was {
			h.open++
		} else if was && !is {
			h.open--
		}
	}
}

// remember adds to one of the lists of ids from which others pick.
func (h *history) remember(list *[]int64, ids []int64, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*list = append(*list, ids...)
	*list = (*list)[max(0, len(*list)-most):]
}

func (h *history) pick(list *[]int64, r *rand.Rand, n int) (ids []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for range min(n, len(*list)) {
		ids = append(ids, (*list)[r.IntN(len(*list))])
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (h *history) started(runs []*run) {
	ids := make([]int64, len(runs))
	for i, r := range runs {
		ids[i] = r.id
	}
	h.remember(&h.busy, ids, 20)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs = append(h.runs, runs...)
}

// doom says that from now on the worker may be removed at any time.
func (h *history) doom(worker int64, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.doomed[worker].IsZero() {
		h.doomed[worker] = at
	}
}

func (h *history) doomedAt(worker int64) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.doomed[worker]
}

// verdict is given when nobody works any more.
func (h *history) verdict(db *session) {
	h.t.Helper()
	locks := map[string][]*run{}
	for _, r := range h.runs {
		j := h.jobs[r.id]
		if j == nil || !j.committed {
			h.fault("job %d was run, but its defer was never committed", r.id)
			return
		}
		switch {
		case r.fate == "":
			h.fault("job %d was left running by worker %d", r.id, r.worker)
		case r.fate == "deleted" && j.deletion.IsZero():
			h.fault("job %d was lost by worker %d, which is alive, and nobody deleted the job", r.id, r.worker)
		}
		for _, end := range []time.Time{j.deletion, h.doomed[r.worker]} {
			if !end.IsZero() && end.Before(r.ended) {
				r.ended = end
			}
		}
		if r.lock != "" {
			locks[r.lock] = append(locks[r.lock], r)
		}
	}
	for _, lock := range slices.Sorted(maps.Keys(locks)) {
		h.wantOneHolder(lock, locks[lock])
		h.wantOrder(lock, locks[lock])
	}
	h.wantEveryJobEnded(db)
	if missing := h.unseen(); missing != "" || h.counts["pairs in order"] < 100 || h.counts["runs with a lock"] < 100 {
		h.fault("too little has happened: %v; not at all: %s", h.counts, missing)
	}
}

// wantOneHolder: no two runs of a lock at once, save those that one fetch handed out.
func (h *history) wantOneHolder(lock string, runs []*run) {
	h.t.Helper()
	slices.SortFunc(runs, func(a, b *run) int { return a.began.Compare(b.began) })
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if !b.began.Before(a.ended) {
				break
			}
			if b.began.Before(b.ended) && (a.worker != b.worker || a.fetch != b.fetch) {
				h.fault("lock %s held twice: job %d by worker %d from %s to %s, job %d by worker %d from %s to %s", lock,
					a.id, a.worker, a.began.Format(micros), a.ended.Format(micros), b.id, b.worker, b.began.Format(micros), b.ended.Format(micros))
			}
		}
		h.counts["runs with a lock"]++
	}
}

const micros = "15:04:05.000000"

// wantOrder: a job that waited untouched since before a fetch began was not passed by in favour of a job of lower
// priority, or of the same and a higher id. The runs are in the order in which they began.
func (h *history) wantOrder(lock string, runs []*run) {
	h.t.Helper()
	first := map[int64]bool{}
	for i, a := range runs {
		j := h.jobs[a.id]
		again := first[a.id]
		first[a.id] = true
		if again || j.ready.IsZero() || j.touched || !j.deletion.IsZero() {
			continue
		}
		for k, b := range runs {
			if b.id == a.id || !j.ready.Before(b.asked) || b.priority > a.priority || b.priority == a.priority && b.id < a.id {
				continue
			}
			h.counts["pairs in order"]++
			together := a.worker == b.worker && a.fetch == b.fetch
			if together && b.place < a.place || !together && k < i {
				h.fault("lock %s: job %d (priority %d) waited since %s, but job %d (priority %d) was fetched first, from %s on",
					lock, a.id, a.priority, j.ready.Format(micros), b.id, b.priority, b.asked.Format(micros))
			}
		}
	}
}

// wantEveryJobEnded compares each job with its runs: none is lost, succeeded twice, or ended by who did not have it.
func (h *history) wantEveryJobEnded(db *session) {
	h.t.Helper()
	fates := map[int64]map[string]int{}
	for _, r := range h.runs {
		if fates[r.id] == nil {
			fates[r.id] = map[string]int{}
		}
		fates[r.id][r.fate]++
	}
	rows, _ := db.conn.Query(h.t.Context(), `select j.id, j.status::text, j.attempts, j.rescues from procrastinate_jobs j`)
	var id int64
	var status string
	var attempts, rescues int
	seen := map[int64]bool{}
	_, err := pgx.ForEachRow(rows, []any{&id, &status, &attempts, &rescues}, func() error {
		seen[id] = true
		j, f := h.jobs[id], fates[id]
		succeeded := 0
		if status == "succeeded" {
			succeeded = 1
		}
		switch {
		case j == nil || !j.committed:
			h.fault("job %d is there, but its defer was never committed", id)
		case !j.deletion.IsZero():
			h.fault("job %d is there, but was deleted", id)
		case status == "todo" || status == "doing":
			h.fault("job %d is %s after the drain", id, status)
		case f["succeeded"] != succeeded || attempts != f["succeeded"]+f["failed"]+f["aborted"]:
			h.fault("job %d is %s, with %d attempts; its runs: %v", id, status, attempts, f)
		// who says goodbye does not learn whether a job was busy, and so rescued later
		case rescues < f["rescued"] || rescues > f["rescued"]+f["left"]:
			h.fault("job %d was rescued %d times; its runs: %v", id, rescues, f)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for id, j := range h.jobs {
		if j.committed && j.deletion.IsZero() && !seen[id] {
			h.fault("job %d is gone, and nobody deleted it", id)
		}
	}
}

// unseen is what has not happened yet, for a run without it has shown less than it says.
func (h *history) unseen() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var missing []string
	for _, what := range []string{
		"deferred for long", "defers rolled back", "defers refused with 23505", "defers refused with 40001", "fetches rolled back", "exchanged",
		"succeeded", "failed", "returned", "snoozed", "aborted", "kept", "left", "rescued", "deaths", "murders", "busy", "lost", "refused ends",
		"cancel cancelled", "cancel doing", "change todo", "retry todo", "deleted", "parked lanes seen",
	} {
		if h.counts[what] == 0 {
			missing = append(missing, what)
		}
	}
	if len(h.runs) < 500 {
		missing = append(missing, "500 runs")
	}
	return strings.Join(missing, ", ")
}
