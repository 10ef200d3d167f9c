//go:build integration

package sql_test

import "testing"

// A fetch that looked at tokens and found nothing to start drops those that are good for nothing, by the look of it.

func TestSweepTakesNoTokenOfAJobThatComesBack(t *testing.T) {
	race{
		windows: []edit{sweeping, patient},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_cancel_job(procrastinate_defer('t')) from generate_series(1, 2)`)
			db.shut()
			start := two.stops(fetch, two.worker(), 1)
			one.do(`select procrastinate_retry_job(2)`)
			db.open()
			start.want(`2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a token of the retry's own", "hint_jobs.sql", noToken, noTokenWhereOneIs),
		},
	}.test(t)
}

func TestSweepTakesNoTokenOfALockThatIsEntered(t *testing.T) {
	const one, many = "    insert into procrastinate_tokens (lane, id)\n    values (", "from job j\n        join lane l using (queue_name, task_name, priority, kind)"
	for _, defers := range []struct{ name, sql, token, noToken string }{
		{"one", `select count(procrastinate_defer('t', lock => l)) from unnest('{b,a}'::text[]) l`, one,
			"    if (select 1 from procrastinate_tokens t where t.id = coalesce(v_key, v_id) limit 1) = 1 then\n        return v_id;\n    end if;\n" + one},
		{"many", `select procrastinate_defer_many('[{"task": "t", "lock": "b"}, {"task": "t", "lock": "a"}]')`, many,
			many + " where (select 1 from procrastinate_tokens t where t.id = coalesce(j.lock_key, j.id) limit 1) is null"},
	} {
		t.Run(defers.name, func(t *testing.T) {
			race{
				windows: []edit{sweeping, patient},
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select procrastinate_cancel_job(procrastinate_defer('t', lock => l)) from unnest('{b,a}'::text[]) l`)
					db.do(`delete from procrastinate_tokens t where t.lane = 0`)
					db.shut()
					start := two.stops(fetch, two.worker(), 1)
					one.do(defers.sql)
					db.open()
					start.want(`3`)
					two.fetches(9, `4`)
					db.wantHealthy()
				},
				guards: []guard{without("a token of the new job's own", "new_jobs.sql", defers.token, defers.noToken)},
			}.test(t)
		})
	}
}

func TestSweepTakesNoTokenOfALockThatIsLeft(t *testing.T) {
	race{
		windows: []edit{sweeping, patient},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => l)) from unnest('{b,a}'::text[]) l`)
			one.fetches(9, `1,2`)
			db.do(`select count(procrastinate_defer('t', lock => l)) from unnest('{b,a}'::text[]) l`)
			db.shut()
			start := two.stops(fetch, two.worker(), 1)
			one.finishes(`{1,2}`)
			db.open()
			start.want(`3`)
			two.fetches(9, `4`)
			db.wantHealthy()
		},
		guards: []guard{withoutHandOver},
	}.test(t)
}

// An open fetch has the tokens that it swept, and not their keys. They come first, and are looked past.
func TestOpenSweepHidesNoOther(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_cancel_job(procrastinate_defer('t', lock => l)) from unnest('{a,b,c}'::text[]) l`)
			db.do(`delete from procrastinate_tokens t where t.lane = 0`)
			one.do(`begin`)
			one.fetches(1, ``)
			db.do(`select procrastinate_defer('t', lock => 'z')`)
			two.fetches(1, `4`)
			one.do(`commit`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the token before the key", "choose_locked.sql", "for update skip locked", "").
				and("choose_locked.sql", "limit p_max_keys\n    ) g", "limit p_max_keys\n    ) g where (select 1 from procrastinate_tokens t where t.ctid = g.place for update skip locked) = 1"),
		},
	}.test(t)
}

func TestSweepWaitsForNobody(t *testing.T) {
	race{
		windows: []edit{patient},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_cancel_job(procrastinate_defer('t')) from generate_series(1, 3)`)
			db.do(`select procrastinate_defer('t')`)
			one.do(`begin`)
			one.do(`select from procrastinate_tokens t where t.id = 2 for update`)
			two.fetches(1, `4`)
			one.do(`rollback`)
			db.wantHealthy()
		},
		guards: []guard{
			without("skip locked of tokens", "fetch_jobs.sql", "for update skip locked));", "for update));"),
		},
	}.test(t)
}
