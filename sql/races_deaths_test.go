//go:build integration

package sql_test

import "testing"

// A beat that is on its way when a tick finds the worker silent saves it.
func TestBeatBeforeTheRemovalSavesTheWorker(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			one.fetches(9, `1`)
			db.do(silent, one.id)
			one.do(`begin`)
			one.do(`select procrastinate_beat($1)`, one.id)
			two.do(`select procrastinate_tick()`)
			one.do(`commit`)
			two.do(`select procrastinate_tick()`)
			one.finishes(`{1}`)
			db.wantHealthy()
		},
		guards: []guard{
			without("skip locked", "rescue_jobs.sql", "        for update skip locked);\nend;", "        for update);\nend;"),
			without("the note of the beat", "register_worker.sql", "set last_heartbeat = clock_timestamp(), spared", "set spared"),
		},
	}.test(t)
}

// A beat that comes while a tick removes the worker waits, and learns what became of it.
func TestBeatBesideTheRemovalWaitsForIt(t *testing.T) {
	for _, end := range []struct {
		name  string
		want  func(db, one *session, beat *pending)
		guard guard
	}{
		{"commit", func(db, _ *session, beat *pending) {
			beat.fails("PJ003")
			db.want(`todo 1`, statuses)
		}, without("a look whether it is there", "register_worker.sql",
			"    if not found then\n        perform procrastinate_no_such_worker(worker_id);\n    end if;\n    return query", "    return query")},
		{"rollback", func(db, one *session, beat *pending) {
			beat.want(``)
			db.do(`select procrastinate_tick()`)
			one.finishes(`{1}`)
		}, without("the note of the beat", "register_worker.sql", "set last_heartbeat = clock_timestamp(), spared", "set spared")},
	} {
		t.Run(end.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select procrastinate_defer('t')`)
					one.fetches(9, `1`)
					db.do(silent, one.id)
					two.do(`begin`)
					two.do(`select procrastinate_tick()`)
					beat := one.start(`select min(b) from procrastinate_beat($1) b`, one.id).waits()
					two.do(end.name)
					end.want(db, one, beat)
					db.wantHealthy()
				},
				guards: []guard{end.guard},
			}.test(t)
		})
	}
}

// A tick in a transaction that stays open keeps the worker that it removed, and its jobs, and nothing else: other ticks promote,
// remove other workers, take their jobs back, and somebody fetches those.
func TestOpenRescueHoldsUpNobody(t *testing.T) {
	race{
		run: func(db *session) {
			one, two, three, four := db.session(), db.session(), db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => l, priority => -n::integer)) from unnest(array[null, 'a', null, 'b']) with ordinality u(l, n)`)
			db.do(`select procrastinate_defer('t', schedule_in => '1 h')`)
			two.fetches(2, `1,2`)
			three.fetches(2, `3,4`)
			db.do(silent, two.id)
			one.do(`begin`)
			one.do(`select procrastinate_tick()`)
			one.want(`doing 2,todo 3`, `select string_agg(concat_ws(' ', s.status, s.n), ',' order by s.status desc) from (select j.status, count(*) as n from procrastinate_jobs j group by 1) s`)
			db.do(silent, three.id)
			db.do(due, 5)
			db.do(`select procrastinate_tick()`)
			four.fetches(9, `3,4,5`)
			one.do(`rollback`)
			db.do(`select procrastinate_tick()`)
			four.fetches(9, `1,2`)
			four.finishes(`{1,2,3,4,5}`)
			db.wantHealthy()
		},
		guards: []guard{
			without("skip locked of workers", "rescue_jobs.sql", "        for update skip locked);\nend;", "        for update);\nend;"),
		},
	}.test(t)
}
