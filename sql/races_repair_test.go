//go:build integration

package sql_test

import "testing"

// It waits with nothing in its hands. The fetch has the last token, which repair would come to after the others.
func TestRepairWaitsForAFetchAndTheFetchNotForIt(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select count(procrastinate_defer('t', priority => p)) from unnest('{0,0,5}'::integer[]) p`)
			one.do(`begin`)
			one.fetches(1, `3`)
			repair := two.startDo(`select procrastinate_repair()`).waits()
			one.finishes(`{3}`)
			one.fetches(9, `1,2`)
			one.do(`commit`)
			repair.want(``)
			db.wantHealthy()
		},
		guards: []guard{
			without("the lock on jobs", "repair.sql", "begin\n    lock table procrastinate_jobs in exclusive mode;", "begin"),
		},
	}.test(t)
}

// A fetch that has a token still wants jobs, and so does a tick that has a lease.
func TestRepairDoesNotDeadlockWithAFetch(t *testing.T) {
	race{
		windows: []edit{{"choose_locked.sql", "dropped := 0;", "dropped := 0; perform gate();"}},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			db.shut()
			start := one.stops(fetch, one.worker(), 9)
			repair := two.startDo(`select procrastinate_repair()`).waits()
			db.open()
			start.want(`1`)
			repair.want(``)
			db.wantHealthy()
		},
		guards: []guard{
			without("the lock on jobs before the first token", "fetch_jobs.sql", "lock table procrastinate_jobs in row exclusive mode;", ""),
		},
	}.test(t)
}

func TestRepairDoesNotDeadlockWithATick(t *testing.T) {
	race{
		windows: []edit{{"tidy.sql", "    p_tick.tidied_at := clock_timestamp();", "    perform gate();\n    p_tick.tidied_at := clock_timestamp();"}},
		run: func(db *session) {
			one, two, three := db.session(), db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			three.fetches(9, `1`)
			db.do(`update procrastinate_leases l set at = now() - interval '1 h'`)
			db.do(`select procrastinate_defer('t', schedule_in => '1 h')`)
			db.do(due, 2)
			db.do(tickLongAgo)
			db.shut()
			tick := one.stops(`select 'ticked' from procrastinate_tick()`)
			repair := two.startDo(`select procrastinate_repair()`).waits()
			db.open()
			tick.want(`ticked`)
			repair.want(``)
			db.wantHealthy()
		},
		guards: []guard{
			without("the lock on jobs before the first lease", "tick.sql", "lock table procrastinate_jobs in row exclusive mode;", ""),
		},
	}.test(t)
}

// The floors of the cluster that a dump was made in lie above all tokens to come.
func TestFloorOfAnotherClusterIsNotBelieved(t *testing.T) {
	race{
		run: func(db *session) {
			two := db.session()
			db.do(lane)
			db.do(`insert into procrastinate_floors (lane, xid, id, late) select l.lane, '18000000000000000000', 0, '{}' from procrastinate_lanes l`)
			db.do(`select procrastinate_defer('t')`)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a look at its place", "heads.sql", "on floor.xid <= pg_snapshot_xmax(pg_current_snapshot())", "on true"),
		},
	}.test(t)
}

// The floor of another cluster, in a lane of this one, is above the one token that there is.
func TestFirstWorkerAfterARestoreRepairs(t *testing.T) {
	race{
		run: func(db *session) {
			two := db.session()
			db.do(`select procrastinate_defer('t')`)
			db.do(`insert into procrastinate_floors (lane, xid, id, late) select l.lane, pg_snapshot_xmax(pg_current_snapshot()), 0, '{}' from procrastinate_lanes l`)
			db.do(`update procrastinate_install i set system_identifier = i.system_identifier - 1`)
			two.fetches(9, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a look at the cluster", "repair.sql", "i, pg_control_system() c where i.system_identifier is distinct from c.system_identifier", "i where false"),
		},
	}.test(t)
}
