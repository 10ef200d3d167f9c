//go:build integration

package sql_test

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// fetcher is a worker without handlers: what becomes of a job is diced. It knows what it holds, and that nobody takes
// it away but who deletes the job or removes the worker.
type fetcher struct {
	*actor
	queues, tasks []string
	worker        int64     // 0: not registered
	at            time.Time // the database's, some moments ago
	fetches       int64
	held          []*run
	ended         []int64 // jobs that it does not hold any more
}

// answer is one row of a call of the protocol: a job to run, or what became of one.
type answer struct {
	ID       int64
	Outcome  string
	Lock     string
	Priority int
}

func (f *fetcher) step() {
	if f.worker == 0 {
		f.registers()
	}
	switch n := f.IntN(100); {
	case n < 3:
		f.fetch(true)
		f.dies()
	case n < 6:
		f.fetch(true)
		f.forgets()
	case n < 8:
		f.leaves()
	case n < 14:
		f.fetch(false)
	case n < 20:
		f.endsAgain()
	default:
		f.fetch(true)
		f.at = f.naps(4 * time.Millisecond)
		f.beats()
		f.endsSome()
	}
	if len(f.held) == 0 {
		f.at = f.naps(2 * time.Millisecond)
	}
}

func (f *fetcher) registers() {
	ids, _ := ask(f.actor, "", pgx.RowTo[int64], `select procrastinate_register_worker('mixed', $1, $2)`, f.queues, f.tasks)
	if len(ids) == 1 {
		f.worker, f.at = ids[0], f.clock()
		f.mu.Lock()
		f.alive[f.worker] = true
		f.mu.Unlock()
	}
}

// fetch takes more jobs, and at once ends with success what it still holds. Some fetches are rolled back, some stay open for
// a while. A transaction of several statements waits for no job, as it would with a single one to finish.
func (f *fetcher) fetch(commit bool) {
	var answers []answer
	var refusal string
	calls := func() bool {
		sql, args := `select f.id, coalesce(f.outcome, ''), coalesce(f.lock, ''), coalesce(f.priority, 0) from procrastinate_fetch_jobs($1, $2, $3) f`,
			[]any{f.worker, 1 + f.IntN(f.IntN(50)+1), 1 + f.IntN(5)}
		if len(f.held) > 0 {
			sql = `select f.id, coalesce(f.outcome, ''), coalesce(f.lock, ''), coalesce(f.priority, 0) from procrastinate_exchange_jobs($1, $4, null, $2, $3) f`
			args = append(args, idsOf(f.held))
		}
		answers, refusal = ask(f.actor, "PJ003", pgx.RowToStructByPos[answer], sql, args...)
		return refusal == ""
	}
	asked := f.at
	if commit && f.IntN(5) > 0 {
		commit = calls()
	} else {
		commit = f.transact("read committed", commit, func() bool {
			if !calls() {
				return false
			}
			f.naps(5 * time.Millisecond)
			return true
		})
	}
	if refusal != "" {
		f.removed(refusal)
	}
	if !commit {
		f.count("fetches rolled back", 1)
		return
	}

	f.fetches++
	f.at = f.clock()
	var runs []*run
	for i, a := range answers {
		if a.Outcome == "" {
			runs = append(runs, &run{
				id: a.ID, lock: a.Lock, priority: a.Priority, worker: f.worker, fetch: f.fetches, place: i, asked: asked, began: f.at})
		}
	}
	f.count("exchanged", len(f.held))
	f.settle(f.held, "succeeded", asked, answers)
	f.started(runs)
	f.held = append(f.held, runs...)
}

// settle notes how runs ended: those that the answer does not call lost or busy as they should have.
func (f *fetcher) settle(runs []*run, fate string, at time.Time, answers []answer) {
	outcomes := map[int64]string{}
	for _, a := range answers {
		if a.Outcome != "" {
			outcomes[a.ID] = a.Outcome
		}
	}
	for _, r := range runs {
		switch outcome := outcomes[r.id]; outcome {
		case "busy":
			f.count("busy", 1)
			continue
		case "lost":
			r.fate, r.ended = "deleted", at
			if !f.doomedAt(f.worker).IsZero() {
				r.fate = "rescued"
			}
			f.count("lost", 1)
		default:
			r.fate, r.ended = fate, at
			f.ended = append(f.ended, r.id)
			f.count(fate, 1)
			if fate == "succeeded" || outcome == "failed" || outcome == "aborted" {
				f.note([]int64{r.id}, func(_ int, j *job) { j.over = true })
			}
			if outcome == "failed" || outcome == "aborted" {
				f.remember(&f.dead, []int64{r.id}, 100)
			}
		}
	}
	f.held = slices.DeleteFunc(f.held, func(r *run) bool { return r.fate != "" })
	f.ended = f.ended[max(0, len(f.ended)-30):]
}

