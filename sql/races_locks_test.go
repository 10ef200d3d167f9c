//go:build integration

package sql_test

import "testing"

const overlaps = `select count(*) from (select from procrastinate_jobs j where j.status = 'doing' group by j.lock having count(*) > 1) x`

// A fetch that has looked for holders, and is about to start a head, has the key: nobody else starts another.
func TestTwoFetchesNeverRunOneLock(t *testing.T) {
	const try = "where pg_try_advisory_xact_lock(c.key # 'procrastinate_jobs'::regclass::oid::bigint)"
	const look = "where not w.busy"
	race{
		windows: []edit{choosingLocked},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			db.shut()
			start := two.stops(fetch, two.worker(), 9)
			db.do(`select procrastinate_defer('t', lock => 'l', priority => 5)`)
			one.fetches(9, ``)
			db.open()
			start.want(`1`)
			db.want(`0`, overlaps)
			two.finishes(`{1}`)
			one.fetches(9, `2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the key's advisory lock", "choose_locked.sql", try, "where true"),
			without("the key before the look for holders", "choose_locked.sql", try, "where true").
				and("choose_locked.sql", look, look+" and pg_try_advisory_xact_lock(w.key # 'procrastinate_jobs'::regclass::oid::bigint)"),
		},
	}.test(t)
}

func TestFetchOnAnOldSnapshotIsRefused(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			two.worker()
			two.do(`begin isolation level repeatable read`)
			two.do(`select from procrastinate_jobs`)
			db.do(`select procrastinate_defer('t', lock => 'l', priority => 5)`)
			one.fetches(1, `2`)
			two.fails("PJ009", fetch, two.id, 9)
			two.do(`commit`)
			db.want(`0`, overlaps)
			db.wantHealthy()
		},
		guards: []guard{
			without("the look at the isolation", "fetch_jobs.sql", "and current_setting('transaction_isolation') = 'read committed'", ""),
		},
	}.test(t)
}

// A fetch that finds the lock held drops its token, though the holder ends meanwhile.
func TestFinishDuringAFetchPassesTheLockOn(t *testing.T) {
	race{
		windows: []edit{choosingLocked, patient},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			one.fetches(9, `1`)
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			db.shut()
			start := two.stops(fetch, two.worker(), 1)
			one.finishes(`{1}`)
			db.open()
			// the same fetch looks again
			start.want(`2`)
			db.wantHealthy()
		},
		guards: []guard{withoutHandOver},
	}.test(t)
}

const handOver = "    select distinct 0, j.lock_key\n    from job j"

var withoutHandOver = without("a token of who leaves it", "leave_locks.sql", handOver, handOver+"\n    where false")

// Nobody waits when it ends, and until it commits all others see the lock held.
func TestOpenFinishPassesTheLockOn(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			one.fetches(9, `1`)
			one.do(`begin`)
			one.finishes(`{1}`)
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			two.fetches(9, ``)
			one.do(`commit`)
			two.fetches(9, `2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a token whoever waits", "leave_locks.sql", handOver,
				handOver+"\n    where (select 1 from procrastinate_lock_queue q where q.key = j.lock_key and not q.held limit 1) = 1"),
		},
	}.test(t)
}

// Until an exchange commits, all others see the lock held and count on the token of its end.
var (
	startDropsOwn = without("the own token in a start", "choose_locked.sql", "and (t.xid <> pg_current_xact_id() or t.id in (select c.key from chosen c))", "")
	sweepDropsOwn = without("the own token in a sweep", "fetch_jobs.sql", "xid <> pg_current_xact_id()", "xid <> '0'")
)

func TestExchangeLeavesTheTokenOfItsOwnFinish(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			one.fetches(9, `1`)
			one.do(`begin`)
			one.want(``, exchange, one.id, `{1}`)
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			two.fetches(9, ``)
			one.do(`commit`)
			two.fetches(9, `2`)
			db.wantHealthy()
		},
		guards: []guard{startDropsOwn, sweepDropsOwn},
	}.test(t)
}

// What the exchange sees as head is another one by the time it commits; meanwhile a fetch drops all other tokens.
func TestExchangeLeavesItsTokenThoughTheHeadHasAnotherHint(t *testing.T) {
	race{
		run: func(db *session) {
			one, two, three := db.session(), db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => 'l')) from generate_series(1, 3)`)
			one.fetches(1, `1`)
			three.do(`begin`)
			three.do(`select procrastinate_cancel_job(2)`)
			one.do(`begin`)
			one.want(``, exchange, one.id, `{1}`)
			three.do(`commit`)
			two.fetches(9, ``)
			one.do(`commit`)
			two.fetches(9, `3`)
			db.wantHealthy()
		},
		guards: []guard{startDropsOwn},
	}.test(t)
}

func TestExchangeLeavesItsTokenThoughItPassedTheLockOn(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => 'l', queue => q)) from unnest('{a,b}'::text[]) q`)
			one.fetches(1, `1`)
			db.do(`select procrastinate_pause_queue('b')`)
			one.do(`begin`)
			one.want(``, exchange, one.id, `{1}`)
			db.do(`select procrastinate_defer('t', lock => 'l', queue => 'a', priority => 5)`)
			two.fetches(9, ``)
			one.do(`commit`)
			two.fetches(9, `3`)
			db.wantHealthy()
		},
		guards: []guard{startDropsOwn},
	}.test(t)
}

