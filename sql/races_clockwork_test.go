//go:build integration

package sql_test

import "testing"

// tickLongAgo makes the next tick note how far it comes, and tidy.
const tickLongAgo = `update procrastinate_ticks t set at = t.at - interval '1 min', tidied_at = t.tidied_at - interval '1 min'`

// The agenda's row is of a time that a tick has gone past when it is committed: by a transaction that the tick saw
// running, by the one that ticked, or by a later one, for clocks step back.
func TestLateAgendaCommitIsFound(t *testing.T) {
	for _, late := range []struct {
		name  string
		run   func(db, one *session)
		guard guard
	}{
		{"running", func(db, one *session) {
			one.do(`begin`)
			one.do(`select procrastinate_defer('t', schedule_in => '1 h')`)
			db.do(`select pg_current_xact_id()`)
			db.do(`select procrastinate_tick()`)
		}, without("the running transactions", "promote_agenda.sql", "select pg_snapshot_xip(v_snapshot) union ", "")},
		{"own", func(db, one *session) {
			one.do(`begin`)
			one.do(`select pg_current_xact_id()`)
			db.do(`select pg_current_xact_id()`)
			one.do(`select procrastinate_tick()`)
			one.do(`select procrastinate_defer('t', schedule_in => '1 h')`)
		}, without("the own transaction", "promote_agenda.sql", " union select pg_current_xact_id_if_assigned() where pg_current_xact_id_if_assigned() is not null", "")},
		{"later", func(db, one *session) {
			db.do(`select procrastinate_tick()`)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t', schedule_in => '1 h')`)
		}, without("the later transactions", "promote_agenda.sql", "select from procrastinate_agenda a where a.xid >= p_tick.agenda_xid and", "select from procrastinate_agenda a where false and")},
	} {
		t.Run(late.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(tickLongAgo)
					late.run(db, one)
					one.do(`update procrastinate_agenda a set at = now() - interval '1 min'`)
					one.do(`update procrastinate_jobs j set scheduled_at = now() - interval '1 min'`)
					one.do(`commit`)
					db.do(`select procrastinate_tick()`)
					two.fetches(9, `1`)
					db.wantHealthy()
				},
				guards: []guard{late.guard},
			}.test(t)
		})
	}
}

func TestOpenTickHoldsUpNoOtherTick(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', schedule_in => '1 h')) from generate_series(1, 2)`)
			db.do(tickLongAgo)
			db.do(due, 1)
			one.do(`begin`)
			one.do(`select procrastinate_tick()`)
			db.do(due, 2)
			two.do(`select procrastinate_tick()`)
			two.fetches(9, `2`)
			one.do(`rollback`)
			two.do(`select procrastinate_tick()`)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("skip locked", "promote_agenda.sql", "select s.place from seen s))\n            for update skip locked", "select s.place from seen s))\n            for update"),
			without("staying where it could not deal with all", "promote_agenda.sql", "if not v_any or v_seen = v_dealt then", "if true then"),
		},
	}.test(t)
}

