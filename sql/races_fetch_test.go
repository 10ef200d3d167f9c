//go:build integration

package sql_test

import (
	"strings"
	"testing"
)

// Where a fetch stops: in the statement that locks bodies, or drops tokens by the look of it, its snapshot taken; or with
// the bodies locked, about to start them.
var (
	choosingPlain  = edit{"choose_plain.sql", "where j.id = any (v_tokens)", "where (select gate()) and j.id = any (v_tokens)"}
	choosingLocked = edit{"choose_locked.sql", "from unnest(v_keys) k(key)", "from (select u from unnest(v_keys) u where gate() offset 0) k(key)"}
	sweeping       = edit{"fetch_jobs.sql", "where case", "where gate() and case"}
	starting       = edit{"fetch_jobs.sql", "if v_chosen <> '{}' then", "if gate() and v_chosen <> '{}' then"}
)

// A body that is locked in choosing, and not.
const (
	lockPlain  = "and j.lock is null\n        for update skip locked"
	lockLocked = "for update of x skip locked"
)

// patient is a fetch that looks on for a job however long it stood at a gate.
var patient = edit{"fetch_jobs.sql", "interval '1 s'", "interval '1 min'"}

func TestTwoFetchesNeverTakeOneJob(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t')) from generate_series(1, 3)`)
			one.do(`begin`)
			one.fetches(1, `1`)
			two.fetches(9, `2,3`)
			one.do(`rollback`)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the token's lock", "choose_plain.sql", "limit p_max_jobs\n            for update skip locked", "limit p_max_jobs"),
		},
	}.test(t)
}

// A job that went to another queue and came back has two tokens in its lane.
func TestOfTwoTokensOfOneJobOneStartsIt(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			one.registers(`select procrastinate_register_worker('w', queues => '{a}')`)
			two.registers(`select procrastinate_register_worker('w', queues => '{a}')`)
			db.do(`select procrastinate_defer('t', queue => 'a')`)
			for range 3 {
				db.do(`select procrastinate_change_job(1, queue => q) from unnest('{b,a}'::text[]) q`)
			}
			one.do(`begin`)
			one.fetches(1, `1`)
			two.do(`begin`)
			two.fetches(1, ``)
			two.do(`rollback`)
			one.do(`commit`)
			two.fetches(1, ``)
			db.wantHealthy()
		},
		guards: []guard{
			without("the body's lock", "choose_plain.sql", lockPlain, "and j.lock is null"),
			without("a look at the status", "choose_plain.sql", "j.status = 'todo' and (", "("),
		},
	}.test(t)
}

func TestTokenOfAJobThatMovedStartsNothing(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			one.registers(`select procrastinate_register_worker('w', queues => '{a}')`)
			db.do(`select procrastinate_defer('t', queue => 'a')`)
			db.do(`select procrastinate_change_job(1, queue => 'b')`)
			one.fetches(9, ``)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a look at the queue", "choose_plain.sql",
				"and (j.queue_name, j.task_name, j.priority) is not distinct from (p_lane.queue_name, p_lane.task_name, p_lane.priority)", ""),
		},
	}.test(t)
}

// A job with a queueing lock goes and comes back while a fetch is about to lock it. It is started as it is then, and the place
// that it leaves is the one it has then: not in the snapshot of the lock, but in that of the next statement.
func TestJobThatComesBackWhileItIsFetchedLeavesNoQueueingLock(t *testing.T) {
	const body = "select j.ctid as place, j.id, j.queueing_lock\n        from procrastinate_jobs j"
	race{
		windows: []edit{choosingPlain},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', queueing_lock => 'q')`)
			db.shut()
			start := two.stops(fetch, two.worker(), 9)
			one.do(`select procrastinate_cancel_job(1)`)
			one.do(`select procrastinate_retry_job(1)`)
			db.open()
			start.want(`1`)
			db.wantHealthy()
			one.do(`select procrastinate_defer('t', queueing_lock => 'q')`)
		},
		guards: []guard{
			without("a statement of its own for the queueing locks", "choose_plain.sql", "if v_queueing is not null then", "if false then").
				and("choose_plain.sql", "    select coalesce(array_agg(b.place)", `
					with body as materialized (
						select x.id from procrastinate_jobs x where x.id = any (v_tokens) for update skip locked
					), queueing as (
						delete from procrastinate_queueing_locks q where q.job_id in (select x.id from body x)
					)
					select coalesce(array_agg(b.place)`),
			without("the place of what was locked", "choose_plain.sql", body, strings.Replace(body, "j.ctid", "seen.ctid", 1)+" join procrastinate_jobs seen using (id)").
				and("choose_plain.sql", lockPlain, "and j.lock is null\n        for update of j skip locked"),
		},
	}.test(t)
}

