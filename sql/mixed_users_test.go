//go:build integration

package sql_test

import (
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// acts on one job in a transaction that may stay open for a while, and be rolled back in the end. It returns what the
// call says, and "" when nothing came of it.
func (a *actor) acts(what, sql string, id int64, args ...any) (said string) {
	committed := a.transact(a.anyIsolation(), a.IntN(5) > 0, func() bool {
		a.maySeeTooLittle(id)
		got, refusal := ask(a, "PJ004 PJ005", pgx.RowTo[string], sql, append([]any{id}, args...)...)
		if refusal != "" || len(got) == 0 {
			return false
		}
		said = got[0]
		if a.IntN(5) == 0 {
			a.naps(50 * time.Millisecond)
		}
		return true
	})
	if !committed {
		return ""
	}
	a.count(what+" "+said, 1)
	return said
}

// maySeeTooLittle: a transaction with an old snapshot does not see the place in the lock queue that a job got meanwhile. It
// stays behind when the job goes, until the next look at the lock.
func (a *actor) maySeeTooLittle(ids ...int64) {
	if a.isolation != "read committed" {
		a.note(ids, func(_ int, j *job) { j.orphan = true })
	}
}

func (a *actor) cancels() {
	a.naps(10 * time.Millisecond)
	list := []*[]int64{&a.newest, &a.busy}[a.IntN(2)]
	for _, id := range a.pick(list, a.Rand, 1) {
		if a.acts("cancel", `select procrastinate_cancel_job($1, abort => $2)::text`, id, a.IntN(2) == 0) == "cancelled" {
			a.note([]int64{id}, func(_ int, j *job) { j.touched, j.over = true, true })
			a.remember(&a.dead, []int64{id}, 100)
		}
	}
}

const changeJob = `select procrastinate_change_job($1, priority => $2, queue => $3, schedule_at => clock_timestamp() + make_interval(secs => $4))::text`

func (a *actor) changes() {
	a.naps(10 * time.Millisecond)
	for _, id := range a.pick(&a.newest, a.Rand, 1) {
		var priority, queue, span any
		switch a.IntN(3) {
		case 0:
			priority = a.IntN(2)
		case 1:
			queue = a.oneOf("a", "b")
		default:
			span = a.Float64() / 10
		}
		if a.acts("change", changeJob, id, priority, queue, span) != "" {
			a.note([]int64{id}, func(_ int, j *job) { j.touched = true })
		}
	}
}

// movesHeads to other queues, those that are next in their locks: in the middle of fetches, if at all.
func (a *actor) movesHeads() {
	a.naps(5 * time.Millisecond)
	heads, _ := ask(a, "", pgx.RowTo[int64], `
		select distinct on (q.key) q.job_id from procrastinate_lock_queue q where not q.held order by q.key, q.priority desc, q.job_id`)
	a.Shuffle(len(heads), func(i, k int) { heads[i], heads[k] = heads[k], heads[i] })
	for _, id := range heads[:min(5, len(heads))] {
		if a.do("PJ004 PJ005", changeJob, id, nil, a.oneOf("a", "b"), nil) {
			a.note([]int64{id}, func(_ int, j *job) { j.touched = true })
			a.count("heads moved", 1)
		}
	}
}

func (a *actor) retries() {
	a.naps(10 * time.Millisecond)
	for _, id := range a.pick(&a.dead, a.Rand, 1) {
		a.acts("retry", `select procrastinate_retry_job($1, make_interval(secs => $2))::text`, id, a.Float64()/20)
	}
}

// deletes, waiting or running or done, as clients do. Several at once only without queueing locks, and in the order of their
// ids: who defers with several queueing locks may hold several jobs, in another order.
func (a *actor) deletes() {
	a.naps(20 * time.Millisecond)
	ids := a.pick([]*[]int64{&a.newest, &a.busy, &a.busy}[a.IntN(3)], a.Rand, 1+a.IntN(3))
	var gone []int64
	var at time.Time
	committed := a.transact(a.anyIsolation(), a.IntN(5) > 0, func() (ok bool) {
		at = a.clock()
		if a.IntN(5) == 0 {
			a.naps(100 * time.Millisecond)
		}
		a.maySeeTooLittle(ids...)
		var refusal string
		gone, refusal = ask(a, "", pgx.RowTo[int64], `
			with job as materialized (
				select j.id from procrastinate_jobs j where j.id = any ($1) and (j.queueing_lock is null or cardinality($1) = 1) order by j.id for update
			)
			delete from procrastinate_jobs j using job where j.id = job.id returning j.id`, ids)
		if refusal == "" && a.IntN(3) == 0 {
			a.naps(50 * time.Millisecond)
		}
		return refusal == ""
	})
	if committed {
		a.note(gone, func(_ int, j *job) { j.deletion, j.over = at, true })
		a.count("deleted", len(gone))
	}
}

func (a *actor) pauses() {
	queue := a.oneOf("a", "b")
	a.do("", `select procrastinate_pause_queue($1)`, queue)
	a.naps(80 * time.Millisecond)
	a.do("", `select procrastinate_resume_queue($1)`, queue)
	a.naps(300 * time.Millisecond)
}

// murders a worker that knows nothing of it, perhaps in the middle of a fetch.
func (a *actor) murders() {
	a.naps(500 * time.Millisecond)
	a.mu.Lock()
	var workers []int64
	for worker := range a.alive {
		workers = append(workers, worker)
	}
	a.mu.Unlock()
	if slices.Sort(workers); len(workers) > 0 {
		worker := workers[a.IntN(len(workers))]
		a.doom(worker, a.clock())
		a.kills(worker)
		a.count("murders", 1)
	}
}

// kills lets tick find that no beat came, or deletes the worker itself; it reports which.
func (a *actor) kills(worker int64) (deleted bool) {
	if a.IntN(2) == 0 {
		return a.do("", `delete from procrastinate_workers w where w.id = $1`, worker)
	}
	a.do("", `update procrastinate_workers w set last_heartbeat = now() - interval '1 h' where w.id = $1`, worker)
	return false
}

func (a *actor) ticks() {
	tick := func() bool { return a.do("", `select procrastinate_tick()`) }
	switch a.IntN(10) {
	case 0, 1:
		a.transact("read committed", false, tick)
	case 2:
		a.transact("read committed", a.IntN(2) == 0, func() bool {
			ok := tick()
			a.naps(50 * time.Millisecond)
			return ok
		})
	default:
		tick()
	}
	a.count("ticks", 1)
	a.naps(5 * time.Millisecond)
}

// ages makes time pass: transactions come and go, it is time to tidy, and what is empty was empty for long.
func (a *actor) ages() {
	a.do("", `do $$ begin for i in 1 .. 200 loop perform pg_current_xact_id(); commit; end loop; end $$`)
	for _, sql := range []string{
		`update procrastinate_lanes l set opened_at = now() - interval '1 h'
		 where l.lane in (select x.lane from procrastinate_lanes x where x.opened_at > now() - interval '1 min' and x.state = 'open' for update skip locked)`,
		`update procrastinate_floors f set at = now() - interval '1 h' where f.at > now() - interval '1 min'`,
		`update procrastinate_leases l set at = now() - interval '11 s' where l.at > now() - interval '10 s'`,
		`update procrastinate_ticks t set tidied_at = now() - interval '1 h' where t.n = (select max(x.n) from procrastinate_ticks x)`,
	} {
		a.do("", sql)
	}
	parked, _ := ask(a, "", pgx.RowTo[int], `select count(*) from procrastinate_lanes l where l.state = 'parked'`)
	a.count("parked lanes seen", slices.Max(append(parked, 0)))
	a.naps(time.Second)
}

// checks: jobs and hints agree at any time, in whatever snapshot. When all was seen, and the time is up, the load ends.
func (a *actor) checks() {
	a.naps(200 * time.Millisecond)
	a.faultsOf(`select c.invariant, coalesce(c.job_id, 0), c.detail from procrastinate_check() c`)
	a.count("checks", 1)
	if time.Since(a.began) > a.span && a.unseen() == "" {
		a.over.Store(true)
	}
}

type finding struct {
	Invariant string
	ID        int64
	Detail    string
}

func (a *actor) faultsOf(sql string) {
	findings, _ := ask(a, "", pgx.RowToStructByPos[finding], sql)
	for _, f := range findings {
		var orphan bool
		a.note([]int64{f.ID}, func(_ int, j *job) { orphan = j.orphan })
		if !orphan || f.Invariant != "only due and running jobs are in the lock queue" {
			a.fault("check: %s: %d, %s", f.Invariant, f.ID, f.Detail)
		}
	}
}

// writesForLong defers, and commits when half of the load is over. As long as it is open no lane can be parked.
func (a *actor) writesForLong() {
	half := a.began.Add(a.span / 2)
	if time.Now().After(half) {
		a.naps(100 * time.Millisecond)
		return
	}
	var jobs []newJob
	var ids []int64
	if a.transact("read committed", true, func() bool {
		for range 20 {
			j := a.newJob(false)
			got, _ := ask(a, "", pgx.RowTo[int64], `select procrastinate_defer($1, queue => $2, priority => $3, lock => nullif($4, ''))`, j.Task, j.Queue, j.Priority, j.Lock)
			j.ScheduleIn = ""
			jobs, ids = append(jobs, j), append(ids, got...)
		}
		for !a.over.Load() && time.Now().Before(half) {
			a.naps(100 * time.Millisecond)
		}
		return true
	}) {
		a.deferred(jobs, ids)
		a.count("deferred for long", len(ids))
	}
}

// readsForLong keeps what was deleted from being vacuumed.
func (a *actor) readsForLong() {
	a.transact("repeatable read", false, func() bool {
		a.do("", `select count(*) from procrastinate_jobs`)
		for !a.over.Load() {
			a.naps(100 * time.Millisecond)
		}
		return true
	})
}

// wantNothingLeft: with no job to run and no worker there is nothing to hint at, once all tokens were looked at and all
// times of the agenda have come, in a second or two. A lane has one floor, and a few of transactions that were on their way
// when it was tidied; its next floor ends them.
func (a *actor) wantNothingLeft() {
	a.faultsOf(`select c.invariant, coalesce(c.job_id, 0), c.detail from procrastinate_check() c`)
	const left = `
		select format('%s: %s', x.what, x.n) from (
			select 'tokens', count(*) from procrastinate_tokens
			union all select 'agenda', count(*) from procrastinate_agenda
			union all select 'lock queue', count(*) from procrastinate_lock_queue
			union all select 'queueing locks', count(*) from procrastinate_queueing_locks
			union all select 'leases', count(*) from procrastinate_leases
			union all select 'workers', count(*) from procrastinate_workers
			union all select 'removed workers', count(*) from procrastinate_removed_workers
			union all select 'floors', count(*) from procrastinate_floors group by lane having count(*) > 10
		) x(what, n)
		where x.n > 0`
	for deadline := time.Now().Add(10 * time.Second); ; {
		rest, refusal := ask(a, "", pgx.RowTo[string], left)
		if len(rest) == 0 || refusal != "" {
			return
		}
		if time.Now().After(deadline) {
			a.fault("left over: %s", strings.Join(rest, ", "))
			return
		}
		a.do("", `update procrastinate_ticks t set tidied_at = now() - interval '1 h'`)
		a.do("", `
			do $$ declare v_worker bigint := procrastinate_register_worker('broom'); begin
				perform procrastinate_fetch_jobs(v_worker, 1000);
				perform procrastinate_unregister_worker(v_worker);
			end $$`)
		a.do("", `select procrastinate_tick()`)
	}
}