// The tokens of a lock that somebody has come first, and are looked past.
func TestTokensOfABusyLockHideNoOther(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			for _, l := range []string{"a", "a", "a", "b"} {
				db.do(`select procrastinate_defer('t', lock => $1)`, l)
			}
			one.do(`begin`)
			one.fetches(1, `1`)
			two.fetches(1, `4`)
			one.do(`commit`)
			one.finishes(`{1}`)
			two.fetches(1, `2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a look at more tokens than jobs", "choose_locked.sql", "limit 10 * p_max_keys", "limit p_max_keys"),
		},
	}.test(t)
}

// The place that the fetch sees is not the one that the job has when its body is taken.
func TestJobThatMovesWhileItIsFetchedHoldsItsLock(t *testing.T) {
	race{
		windows: []edit{choosingLocked, patient},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			db.shut()
			start := two.stops(fetch, two.worker(), 1)
			one.do(`select procrastinate_change_job(1, queue => 'q')`)
			db.open()
			start.want(`1`)
			db.wantHealthy()
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			one.fetches(9, ``)
			db.want(`0`, overlaps)
		},
		guards: []guard{
			without("xmin", "choose_locked.sql", " and seen.xmin = x.xmin", ""),
		},
	}.test(t)
}

func TestOpenCancelOfAHeadDelaysOnlyItsLock(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => l)) from unnest('{a,a,b}'::text[]) l`)
			one.do(`begin`)
			one.do(`select procrastinate_cancel_job(1)`)
			two.fetches(9, `3`)
			one.do(`commit`)
			two.fetches(9, `2`)
			db.wantHealthy()
		},
		guards: []guard{withoutHandOver},
	}.test(t)
}

func TestDeleteOfAHolderLetsTheNextRun(t *testing.T) {
	race{
		run: func(db *session) {
			two := db.session()
			db.do(`select count(procrastinate_defer('t', lock => 'l')) from generate_series(1, 2)`)
			two.fetches(9, `1`)
			db.do(`delete from procrastinate_jobs j where j.id = 1`)
			two.fetches(9, `2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a token", "jobs_deleted.sql", "where j.lock_key is not null and j.status in ('todo', 'doing');", "where false;"),
			without("its leave of the lock queue", "jobs_deleted.sql", "where j.lock_key is not null and j.status in ('todo', 'doing')));", "where false));"),
		},
	}.test(t)
}

// The worker that changes a job's place serves neither: the lock is looked at again, for it has another head.
func TestChangeOfAHeadLetsTheNextRun(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			two.registers(`select procrastinate_register_worker('w', queues => '{a}')`)
			db.do(`select count(procrastinate_defer('t', lock => 'l', queue => q)) from unnest('{b,a}'::text[]) q`)
			two.fetches(9, ``)
			one.do(`begin`)
			one.do(`select procrastinate_change_job(1, priority => -5)`)
			two.fetches(9, ``)
			one.do(`commit`)
			two.fetches(9, `2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("its leave of the lock queue", "change_job.sql", "    perform procrastinate_leave_locks(array[p_job.id]);", ""),
		},
	}.test(t)
}

// Each key that is tried is an advisory lock until the fetch commits, and the server has some thousands.
func TestFetchTriesTwoThousandLocksAtMost(t *testing.T) {
	race{
		windows: []edit{patient},
		run: func(db *session) {
			one := db.session()
			one.registers(`select procrastinate_register_worker('w', queues => '{a}')`)
			db.do(`insert into procrastinate_jobs (queue_name, task_name, lock) select 'b', 't', 'l' || i from generate_series(1, 2200) i`)
			db.do(`select procrastinate_repair()`)
			db.do(`insert into procrastinate_tokens (lane, id) select 0, q.key from procrastinate_lock_queue q`)
			one.do(`begin`)
			one.fetches(500, ``)
			one.want(`2000`, `select count(*) from pg_locks l where l.locktype = 'advisory' and l.pid = pg_backend_pid()`)
			one.do(`commit`)
			db.wantHealthy()
		},
		guards: []guard{
			without("that limit", "fetch_jobs.sql", "least(greatest(10 * max_jobs, 100), 2000)", "greatest(10 * max_jobs, 100)"),
		},
	}.test(t)
}
