//go:build integration

package sql_test

import (
	"strings"
	"testing"
)

// The forms of an end, for the batch {1,2} or for job 1 alone, and what they say of a job that is busy or lost.
var ends = []struct{ name, file, batch, alone, status string }{
	{"finish", "finish_jobs.sql",
		`select string_agg(concat_ws(' ', f.job_id, f.outcome), ',') from procrastinate_finish_jobs($1, '{1,2}') f`,
		`select string_agg(concat_ws(' ', f.job_id, f.outcome), ',') from procrastinate_finish_jobs($1, '{1}') f`, "succeeded"},
	{"fail", "fail_jobs.sql",
		`select string_agg(concat_ws(' ', f.job_id, f.status), ',') from procrastinate_fail_jobs($1, '{1,2}') f where f.status <> 'failed'`,
		`select string_agg(concat_ws(' ', f.job_id, f.status), ',') from procrastinate_fail_jobs($1, '{1}') f where f.status <> 'failed'`, "failed"},
	{"return", "return_jobs.sql",
		`select string_agg(concat_ws(' ', r.job_id, r.outcome), ',') from procrastinate_return_jobs($1, '{1,2}') r`,
		`select string_agg(concat_ws(' ', r.job_id, r.outcome), ',') from procrastinate_return_jobs($1, '{1}') r`, "todo"},
}

// bodyLock is where such an end takes the bodies.
var bodyLock = map[string]string{
	"finish_jobs.sql": "where j.id = any (p_job_ids) and j.status = 'doing' and j.worker_id = p_worker_id\n        for update skip locked",
	"fail_jobs.sql":   "where x.id = f.id and x.status = 'doing' and x.worker_id = p_worker_id\n            for update skip locked",
	"return_jobs.sql": "where x.id = i.id and x.status = 'doing' and x.worker_id = p_worker_id\n            for update skip locked",
}

func cut(text, part string) string {
	before, after, found := strings.Cut(text, part)
	if !found {
		panic(part + " is not in " + text)
	}
	return before + after
}

func TestOpenAbortDelaysOnlyItsOwnJob(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select count(procrastinate_defer('t', lock => 'l' || i)) from generate_series(1, 2) i`)
					two.fetches(9, `1,2`)
					one.do(`begin`)
					one.do(`select procrastinate_cancel_job(1, abort => true)`)
					two.want(`1 busy`, end.batch, two.id)
					db.want(`1 doing,2 `+end.status, `select string_agg(concat_ws(' ', j.id, j.status), ',' order by j.id) from procrastinate_jobs j`)
					alone := two.start(end.alone, two.id).waits()
					one.do(`rollback`)
					alone.want(``)
					db.want(end.status+` 2`, statuses)
					db.wantHealthy()
				},
				guards: []guard{
					without("skip locked", end.file, bodyLock[end.file], cut(bodyLock[end.file], " skip locked")),
					without("the wait for one job", "finish_jobs.sql", "if cardinality(p_job_ids) = 1 then", "if false then"),
				},
			}.test(t)
		})
	}
}

// The batch takes what it can have at once, and so waits for nobody that may wait for it.
func TestFinishAgainstCancelDoesNotDeadlock(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t')) from generate_series(1, 2)`)
			two.fetches(9, `1,2`)
			one.do(`begin`)
			one.do(`select procrastinate_cancel_job(2, abort => true)`)
			two.do(`begin`)
			two.want(`2 busy`, finish, two.id, `{1,2}`)
			abort := one.start(`select procrastinate_cancel_job(1, abort => true)`).waits()
			two.do(`commit`)
			abort.fails("PJ005")
			one.do(`rollback`)
			two.finishes(`{2}`)
			db.wantHealthy()
		},
		guards: []guard{
			without("skip locked", "finish_jobs.sql", bodyLock["finish_jobs.sql"], cut(bodyLock["finish_jobs.sql"], " skip locked")),
		},
	}.test(t)
}