// A fetch that has chosen all it wants has their bodies until it starts them, and starts what it has locked.
func TestNobodyTouchesAJobBetweenChoiceAndStart(t *testing.T) {
	for _, kind := range []struct {
		name, lock string
		guard      guard
	}{
		{"plain", ``, without("the body's lock", "choose_plain.sql", lockPlain, "and j.lock is null")},
		{"locked", `, lock => 'l' || i`, without("the body's lock", "choose_locked.sql", lockLocked, "")},
	} {
		t.Run(kind.name, func(t *testing.T) {
			race{
				windows: []edit{starting},
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select count(procrastinate_defer('t'` + kind.lock + `)) from generate_series(1, 4) i`)
					db.shut()
					start := two.stops(fetch, two.worker(), 9)
					db.do(`insert into procrastinate_tokens (lane, id) select t.lane, t.id from procrastinate_tokens t`)
					one.fetches(9, ``)
					cancel := db.session().start(`select procrastinate_cancel_job(1)`).waits()
					change := db.session().start(`select procrastinate_change_job(2, queue => 'q')`).waits()
					gone := db.session().startDo(`delete from procrastinate_jobs j where j.id = 3`).waits()
					db.open()
					start.want(`1,2,3,4`)
					cancel.fails("PJ005")
					change.fails("PJ005")
					gone.want(``)
					db.want(`doing 3`, statuses)
					two.want(`3 lost`, finish, two.id, `{1,2,3,4}`)
					db.wantHealthy()
				},
				guards: []guard{kind.guard},
			}.test(t)
		})
	}
}

func TestOpenCancelThatIsRolledBackLosesNothing(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => l)) from unnest('{NULL,NULL,a,b}'::text[]) l`)
			one.do(`begin`)
			one.do(`select procrastinate_cancel_job(id) from unnest('{1,3}'::bigint[]) id`)
			two.fetches(9, `2,4`)
			one.do(`rollback`)
			db.do(`select procrastinate_tick()`)
			two.fetches(9, `1,3`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the agenda's row for a busy body", "choose_plain.sql", "where i not in (select c from unnest(v_ids) c)", "where false"),
			without("the agenda's row for a busy head", "choose_locked.sql", "where h.job_id not in (select b.id from body b where b.runnable)", "where false"),
		},
	}.test(t)
}

// The job is not due in the fetch's snapshot, and due to tick, which promotes it.
func TestPromotionDuringAFetchLosesNothing(t *testing.T) {
	race{
		windows: []edit{choosingPlain},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			db.do(`select procrastinate_change_job(1, schedule_at => now() + interval '1 h')`)
			db.shut()
			start := two.stops(fetch, two.worker(), 9)
			one.do(due, 1)
			one.do(`select procrastinate_tick()`)
			db.open()
			start.want(``)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a token of the promotion's own", "hint_jobs.sql", noToken, noTokenWhereOneIs),
		},
	}.test(t)
}

// Clocks step back. A job whose token came too early waits in the agenda.
func TestTokenBeforeItsTimeLosesNothing(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => l)) from unnest('{NULL,a}'::text[]) l`)
			db.do(`update procrastinate_jobs j set scheduled_at = now() + interval '1 h'`)
			two.fetches(9, ``)
			db.want(`2`, `select count(*) from procrastinate_agenda`)
			one.do(due, 1)
			one.do(due, 2)
			db.do(`select procrastinate_tick()`)
			two.fetches(9, `1,2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the agenda's row for a job that is not due", "choose_plain.sql", "where i not in (select c from unnest(v_ids) c)", "where false"),
			without("the agenda's row for a head that is not due", "choose_locked.sql", "where h.job_id not in (select b.id from body b where b.runnable)", "where false"),
		},
	}.test(t)
}

const (
	// due lets the time of a job come
	due = `with a as (update procrastinate_agenda a set at = now() where a.id = $1) update procrastinate_jobs j set scheduled_at = now() where j.id = $1`

	noToken           = "join lane l using (queue_name, task_name, priority, kind)\n        where j.due"
	noTokenWhereOneIs = noToken + " and (select 1 from procrastinate_tokens t where t.lane = l.lane and t.id = coalesce(j.lock_key, j.id) limit 1) is null"
)

// What somebody has open is gone past: a token, a body, a token of a lock, the body of a lock's head, a lock's key.
func TestFetchWaitsForNobody(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => l)) from unnest('{NULL,NULL,a,b,c,NULL,d}'::text[]) l`)
			one.do(`begin`)
			one.do(`select from procrastinate_tokens t where t.id in (select coalesce(j.lock_key, j.id) from procrastinate_jobs j where j.id in (1, 3)) for update`)
			one.do(`select from procrastinate_jobs j where j.id in (2, 4) for update`)
			one.do(`select pg_advisory_xact_lock(j.lock_key # 'procrastinate_jobs'::regclass::oid::bigint) from procrastinate_jobs j where j.id = 5`)
			two.fetches(9, `6,7`)
			one.do(`rollback`)
			two.fetches(9, `1,3,5`)
			db.do(`select procrastinate_tick()`)
			two.fetches(9, `2,4`)
			db.wantHealthy()
		},
		guards: []guard{
			withoutSkip("tokens", "choose_plain.sql", "limit p_max_jobs\n            for update"),
			without("skip locked of bodies", "choose_plain.sql", lockPlain, cut(lockPlain, " skip locked")),
			withoutSkip("tokens of locks", "choose_locked.sql", "for update"),
			withoutSkip("heads", "choose_locked.sql", "for update of x"),
			without("a mere try for a key", "choose_locked.sql", "where pg_try_advisory_xact_lock(c.key # 'procrastinate_jobs'::regclass::oid::bigint)",
				"where pg_advisory_xact_lock(c.key # 'procrastinate_jobs'::regclass::oid::bigint) is not null"),
		},
	}.test(t)
}
