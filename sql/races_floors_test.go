//go:build integration

package sql_test

import "testing"

// A floor is made by every fetch of sixteen jobs or more. What counts as young is set where other tests' transactions
// would decide it.
const manyJobs = 16

var (
	allYoung = edit{"raise_floor.sql", "c_young constant bigint := 100::bigint;", "c_young constant bigint := 1000000000;"}
	allOld   = edit{"raise_floor.sql", "c_young constant bigint := 100::bigint;", "c_young constant bigint := 0;"}
	oldBelow = edit{"raise_floor.sql", ":= greatest(pg_snapshot_xmax(p_snapshot)::text::bigint - c_young, 0)::text::xid8", ":= least(current_setting('test.old')::bigint, pg_snapshot_xmax(p_snapshot)::text::bigint)::text::xid8"}

	withoutLate         = without("the late transactions", "raise_floor.sql", "where x <= f.xid", "where false")
	withoutThatSnapshot = without("that snapshot", "fetch_jobs.sql", "v_lane.late, v_next.snapshot)", "v_lane.late, pg_current_snapshot())")
)

const (
	wasLate     = "from unnest(p_late) x where"
	noneWasLate = wasLate + " false and"
)

const lane = `select procrastinate_lane_for('default', 't', 0, 'plain')`

func TestJobOfAYoungTransactionIsFetched(t *testing.T) {
	race{
		windows: []edit{allYoung},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(lane)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			db.do(`select procrastinate_defer('t')`)
			two.fetches(manyJobs, `2`)
			one.do(`commit`)
			two.fetches(manyJobs, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("a limit to the floor", "raise_floor.sql", "case when o.young <= p_xid then o.young else p_xid end", "p_xid"),
		},
	}.test(t)
}

// The floor goes on above it, and 12,000 transactions come and go.
func TestJobOfALateTransactionIsFetched(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(lane)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			for range 3 {
				db.do(`select count(procrastinate_defer('t')) from generate_series(1, 30)`)
				db.do(`do $$ begin for i in 1 .. 4000 loop perform pg_current_xact_id(); commit; end loop; end $$`)
				two.do(`select count(*) from procrastinate_finish_jobs($1, array(select id from procrastinate_fetch_jobs($1, 30)))`, two.worker())
			}
			two.fetches(manyJobs, ``)
			one.do(`commit`)
			two.fetches(manyJobs, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			withoutLate,
			without("a look at their tokens", "heads.sql", "from unnest(floor.late) x\n    where", "from unnest(floor.late) x\n    where false and"),
		},
	}.test(t)
}

func TestClaimThatIsRolledBackWasNotPassedBy(t *testing.T) {
	race{
		windows: []edit{allOld},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t')`)
			one.do(`begin`)
			one.fetches(1, `1`)
			db.do(`select procrastinate_defer('t')`)
			two.fetches(manyJobs, `2`)
			one.do(`rollback`)
			two.fetches(manyJobs, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the first live token", "fetch_jobs.sql", "v_lane.first_xid, v_lane.first_id, v_lane.late", "pg_snapshot_xmax(v_next.snapshot), 0, v_lane.late"),
		},
	}.test(t)
}

// The same with a token that was late, and so below the floor.
func TestClaimOfALateTokenThatIsRolledBackWasNotPassedBy(t *testing.T) {
	race{
		windows: []edit{allOld},
		run: func(db *session) {
			one, two, three := db.session(), db.session(), db.session()
			db.do(lane)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			db.do(`select procrastinate_defer('t')`)
			two.fetches(manyJobs, `2`)
			one.do(`commit`)
			three.do(`begin`)
			three.fetches(1, `1`)
			db.do(`select procrastinate_defer('t')`)
			two.fetches(manyJobs, `3`)
			three.do(`rollback`)
			two.fetches(manyJobs, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			without("those that were late before", "raise_floor.sql", wasLate, noneWasLate),
		},
	}.test(t)
}

// The floor is made at the end of the fetch, when the transaction that was on its way has committed.
func TestFloorIsOfTheSnapshotThatFoundTheFirstToken(t *testing.T) {
	race{
		windows: []edit{allOld, {"fetch_jobs.sql", "if v_lane.is_main and", "if gate() and v_lane.is_main and"}},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(lane)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			db.do(`select procrastinate_defer('t')`)
			db.shut()
			start := two.stops(fetch, two.worker(), manyJobs)
			one.do(`commit`)
			db.open()
			start.want(`2`)
			two.fetches(manyJobs, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			withoutThatSnapshot,
		},
	}.test(t)
}

// It is late already, and still running when the fetch looks where the lane begins; before the fetch makes a floor of that, it
// has committed. Two layers keep it: it was running then, and it has a token now.
func TestLateTransactionThatCommitsBeforeTheFloorKeepsItsPlace(t *testing.T) {
	race{
		windows: []edit{allOld, {"fetch_jobs.sql", "if v_lane.is_main and", "if gate() and v_lane.is_main and"}},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(lane)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			db.do(`select procrastinate_defer('t')`)
			two.fetches(manyJobs, `2`)
			db.do(`select procrastinate_defer('t')`)
			db.shut()
			start := two.stops(fetch, two.worker(), manyJobs)
			one.do(`commit`)
			db.open()
			start.want(`3`)
			two.fetches(manyJobs, `1`)
			db.wantHealthy()
		},
		guards: []guard{
			withoutLate.and("raise_floor.sql", wasLate, noneWasLate),
			withoutThatSnapshot.and("raise_floor.sql", wasLate, noneWasLate),
		},
	}.test(t)
}

