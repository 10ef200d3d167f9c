//go:build integration

package sql_test

import (
	"regexp"
	"testing"
)

const silent = `update procrastinate_workers w set last_heartbeat = now() - interval '1 h' where w.id = $1`

func TestWorkerIsNotRemovedInTheMiddleOfAFetch(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			db.do(silent, one.worker())
			one.do(`begin`)
			one.fetches(9, `1`)
			two.do(`select procrastinate_tick()`)
			two.want(`1`, `select count(*) from procrastinate_workers`)
			removal := two.startDo(`delete from procrastinate_workers`).waits()
			one.do(`commit`)
			removal.want(``)
			db.do(`select procrastinate_tick()`)
			db.want(`todo 1`, statuses)
			one.fails("PJ003", finish, one.id, `{1}`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the worker's lock", "fetch_jobs.sql", "where w.id = worker_id\n    for key share;", "where w.id = worker_id;"),
			without("skip locked", "rescue_jobs.sql", "        for update skip locked);\nend;", "        for update);\nend;"),
		},
	}.test(t)
}

func TestRemovedWorkerFetchesNothing(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			one.worker()
			two.do(`begin`)
			two.do(`delete from procrastinate_workers`)
			late := one.start(fetch, one.id, 9).waits()
			two.do(`commit`)
			late.fails("PJ003")
			db.do(`select procrastinate_tick()`)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the worker's lock", "fetch_jobs.sql", "where w.id = worker_id\n    for key share;", "where w.id = worker_id;"),
			without("a look whether it is there", "fetch_jobs.sql", "perform procrastinate_no_such_worker(worker_id);", ""),
		},
	}.test(t)
}

// Whoever removes a worker on an old snapshot does not see its last lease.
func TestWorkerThatIsRemovedOnAnOldSnapshotIsNoted(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			two.worker()
			one.do(`begin isolation level repeatable read`)
			one.do(`select from procrastinate_jobs`)
			two.fetches(9, `1`)
			one.do(`delete from procrastinate_workers`)
			one.do(`commit`)
			db.do(`select procrastinate_tick()`)
			db.want(`todo 1`, statuses)
			db.wantHealthy()
		},
		guards: []guard{
			without("a note that looks at no lease", "register_worker.sql", "    from old_rows w;",
				"    from old_rows w\n    where (select 1 from procrastinate_leases l where l.worker_id = w.id limit 1) = 1;"),
		},
	}.test(t)
}

func TestKeepJobsWaitsForAFetchOnItsWay(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			one.worker()
			one.do(`begin`)
			one.fetches(9, `1`)
			keep := two.start(`select string_agg(concat_ws(' ', k.job_id, k.outcome), ',') from procrastinate_keep_jobs($1, '{}') k`, one.id).waits()
			one.do(`commit`)
			keep.want(`1 returned`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the worker's lock", "return_jobs.sql", "    perform from procrastinate_workers w where w.id = worker_id for update;\n", ""),
		},
	}.test(t)
}

func TestUnregisterWaitsForAFetchOnItsWay(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			one.worker()
			one.do(`begin`)
			one.fetches(9, `1`)
			goodbye := two.startDo(`select procrastinate_unregister_worker($1)`, one.id).waits()
			one.do(`commit`)
			goodbye.want(``)
			db.want(`todo 1`, statuses)
			db.wantHealthy()
		},
		guards: []guard{
			without("the worker's lock", "register_worker.sql", "where w.id = worker_id for update;", "where w.id = worker_id;").
				and("return_jobs.sql", "    perform from procrastinate_workers w where w.id = worker_id for update;\n", ""),
		},
	}.test(t)
}

// One tick removes the worker, takes its job back and fetches it for another worker; the removed one, which was still
// there when it began to end the job, waits for that.
func TestJobOfARemovedWorkerIsLostToIt(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select procrastinate_defer('t')`)
					one.fetches(9, `1`)
					db.do(silent, one.id)
					two.worker()
					two.do(`begin`)
					two.do(`select procrastinate_tick()`)
					two.fetches(9, `1`)
					late := one.start(end.alone, one.id).waits()
					two.do(`commit`)
					late.want(`1 lost`)
					two.finishes(`{1}`)
					db.wantHealthy()
				},
				guards: []guard{
					without("the fence", end.file, bodyLock[end.file], regexp.MustCompile(` and .\.worker_id = p_worker_id`).ReplaceAllString(bodyLock[end.file], "")),
				},
			}.test(t)
		})
	}
}

func TestFinishBeforeTheRescueCounts(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			one.fetches(9, `1`)
			one.do(`begin`)
			one.finishes(`{1}`)
			db.do(silent, one.id)
			two.do(`select procrastinate_tick()`)
			db.want(`0`, `select count(*) from procrastinate_workers`)
			one.do(`commit`)
			two.do(`select procrastinate_tick()`)
			db.want(`succeeded 1`, statuses)
			db.want(`0`, `select count(*) from procrastinate_removed_workers`)
			db.wantHealthy()
		},
		guards: []guard{
			without("skip locked", "rescue_jobs.sql", "for update skip locked\n        ) j\n        limit", "for update\n        ) j\n        limit"),
		},
	}.test(t)
}

// What somebody has open when its worker is removed is left for the next tick, and so are lease and note.
func TestJobThatIsBusyIsRescuedLater(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			two.fetches(9, `1`)
			one.do(`begin`)
			one.do(`select procrastinate_cancel_job(1, abort => true)`)
			db.do(silent, two.id)
			db.do(`select procrastinate_tick()`)
			one.do(`rollback`)
			db.want(`doing 1`, statuses)
			db.do(`select procrastinate_tick()`)
			db.want(`todo 1`, statuses)
			db.wantHealthy()
		},
		guards: []guard{
			without("keeping the note", "rescue_jobs.sql", "\n      and not exists (select from procrastinate_leases l where l.worker_id = r.worker_id)", ""),
			without("a new lease", "note_jobs.sql", "f.finished_at is null", "false"),
		},
	}.test(t)
}