// One owner: who holds the body writes its hints. On an old snapshot the deleter does not see what the promotion wrote;
// the next look at the lock sweeps that away.
func TestPromotionBesideADeleteLeavesNoOrphan(t *testing.T) {
	const job = `select procrastinate_defer('t', lock => 'l', schedule_in => '1 h')`
	stays := without("the sweep of a place without a job", "choose_locked.sql", "(select 1 from procrastinate_jobs j where j.id = h.job_id) is null", "false")
	for _, order := range []struct {
		name   string
		run    func(db, one, two *session)
		guards []guard
	}{
		{"delete first", func(db, one, two *session) {
			one.do(`begin`)
			one.do(`delete from procrastinate_jobs`)
			two.do(`select procrastinate_tick()`)
			one.do(`commit`)
		}, []guard{without("the body", "promote_agenda.sql", "where j.id = d.id for update skip locked", "where j.id = d.id").
			and(stays.edits[0].file, stays.edits[0].old, stays.edits[0].new)}},
		{"promotion first", func(db, one, two *session) {
			one.do(`begin`)
			one.do(`select from procrastinate_jobs`)
			two.do(`select procrastinate_tick()`)
			one.do(`delete from procrastinate_jobs`)
			one.do(`commit`)
		}, []guard{without("its leave of the lock queue", "jobs_deleted.sql", "where j.lock_key is not null and j.status in ('todo', 'doing')));", "where false));").
			and(stays.edits[0].file, stays.edits[0].old, stays.edits[0].new)}},
		{"on an old snapshot", func(db, one, two *session) {
			one.do(`begin isolation level repeatable read`)
			one.do(`select from procrastinate_jobs`)
			two.do(`select procrastinate_tick()`)
			one.do(`delete from procrastinate_jobs`)
			one.do(`commit`)
		}, []guard{stays}},
	} {
		t.Run(order.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(job)
					db.do(due, 1)
					order.run(db, one, two)
					db.do(`select procrastinate_defer('t', lock => 'l')`)
					two.fetches(9, `2`)
					db.wantHealthy()
				},
				guards: order.guards,
			}.test(t)
		})
	}
}

func TestPromotionOfABusyJobIsPutOff(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', schedule_in => '1 h')`)
			db.do(due, 1)
			one.do(`begin`)
			one.do(`delete from procrastinate_jobs`)
			db.do(tickLongAgo)
			two.do(`select procrastinate_tick()`)
			one.do(`rollback`)
			db.do(due, 1)
			two.do(`select procrastinate_tick()`)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("another row in the agenda", "promote_agenda.sql", "where d.id not in (select t.id from taken t)\n", "where false\n"),
			without("skip locked", "promote_agenda.sql", "where j.id = d.id for update skip locked", "where j.id = d.id for update"),
		},
	}.test(t)
}

// What somebody has open is gone past: a lane, a lease, a note of a tick.
func TestTidyingWaitsForNobody(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			two.fetches(9, `1`)
			db.do(`update procrastinate_leases l set at = now() - interval '1 h'`)
			db.do(`insert into procrastinate_lanes (queue_name, task_name, priority, kind, state, opened_at, settled_xid)
			       values ('a', 't', 0, 'plain', 'open', now() - interval '1 h', null), ('b', 't', 0, 'plain', 'closed', now(), null),
			              ('c', 't', 0, 'plain', 'closed', now(), '3')`)
			db.do(tickLongAgo)
			one.do(`begin`)
			one.do(`select from procrastinate_lanes l where l.lane > 0 for update`)
			one.do(`select from procrastinate_leases for update`)
			one.do(`select from procrastinate_ticks for update`)
			db.do(`select procrastinate_tick()`)
			db.wantHealthy()
		},
		guards: []guard{
			withoutSkip("lanes to settle", "tidy.sql", "x.settled_xid is null\n                for update"),
			withoutSkip("lanes to park", "tidy.sql", "where h.lane = x.lane)\n        for update"),
			withoutSkip("lanes to close", "tidy.sql", "f.at >= clock_timestamp() - c_idle)\n        for update"),
			withoutSkip("leases", "tidy.sql", "limit c_limit + 1\n            for update"),
			withoutSkip("older ticks", "tick.sql", "x.n > v_last.n - 100 for update"),
		},
	}.test(t)
}