// The floor that is made first becomes the newest.
func TestFloorsAreTrueInEitherOrder(t *testing.T) {
	race{
		windows: []edit{allOld, {"fetch_jobs.sql", "if v_lane.is_main and", "if gate() and v_lane.is_main and"}},
		run: func(db *session) {
			one, two, three := db.session(), db.session(), db.session()
			db.do(lane)
			one.do(`begin`)
			one.do(`select procrastinate_defer('t')`)
			db.do(`select procrastinate_defer('t')`)
			db.shut()
			start := two.stops(fetch, two.worker(), manyJobs)
			db.do(`select procrastinate_defer('t')`)
			three.fetches(manyJobs, `3`)
			db.do(`select procrastinate_defer('t')`)
			db.open()
			start.want(`2`)
			three.fetches(manyJobs, `4`)
			one.do(`commit`)
			three.fetches(manyJobs, `1`)
			db.wantHealthy()
		},
		guards: []guard{withoutLate},
	}.test(t)
}

// The first live token is our own, and another of ours, with a lower id, comes after the floor. It is found there if we are young,
// and if we are old by then, among the late.
func TestOwnTokenBelowTheOwnFloorIsFound(t *testing.T) {
	for _, own := range []struct {
		name, old string
		guards    []guard
	}{
		{"young", `pg_current_xact_id()::text`, []guard{
			without("the own transaction", "raise_floor.sql", "union all select pg_current_xact_id_if_assigned()", ""),
			without("room for lower ids", "raise_floor.sql", "when f.xid = f.young then -9223372036854775808", "when false then null"),
		}},
		{"old", `(pg_current_xact_id()::text::bigint + 1)::text`, []guard{
			without("the own transaction", "raise_floor.sql", "union all select pg_current_xact_id_if_assigned()", ""),
			without("those at the floor", "raise_floor.sql", "x <= f.xid", "x < f.xid"),
		}},
	} {
		t.Run(own.name, func(t *testing.T) {
			race{
				windows: []edit{oldBelow},
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select procrastinate_cancel_job(procrastinate_defer('t'))`)
					two.do(`set test.old = '0'`)
					two.fetches(manyJobs, ``)
					one.worker()
					one.do(`begin`)
					one.do(`select set_config('test.old', ` + own.old + `, false)`)
					db.do(`select pg_current_xact_id()`)
					one.do(`select procrastinate_defer('t')`)
					one.fetches(manyJobs, `2`)
					one.do(`select procrastinate_retry_job(1)`)
					one.do(`commit`)
					two.fetches(manyJobs, `1`)
					db.wantHealthy()
				},
				guards: own.guards,
			}.test(t)
		})
	}
}

// A transaction that is younger than all the snapshot knows has a lower id than ours. Other tests that end a
// transaction in between make it known, hence the rounds.
func TestFloorIsNotAboveWhatIsStillToCome(t *testing.T) {
	race{
		alone:   true,
		windows: []edit{oldBelow},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(lane)
			two.worker()
			for range 30 {
				one.do(`begin`)
				xid := one.value(`select pg_current_xact_id()`)
				two.script(`set local test.old = '` + xid + `'; select procrastinate_defer('t'); select procrastinate_fetch_jobs(` + itoa(two.id) + `, 16)`)
				one.do(`select procrastinate_defer('t')`)
				one.do(`commit`)
				two.do(`set test.old = '0'`)
				two.do(`select procrastinate_fetch_jobs($1, 16)`, two.id)
			}
			db.want(`doing 60`, statuses)
			db.wantHealthy()
		},
		guards: []guard{
			without("the transactions to come", "raise_floor.sql", "union all select pg_snapshot_xmax(p_snapshot)", ""),
		},
	}.test(t)
}
