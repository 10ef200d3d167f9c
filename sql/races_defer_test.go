//go:build integration

package sql_test

import "testing"

func TestSecondDeferWithAQueueingLockWaitsForTheFirst(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			one.do(`begin`)
			one.do(`select procrastinate_defer('t', queueing_lock => 'q')`)
			other := two.start(`select procrastinate_defer('t', queueing_lock => 'q', on_conflict => 'skip')`).waits()
			one.do(`commit`)
			other.want(`1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a second look", "defer.sql", "for v_try in 1 .. 100 loop", "for v_try in 1 .. 1 loop"),
		},
	}.test(t)
}

// What a fetch has started is not given other args: the defer waits for it, and brings a job of its own.
func TestRunningJobIsNotReplaced(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', queueing_lock => 'q')`)
			one.do(`begin`)
			one.fetches(9, `1`)
			other := two.start(`select procrastinate_defer('t', '{"a": 1}', queueing_lock => 'q', on_conflict => 'replace')`).waits()
			one.do(`commit`)
			other.want(`2`)
			db.want(`{}`, `select j.args from procrastinate_jobs j where j.id = 1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the waiting job's lock", "defer.sql", "j.queueing_lock = p_job.queueing_lock\n    for update;", "j.queueing_lock = p_job.queueing_lock;"),
		},
	}.test(t)
}

// One has the queueing lock a, and is about to take b; the other names b first.
func TestDeferManyInOppositeOrdersDoesNotDeadlock(t *testing.T) {
	const stop = `create or replace trigger gate before insert on procrastinate_queueing_locks for each row when (new.queueing_lock = 'b') execute function gate_trigger()`
	for _, many := range []struct {
		name, ab, ba string
		second       func(p *pending)
		guard        guard
	}{
		{
			"skip",
			`[{"task": "t", "queueing_lock": "a", "on_conflict": "skip"}, {"task": "t", "queueing_lock": "b", "on_conflict": "skip"}]`,
			`[{"task": "t", "queueing_lock": "b", "on_conflict": "skip"}, {"task": "t", "queueing_lock": "a", "on_conflict": "skip"}]`,
			func(p *pending) { p.want(`2,1`) },
			without("the order", "defer.sql", "order by n.queueing_lock, n.ordinality", "order by n.ordinality"),
		}, {
			"error",
			`[{"task": "t", "queueing_lock": "a"}, {"task": "t", "queueing_lock": "b"}]`,
			`[{"task": "t", "queueing_lock": "b"}, {"task": "t", "queueing_lock": "a"}]`,
			func(p *pending) { p.fails("23505") },
			without("the order", "new_jobs.sql", "        order by j.queueing_lock\n", ""),
		},
	} {
		t.Run(many.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(stop)
					db.shut()
					first := one.stops(deferList, many.ab)
					second := two.start(deferList, many.ba).waits()
					db.open()
					first.want(`1,2`)
					many.second(second)
					db.wantHealthy()
				},
				guards: []guard{many.guard},
			}.test(t)
		})
	}
}

const deferList = `select string_agg(i::text, ',') from procrastinate_defer_many($1::jsonb) i`

// Somebody's hand on a lane means opening another one.
func TestLaneThatIsBeingOpenedHoldsUpNobody(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(lane)
			db.do(`update procrastinate_lanes l set state = 'parked' where l.lane > 0`)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			db.do(`select procrastinate_defer('t')`)
			two.fetches(9, `2`)
			one.do(`commit`)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("skip locked", "lane_for.sql", "for update skip locked", "for update"),
			withoutOpening,
		},
	}.test(t)
}