// A worker whose jobs an open transaction takes back is noted as removed for all others. To note it again would be to wait.
func TestTidyingWaitsForNoRescue(t *testing.T) {
	race{
		run: func(db *session) {
			one, two, three := db.session(), db.session(), db.session()
			db.do(`select count(procrastinate_defer('t')) from generate_series(1, 2)`)
			two.fetches(1, `1`)
			three.fetches(1, `2`)
			db.do(`update procrastinate_jobs j set worker_id = null where j.id = 2`)
			db.do(`update procrastinate_leases l set worker_id = 0 where l.worker_id = $1`, three.id)
			db.do(`update procrastinate_leases l set at = now() - interval '1 h'`)
			db.do(`delete from procrastinate_workers`)
			db.do(`insert into procrastinate_removed_workers (worker_id) values (0)`)
			one.do(`begin`)
			one.do(`select procrastinate_tick()`)
			one.want(`todo 2`, statuses)
			four := db.session() // whose job somebody takes off it
			db.do(`select procrastinate_defer('t')`)
			four.fetches(1, `3`)
			db.do(`update procrastinate_jobs j set worker_id = null where j.id = 3`)
			db.do(`update procrastinate_leases l set at = now() - interval '1 h' where l.worker_id = $1`, four.id)
			// one has deleted the ticks that it knows
			db.do(`insert into procrastinate_ticks (at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease)
			       select t.at, t.agenda_at, t.agenda_xid, t.agenda_late, '-infinity', 0, '-infinity' from procrastinate_ticks t order by t.n desc limit 1`)
			db.do(`select procrastinate_tick()`)
			one.do(`rollback`)
			db.do(`select procrastinate_tick()`)
			db.want(`todo 3`, statuses)
			db.wantHealthy()
		},
		guards: []guard{
			without("a look for those that are noted", "tidy.sql", "      and not exists (select from procrastinate_removed_workers r where r.worker_id = l.worker_id)\n", ""),
			without("a look for nobody", "note_jobs.sql", "          and not exists (select from procrastinate_removed_workers r where r.worker_id = 0)", ""),
		},
	}.test(t)
}

// Any number of jobs may be due at one instant, midnight perhaps. The position stays there while there are more.
func TestTickComesAgainAtOnceForOneInstant(t *testing.T) {
	race{
		run: func(db *session) {
			db.do(`insert into procrastinate_agenda (at, id) select now() - interval '1 s', n from generate_series(1, 20001) n`)
			for _, span := range []string{"00:00:00", "00:00:00", "00:00:01"} {
				db.do(tickLongAgo)
				db.want(span, `select procrastinate_tick()`)
			}
			db.want(`0`, `select count(*) from procrastinate_agenda`)
		},
		guards: []guard{
			without("the transactions", "tick.sql", "(v_tick.agenda_at, v_tick.agenda_xid, v_tick.agenda_late) = (v_last.agenda_at, v_last.agenda_xid, v_last.agenda_late)", "v_tick.agenda_at = v_last.agenda_at"),
		},
	}.test(t)
}

// A transaction may bring any number of rows that a tick has gone past. They are promoted a part at a time all the same.
func TestManyLateRowsArePromotedInParts(t *testing.T) {
	race{
		run: func(db *session) {
			one := db.session()
			one.do(`begin`)
			one.do(`insert into procrastinate_agenda (at, id) select now() - interval '1 h', n from generate_series(1, 20001) n`)
			db.do(`select pg_current_xact_id()`)
			db.do(tickLongAgo)
			db.do(`select procrastinate_tick()`)
			one.do(`commit`)
			for _, left := range []struct{ span, rows string }{{"00:00:00", "10001"}, {"00:00:00", "1"}, {"00:00:01", "0"}} {
				db.do(tickLongAgo)
				db.want(left.span, `select procrastinate_tick()`)
				db.want(left.rows, `select count(*) from procrastinate_agenda`)
			}
		},
		guards: []guard{
			without("a limit", "promote_agenda.sql", "                order by l.at\n                limit c_limit\n", ""),
			without("going back to the others", "promote_agenda.sql", "when v_back is not null then v_back", ""),
		},
	}.test(t)
}