// removed: the worker is no more, and its jobs are, or will be, rescued.
func (f *fetcher) removed(refusal string) {
	at := f.doomedAt(f.worker)
	if at.IsZero() && refusal == "PJ003" {
		f.fault("worker %d was removed, though it did not die", f.worker)
	}
	for _, r := range f.held {
		r.fate, r.ended = "rescued", at
	}
	f.count("rescued", len(f.held))
	f.goodbye()
}

func (f *fetcher) goodbye() {
	f.mu.Lock()
	delete(f.alive, f.worker)
	f.mu.Unlock()
	f.held, f.worker = nil, 0
}

var endings = map[string]string{
	"succeeded": `select e.job_id, e.outcome, '', 0 from procrastinate_finish_jobs($1, $2) e`,
	"failed":    `select e.job_id, e.status, '', 0 from procrastinate_fail_jobs($1, $2, retry_in => array_fill(interval '10 ms', array[cardinality($2::bigint[])])) e`,
	"returned":  `select e.job_id, e.outcome, '', 0 from procrastinate_return_jobs($1, $2) e`,
	"snoozed":   `select ($2::bigint[])[1], procrastinate_snooze_job($1, ($2::bigint[])[1], '20 ms')::text, '', 0`,
	"aborted":   `select ($2::bigint[])[1], procrastinate_abort_job($1, ($2::bigint[])[1])::text, '', 0`,
}

// ends runs in one of these ways; what is busy it ends again, alone.
func (f *fetcher) ends(fate string, runs []*run) {
	if runs = slices.Clone(runs); len(runs) == 0 || f.worker == 0 {
		return
	}
	if (fate == "snoozed" || fate == "aborted") && len(runs) > 1 {
		f.endsEach(fate, runs)
		return
	}
	for range 20 {
		answers, refusal := ask(f.actor, "PJ002 PJ003", pgx.RowToStructByPos[answer], endings[fate], f.worker, idsOf(runs))
		switch refusal {
		case "PJ002":
			answers = []answer{{ID: runs[0].id, Outcome: "lost"}}
		case "":
		default:
			f.removed(refusal)
			return
		}
		f.settle(runs, fate, f.at, answers)
		runs = slices.DeleteFunc(runs, func(r *run) bool { return r.fate != "" })
		if len(runs) != 1 {
			f.endsEach(fate, runs)
			return
		}
	}
	f.fault("job %d is busy, and busy again, although a call for it alone waits", runs[0].id)
}

func (f *fetcher) endsEach(fate string, runs []*run) {
	for _, r := range runs {
		f.ends(fate, []*run{r})
	}
}

// endsSome ends all that is held, or leaves what succeeded to the next fetch.
func (f *fetcher) endsSome() {
	by := map[string][]*run{}
	for _, r := range f.held {
		fate := "succeeded"
		switch n := f.IntN(20); {
		case n < 3:
			fate = "failed"
		case n < 5:
			fate = "returned"
		case n < 6:
			fate = "snoozed"
		}
		by[fate] = append(by[fate], r)
	}
	for _, fate := range []string{"failed", "returned", "snoozed"} {
		f.ends(fate, by[fate])
	}
	if f.IntN(2) == 0 {
		f.ends("succeeded", by["succeeded"])
	}
}

// beats, and aborts what it is asked to; now and then what nobody asked for, too.
func (f *fetcher) beats() {
	if f.worker == 0 {
		return
	}
	asked, refusal := ask(f.actor, "PJ003", pgx.RowTo[int64], `select * from procrastinate_beat($1)`, f.worker)
	if refusal != "" {
		f.removed(refusal)
		return
	}
	var runs []*run
	for _, r := range f.held {
		if slices.Contains(asked, r.id) || f.IntN(50) == 0 {
			runs = append(runs, r)
		}
	}
	f.count("aborts asked for", len(asked))
	f.ends("aborted", runs)
}

// endsAgain: what a worker does not hold any more it cannot end, though another may run it now.
func (f *fetcher) endsAgain() {
	ids := slices.DeleteFunc(slices.Clone(f.ended), func(id int64) bool { return slices.Contains(idsOf(f.held), id) })
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) == 0 {
		return
	}
	answers, refusal := ask(f.actor, "PJ003", pgx.RowToStructByPos[answer], endings["succeeded"], f.worker, ids)
	if refusal != "" {
		f.removed(refusal)
		return
	}
	for _, a := range answers {
		if a.Outcome != "lost" {
			f.fault("worker %d does not hold job %d, but is told that it is %s", f.worker, a.ID, a.Outcome)
		}
	}
	if len(answers) < len(ids) {
		f.fault("worker %d ended some of %v, which it did not hold", f.worker, ids)
	}
	f.count("refused ends", len(answers))
}

func idsOf(runs []*run) []int64 {
	ids := make([]int64, len(runs))
	for i, r := range runs {
		ids[i] = r.id
	}
	return ids
}