// The worker gives the job back and fetches it again, on another connection, while it is about to finish it: the lock is held
// by another row than the one in the snapshot in which the finish locks the body, and the next statement sees it.
func TestFinishOfAJobThatWasFetchedAnewFreesItsLock(t *testing.T) {
	const body = "select j.ctid as place, j.id, j.lock_key, case when not v_keep then j.task_name end as task_name\n        from procrastinate_jobs j"
	race{
		windows: []edit{{"finish_jobs.sql", "where j.id = any (p_job_ids)", "where (select gate()) and j.id = any (p_job_ids)"}},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => 'l')) from generate_series(1, 2)`)
			two.fetches(1, `1`)
			one.id = two.id
			db.shut()
			end := two.stops(finish, two.id, `{1}`)
			one.want(``, `select string_agg(r.outcome, ',') from procrastinate_return_jobs($1, '{1}') r`, one.id)
			one.fetches(1, `1`)
			db.open()
			end.want(``)
			db.want(`todo 1,succeeded 1`, statuses)
			one.fetches(1, `2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a statement of its own for the held rows", "finish_jobs.sql", "perform procrastinate_leave_locks(v_locked)",
				"insert into procrastinate_tokens (lane, id) select 0, j.lock_key from procrastinate_jobs j where j.id = any (v_locked)").
				and("finish_jobs.sql", "    select\n        array_agg(b.place)", `
					with body as materialized (
						select x.id from procrastinate_jobs x where x.id = any (p_job_ids) for update skip locked
					), gone as (
						delete from procrastinate_lock_queue q where q.job_id in (select x.id from body x)
					)
					select array_agg(b.place)`),
			without("the place of what was locked", "finish_jobs.sql", body, strings.Replace(body, "j.ctid", "seen.ctid", 1)+" join procrastinate_jobs seen using (id)").
				and("finish_jobs.sql", bodyLock["finish_jobs.sql"], strings.Replace(bodyLock["finish_jobs.sql"], "update", "update of j", 1)),
		},
	}.test(t)
}

// Each waits for a fetch that has the job open, and then sees what became of it.
func TestRunningJobIsNeitherCancelledNorChanged(t *testing.T) {
	for _, act := range []struct{ name, sql, file string }{
		{"cancel", `select procrastinate_cancel_job(1)`, "cancel_job.sql"},
		{"change", `select procrastinate_change_job(1, queue => 'q')`, "change_job.sql"},
	} {
		t.Run(act.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select procrastinate_defer('t', lock => 'l')`)
					one.do(`begin`)
					one.fetches(9, `1`)
					other := two.start(act.sql).waits()
					one.do(`commit`)
					other.fails("PJ005")
					one.finishes(`{1}`)
					db.wantHealthy()
				},
				guards: []guard{
					without("the body's lock", act.file, "from procrastinate_jobs j where j.id = job_id for update", "from procrastinate_jobs j where j.id = job_id"),
				},
			}.test(t)
		})
	}
}

func TestJobIsRetriedOnce(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_cancel_job(procrastinate_defer('t', queueing_lock => 'q'))`)
			one.do(`begin`)
			one.do(`select procrastinate_retry_job(1)`)
			other := two.start(`select procrastinate_retry_job(1)`).waits()
			one.do(`commit`)
			other.fails("PJ005")
			db.want(`cancelled,retried`, `select string_agg(a.kind::text, ',' order by a.id) from procrastinate_attempts a`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the body's lock", "retry_job.sql", "from procrastinate_jobs j where j.id = job_id for update", "from procrastinate_jobs j where j.id = job_id"),
		},
	}.test(t)
}

// The job must not go back to todo without a look at what is being asked of it.
func TestAbortThatIsAskedForWhileItsJobGoesBackIsNotForgotten(t *testing.T) {
	for _, back := range []struct {
		name, sql, want string
		guard           guard
	}{
		{"snooze", `select procrastinate_snooze_job($1, 1, '1 h')`, `aborted`,
			without("the body's lock", "return_jobs.sql", "j.worker_id = p_worker_id for update;", "j.worker_id = p_worker_id;")},
		{"fail", `select procrastinate_fail_job($1, 1, 'boom', retry_in => '0')`, `aborted`,
			without("the body's lock", "finish_jobs.sql", "j.worker_id = p_worker_id for update;", "j.worker_id = p_worker_id;").
				and("fail_jobs.sql", "for update skip locked", "")},
	} {
		t.Run(back.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select procrastinate_defer('t', max_attempts => 3)`)
					two.fetches(9, `1`)
					one.do(`begin`)
					one.do(`select procrastinate_cancel_job(1, abort => true)`)
					end := two.start(back.sql, two.id).waits()
					one.do(`commit`)
					end.want(back.want)
					db.wantHealthy()
				},
				guards: []guard{back.guard},
			}.test(t)
		})
	}
}

// Another waiting job has the lock by then: the column becomes NULL, and the attempt's row keeps the value.
func TestQueueingLockOfAnOpenDeferHoldsUpNobody(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', queueing_lock => 'q', max_attempts => 2)`)
			two.fetches(9, `1`)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t', queueing_lock => 'q')`)
			two.want(`todo`, `select procrastinate_fail_job($1, 1, 'boom', retry_in => '0')`, two.id)
			one.do(`commit`)
			db.want(`1:,2:q`, `select string_agg(concat(j.id, ':', j.queueing_lock), ',' order by j.id) from procrastinate_jobs j`)
			db.want(`q`, `select a.queueing_lock from procrastinate_attempts a`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the lock timeout", "end_jobs.sql", "set lock_timeout = '10ms'", ""),
		},
	}.test(t)
}
