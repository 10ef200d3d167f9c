//go:build integration

package sql_test

import "testing"

const (
	// longAgo is when all jobs ended that did, and when they were to be deleted.
	longAgo = `update procrastinate_jobs j set finished_at = now() - interval '1 year' where j.finished_at is not null`
	overdue = `update procrastinate_retention r set delete_at = now()`

	// deleteAgain makes a tick delete at once.
	deleteAgain = `update procrastinate_ticks t set pruned_at = '-infinity'`

	// bound is what a test takes out to wait longer.
	bound = `set lock_timeout = '10ms'`

	noted = `select string_agg(distinct i::text, ',' order by i::text) from procrastinate_retention r cross join unnest(r.job_ids) i where r.delete_at between now() + $1::interval - interval '20 s' and now() + $1::interval`
)

// ended makes jobs that were cancelled long ago, and whose time has come.
func (s *session) ended(jobs int) {
	s.t.Helper()
	s.do(`select count(procrastinate_cancel_job(procrastinate_defer('t'))) from generate_series(1, $1)`, jobs)
	s.do(longAgo)
	s.do(overdue)
}

// A job that somebody has open delays nobody, and goes later: whatever becomes of it, a minute later somebody looks.
func TestDeletionGoesPastAnOpenJob(t *testing.T) {
	guards := []guard{
		withoutSkip("bodies", "retain_jobs.sql", "where x.id = i and x.finished_at is not null\n            for update").and("retain_jobs.sql", bound, ""),
		without("another note", "retain_jobs.sql", "cardinality(v_gone) + cardinality(v_refused) < least(v_from - 1, cardinality(p_job_ids))", "false"),
	}
	for _, end := range []struct{ name, how, jobs string }{
		{"retried", `commit`, `1 todo`},
		{"left", `rollback`, ``},
	} {
		t.Run(end.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one := db.session()
					db.ended(2)
					one.do(`begin`)
					one.do(`select procrastinate_retry_job(1)`)
					db.do(`select procrastinate_tick()`)
					db.want(`1 cancelled`, `select string_agg(concat_ws(' ', j.id, j.status), ',') from procrastinate_jobs j`)
					db.want(`1`, noted, `1 min`)
					one.do(end.how)
					db.do(overdue)
					db.do(deleteAgain)
					db.do(`select procrastinate_tick()`)
					db.want(end.jobs, `select string_agg(concat_ws(' ', j.id, j.status), ',') from procrastinate_jobs j`)
					db.want(``, noted, `1 min`)
					db.wantHealthy()
				},
				guards: guards,
			}.test(t)
		})
	}
}

// Between the look at the note and the lock on the job it is retried, or ends again.
func TestDeletionLooksAtTheJobAsItIs(t *testing.T) {
	for _, meanwhile := range []struct{ name, do, want, noted string }{
		{"retried", `select procrastinate_retry_job(1)`, `todo 1`, ``},
		{"ended again", `with again as (select procrastinate_retry_job(1)) select procrastinate_cancel_job(1) from again`, `cancelled 1`, `1`},
	} {
		t.Run(meanwhile.name, func(t *testing.T) {
			race{
				windows: []edit{{"retain_jobs.sql", bound, ""}, {"retain_jobs.sql", "where x.id = i and x.finished_at is not null", "where (select gate()) and x.id = i and x.finished_at is not null"}},
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.ended(1)
					db.shut()
					tick := two.stops(`select procrastinate_tick()`)
					one.do(meanwhile.do)
					db.open()
					tick.want(`00:00:01`)
					db.want(meanwhile.want, statuses)
					db.want(meanwhile.noted, noted, `30 days`)
					db.wantHealthy()
				},
				guards: []guard{
					without("the lock", "retain_jobs.sql", "x.finished_at is not null\n            for update skip locked", "x.finished_at is not null").
						and("retain_jobs.sql", "select x.ctid as place, x.task_name", "select x.id, x.task_name").
						and("retain_jobs.sql", "select o.place", "select o.id").
						and("retain_jobs.sql", "where j.ctid = any (array(", "where j.id = any (array("),
				},
			}.test(t)
		})
	}
}

