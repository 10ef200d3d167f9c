//go:build integration

package sql_test

import "testing"

const (
	state = `select string_agg(l.state, ',' order by l.lane) from procrastinate_lanes l where l.lane > 0`
	park  = `select procrastinate_park_lanes()`
	// settled: all transactions that may have seen the lane open have ended, also those of other tests on this server
	settled = `select bool_and(l.settled_xid < pg_snapshot_xmin(pg_current_snapshot())) from procrastinate_lanes l where l.lane > 0`
)

// withoutOpening writes to a lane that nobody reads.
var withoutOpening = without("opening", "lane_for.sql", "\n      and l.state is not distinct from 'open'", "")

// unused lets five minutes go by.
func (s *session) unused() {
	s.t.Helper()
	s.do(`update procrastinate_lanes l set opened_at = now() - interval '1 h' where l.lane > 0`)
	s.do(`delete from procrastinate_floors`)
}

// parks closes the lanes, notes who may still write to them, waits for those and parks.
func (s *session) parks() {
	s.t.Helper()
	s.unused()
	s.do(park)
	s.do(park)
	s.becomes(`true`, settled)
	s.do(park)
	s.want(`parked`, state)
}

func TestLaneIsNotParkedWhileSomebodyMayWriteToIt(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(lane)
			db.unused()
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			for range 4 {
				db.do(park)
			}
			db.want(`closed`, state)
			one.do(`commit`)
			db.becomes(`true`, settled)
			db.do(park)
			two.fetches(9, `1`)
			db.parks()
			db.do(`select procrastinate_defer('t')`)
			db.want(`open`, state)
			two.fetches(9, `2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the wait for who may write", "tidy.sql", "where x.state = 'closed' and x.settled_xid < pg_snapshot_xmin(pg_current_snapshot())", "where x.state = 'closed'"),
			without("a look whether it is empty", "tidy.sql", "pg_snapshot_xmin(pg_current_snapshot())\n          and not exists (select from procrastinate_heads h where h.lane = x.lane)", "pg_snapshot_xmin(pg_current_snapshot())"),
			withoutOpening,
		},
	}.test(t)
}

// The id of a transaction that had it before the lane was closed says nothing of who may write to the lane.
func TestLaneIsSettledByATransactionThatSawItClosed(t *testing.T) {
	race{
		run: func(db *session) {
			one, two, three := db.session(), db.session(), db.session()
			db.do(lane)
			db.unused()
			three.do(`begin`)
			xid := three.value(`select pg_current_xact_id()`)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			db.do(park)
			three.do(park)
			three.do(`commit`)
			db.becomes(`true`, `select pg_snapshot_xmin(pg_current_snapshot()) > $1`, xid)
			db.do(park)
			db.do(park)
			one.do(`commit`)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("an id of its own", "tidy.sql", "if pg_current_xact_id_if_assigned() is null then", "if true then"),
		},
	}.test(t)
}

// A writer on an old snapshot sees the lane open long after it was parked.
func TestJobThatIsDeferredToAParkedLaneIsFoundByTick(t *testing.T) {
	for _, defers := range []struct {
		name, before, sql string
		guard             guard
	}{
		{"one", lane, `select procrastinate_defer('t')`,
			without("the agenda", "new_jobs.sql", "if v_later or current_setting('transaction_isolation') <> 'read committed' then", "if v_later then")},
		{"many", lane, `select procrastinate_defer_many('[{"task": "t"}]')`,
			without("the agenda", "new_jobs.sql", "v_old_snapshot boolean := current_setting('transaction_isolation') <> 'read committed'", "v_old_snapshot boolean := false")},
		{"again", lane + `; select procrastinate_defer('t', schedule_in => '1 h')`, `select procrastinate_change_job(1, schedule_at => now())`,
			without("the agenda", "hint_jobs.sql", "v_old_snapshot boolean := current_setting('transaction_isolation') <> 'read committed'", "v_old_snapshot boolean := false")},
	} {
		t.Run(defers.name, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.script(defers.before)
					one.do(`begin isolation level repeatable read`)
					one.do(`select from procrastinate_lanes`)
					db.parks()
					one.do(defers.sql)
					one.do(`commit`)
					two.fetches(9, ``)
					db.do(`select procrastinate_tick()`)
					two.fetches(9, `1`)
					db.wantHealthy()
				},
				guards: []guard{defers.guard},
			}.test(t)
		})
	}
}

// It would pass the lock on to a lane that is parked by now.
func TestTickOnAnOldSnapshotIsRefused(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', lock => 'l')) from generate_series(1, 2)`)
			two.fetches(1, `1`)
			two.fetches(1, ``)
			two.finishes(`{1}`)
			one.do(`begin isolation level repeatable read`)
			one.do(`select from procrastinate_lanes`)
			db.parks()
			one.fails("PJ009", `select procrastinate_tick()`)
			one.do(`commit`)
			two.fetches(9, `2`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the look at the isolation", "tick.sql", "if current_setting('transaction_isolation') <> 'read committed' then", "if false then"),
		},
	}.test(t)
}