// The same for a row of the agenda, a body that is due, a token in the hand-over lane, the body of a lock's head.
func TestPromotingWaitsForNobody(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_cancel_job(procrastinate_defer('t', lock => l)) from unnest('{a,b}'::text[]) l`)
			db.do(`select count(procrastinate_defer('t', lock => l)) from unnest('{a,b}'::text[]) l`)
			db.do(`select count(procrastinate_defer('t', schedule_in => '1 h')) from generate_series(5, 7)`)
			for id := 5; id <= 7; id++ {
				db.do(due, id)
			}
			one.do(`begin`)
			one.do(`select from procrastinate_agenda a where a.id = 5 for update`)
			one.do(`select from procrastinate_jobs j where j.id in (4, 6) for update`)
			one.do(`select from procrastinate_tokens t where t.lane = 0 and t.id = (select j.lock_key from procrastinate_jobs j where j.id = 3) for update`)
			db.do(`select procrastinate_tick()`)
			two.fetches(9, `3,7`)
			db.wantHealthy()
		},
		guards: []guard{
			withoutSkip("rows of the agenda", "promote_agenda.sql", "select s.place from seen s))\n            for update"),
			withoutSkip("bodies", "promote_agenda.sql", "where j.id = d.id for update"),
			withoutSkip("tokens", "choose_locked.sql", "for update"),
			withoutSkip("heads", "choose_locked.sql", "where x.id = h.job_id\n            for update of x"),
		},
	}.test(t)
}

// The same for a worker to spare and one to remove, the note of one that was removed, a body to take back, and a lease
// that nobody needs any more.
func TestRescuingWaitsForNobody(t *testing.T) {
	race{
		run: func(db *session) {
			one, two, three := db.session(), db.session(), db.session()
			db.do(`select count(procrastinate_defer('t')) from generate_series(1, 2)`)
			two.fetches(1, `1`)
			three.fetches(1, `2`)
			three.finishes(`{2}`)
			db.do(`delete from procrastinate_workers`)
			db.do(`insert into procrastinate_removed_workers values (1000)`)
			db.do(`select procrastinate_register_worker('w', stalled_after => s::interval) from unnest('{30 s,10 min}'::text[]) s`)
			db.do(`update procrastinate_workers w set last_heartbeat = now() - interval '1 h'`)
			db.do(tickLongAgo)
			one.do(`begin`)
			one.do(`select from procrastinate_workers for update`)
			one.do(`select from procrastinate_removed_workers r where r.worker_id = 1000 for update`)
			one.do(`select from procrastinate_jobs for update`)
			one.do(`select from procrastinate_leases for update`)
			db.do(`select procrastinate_tick()`)
			db.want(`doing 1,succeeded 1`, statuses)
			db.wantHealthy()
		},
		guards: []guard{
			withoutSkip("workers to spare", "rescue_jobs.sql", "for no key update"),
			withoutSkip("workers to remove", "rescue_jobs.sql", "coalesce(x.spared_until < v_now, true)\n        for update"),
			withoutSkip("notes", "rescue_jobs.sql", "from procrastinate_removed_workers r for update"),
			withoutSkip("bodies", "rescue_jobs.sql", "x.worker_id is null)\n            for update"),
			withoutSkip("leases", "rescue_jobs.sql", "where x.worker_id = any (v_workers)\n        for update"),
		},
	}.test(t)
}

// An open transaction that tidies keeps only tidying waiting.
func TestOpenTidyHoldsUpNoTick(t *testing.T) {
	race{
		run: func(db *session) {
			one := db.session()
			db.do(tickLongAgo)
			one.do(`begin`)
			one.do(`select procrastinate_tick()`)
			db.do(`select procrastinate_tick()`)
			one.do(`commit`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a mere try for it", "tidy.sql", "not pg_try_advisory_xact_lock('procrastinate_lanes'::regclass::oid::integer, 0)",
				"pg_advisory_xact_lock('procrastinate_lanes'::regclass::oid::integer, 0) is null"),
		},
	}.test(t)
}