// An open tick that deletes keeps others only from deleting. What it took comes back when it is rolled back.
func TestOpenTickThatDeletesHoldsUpNoOtherTick(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.ended(2)
			one.do(`begin`)
			one.do(`select procrastinate_tick()`)
			db.do(`select procrastinate_defer('t', schedule_in => '1 h')`)
			db.do(due, 3)
			two.do(`select procrastinate_tick()`)
			two.fetches(9, `3`)
			db.want(`doing 1,cancelled 2`, statuses)
			one.do(`rollback`)
			two.do(`select procrastinate_tick()`)
			db.want(`doing 1`, statuses)
			db.wantHealthy()
		},
		guards: []guard{
			without("a mere try", "retain_jobs.sql", "not pg_try_advisory_xact_lock('procrastinate_retention'::regclass::oid::integer, 0)",
				"pg_advisory_xact_lock('procrastinate_retention'::regclass::oid::integer, 0) is null"),
		},
	}.test(t)
}

// A note, and a lease, of times that the clockwork has gone past are found by its look from the beginning: what was open
// for long, or was passed over because somebody had it.
func TestLateNoteIsFound(t *testing.T) {
	const sweep = `update procrastinate_ticks t set tidied_at = '-infinity', swept_at = '-infinity', pruned_at = '-infinity'`
	noSweep := without("the look from the beginning", "tidy.sql", "p_tick.pruned_until := '-infinity'", "null")
	for _, late := range []struct {
		name   string
		run    func(db, one *session)
		guards []guard
	}{
		{"note of a long transaction", func(db, one *session) {
			one.do(`begin`)
			one.do(`select procrastinate_cancel_job(procrastinate_defer('t'))`)
			one.do(longAgo)
			one.do(`update procrastinate_retention r set delete_at = now() - interval '1 min'`)
			db.ended(1)
			db.do(`select procrastinate_tick()`)
			one.do(`commit`)
		}, []guard{noSweep}},
		{"note that somebody has", func(db, one *session) {
			db.ended(1)
			one.do(`begin`)
			one.do(`select from procrastinate_retention for update`)
			db.do(`select procrastinate_tick()`)
			one.do(`rollback`)
			db.ended(1)
			db.do(`update procrastinate_retention r set delete_at = now() - interval '1 min' where 1 = any (r.job_ids)`)
			db.do(deleteAgain)
			db.do(`select procrastinate_tick()`)
		}, []guard{noSweep, withoutSkip("notes", "retain_jobs.sql", "where x.ctid = any (v_places) for update")}},
		{"lease of a long fetch", func(db, one *session) {
			db.do(`select procrastinate_defer('t')`)
			one.worker()
			one.do(`begin`)
			one.fetches(9, `1`)
			one.do(`update procrastinate_leases l set at = now() - interval '1 min'`)
			db.do(`update procrastinate_ticks t set tidied_at = '-infinity', swept_at = clock_timestamp()`)
			db.do(`select procrastinate_tick()`)
			one.do(`commit`)
			one.finishes(`{1}`)
			db.do(longAgo)
			db.do(sweep)
			db.do(`select procrastinate_tick()`)
			db.do(overdue)
		}, []guard{without("the look from the beginning", "tidy.sql", "clock_timestamp();\n        p_tick.tidied_lease := '-infinity';", "clock_timestamp();")}},
	} {
		t.Run(late.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					late.run(db, db.session())
					db.want(`1`, `select count(*) from procrastinate_jobs`)
					db.wantHealthy()
					db.do(sweep)
					db.do(`select procrastinate_tick()`)
					db.want(`0`, `select count(*) from procrastinate_jobs`)
					db.wantHealthy()
				},
				guards: late.guards,
			}.test(t)
		})
	}
}

// A foreign key of users' leads to rows of theirs, which somebody may have open.
func TestDeletionWaitsForNoRowOfUsers(t *testing.T) {
	race{
		run: func(db *session) {
			one := db.session()
			defer func() {
				_ = one.try(`rollback`)
				_ = db.try(`drop table receipts`)
			}()
			db.do(`create table receipts (job_id bigint primary key references procrastinate_jobs on delete cascade)`)
			db.ended(20)
			db.do(`insert into receipts select j.id from procrastinate_jobs j`)
			one.do(`begin`)
			one.do(`select from receipts r where r.job_id = 1 for update`)
			db.do(`select procrastinate_tick()`)
			db.want(`1`, `select string_agg(j.id::text, ',') from procrastinate_jobs j`)
			db.want(`1`, noted, `1 min`)
			one.do(`commit`)
			db.do(overdue)
			db.do(deleteAgain)
			db.do(`select procrastinate_tick()`)
			db.want(`0`, `select count(*) from procrastinate_jobs`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a bound on waits for locks", "retain_jobs.sql", bound, ""),
		},
	}.test(t)
}
