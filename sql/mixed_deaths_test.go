//go:build integration

package sql_test

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// forgets some of its jobs, as when the answer of a fetch never came, and says what it has.
func (f *fetcher) forgets() {
	if f.worker == 0 {
		return
	}
	var kept, forgotten []*run
	for _, r := range f.held {
		if f.IntN(2) == 0 {
			kept = append(kept, r)
		} else {
			forgotten = append(forgotten, r)
		}
	}
	answers, refusal := ask(f.actor, "PJ003", pgx.RowToStructByPos[answer],
		`select k.job_id, k.outcome, '', 0 from procrastinate_keep_jobs($1, $2) k`, f.worker, idsOf(kept))
	if refusal != "" {
		f.removed(refusal)
		return
	}
	told := map[int64]bool{}
	for _, a := range answers {
		told[a.ID] = true
		if !slices.Contains(idsOf(forgotten), a.ID) {
			f.fault("worker %d gave back job %d, which it did not hold, or kept", f.worker, a.ID)
		}
	}
	for _, r := range forgotten {
		if !told[r.id] {
			answers = append(answers, answer{ID: r.id, Outcome: "lost"})
		}
	}
	f.count("kept", len(kept))
	f.settle(forgotten, "returned", f.at, answers)
}

// leaves without a word about what it holds.
func (f *fetcher) leaves() {
	if !f.do("PJ003", `select procrastinate_unregister_worker($1)`, f.worker) {
		f.removed("PJ003")
		return
	}
	for _, r := range f.held {
		r.fate, r.ended = "left", f.at
	}
	f.count("left", len(f.held))
	f.goodbye()
}

// dies: no beat came for long, or somebody deleted the worker. Then it wakes up, at once or when it was removed, and says
// that all is done. In the first case it may be believed.
func (f *fetcher) dies() {
	if f.worker == 0 {
		return
	}
	at := f.clock()
	f.doom(f.worker, at)
	deleted := f.kills(f.worker)
	gone := deleted
	if f.IntN(2) == 0 {
		for deadline := time.Now().Add(20 * time.Second); !gone; {
			f.do("", `select procrastinate_tick()`)
			n, _ := ask(f.actor, "", pgx.RowTo[int64], `select count(*) from procrastinate_workers w where w.id = $1`, f.worker)
			gone = slices.Equal(n, []int64{0})
			if time.Now().After(deadline) {
				f.fault("worker %d is dead, but was not removed", f.worker)
				return
			}
		}
	}
	if len(f.held) > 0 {
		answers, refusal := ask(f.actor, "PJ003", pgx.RowToStructByPos[answer], endings["succeeded"], f.worker, idsOf(f.held))
		if refusal == "" && gone {
			f.fault("worker %d was removed, but its word is taken", f.worker)
		}
		if refusal == "" {
			f.settle(f.held, "succeeded", at, answers)
		}
	}
	f.count("deaths", 1)
	f.removed("")
}

// drain lets those who do not serve everything work in turns until nothing is left to do: each depends on the others to
// pass on locks. Then they say goodbye.
func drain(a *actor, fetchers []*fetcher) {
	for _, queue := range []string{"a", "b"} {
		a.do("", `select procrastinate_resume_queue($1)`, queue)
	}
	for _, f := range fetchers {
		f.ends("succeeded", f.held)
		if f.queues == nil && f.tasks == nil {
			f.retires()
		}
	}
	left, progress := 0, time.Now()
	for {
		a.do("", `select procrastinate_tick()`)
		for _, f := range fetchers {
			if f.queues != nil || f.tasks != nil {
				f.works()
			}
		}
		got, _ := ask(a, "", pgx.RowTo[int], `select count(*) from procrastinate_jobs j where j.status in ('todo', 'doing')`)
		if len(got) == 0 || got[0] == 0 {
			break
		}
		if got[0] != left {
			left, progress = got[0], time.Now()
		}
		if time.Since(progress) > 5*time.Second {
			a.fault("%d jobs are left, and nothing moves", left)
			break
		}
		a.naps(10 * time.Millisecond)
	}
	for _, f := range fetchers {
		f.retires()
	}
}

func (f *fetcher) works() {
	if f.worker == 0 {
		f.registers()
	}
	f.fetch(true)
	f.ends("succeeded", f.held)
}

func (f *fetcher) retires() {
	if f.worker != 0 {
		f.leaves()
	}
}
