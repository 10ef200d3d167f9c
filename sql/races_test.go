//go:build integration

// Tests of the races that docs/ARCHITECTURE.md argues away, each with two sessions or more on a real server.
package sql_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestTwoFetchesNeverTakeOneJob(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select count(procrastinate_defer('t')) from generate_series(1, 3)`)
	one.do(`begin`)
	one.want(`1`, fetched(one.worker(), 1))
	two.want(`2,3`, fetched(two.worker(), 9))
	one.do(`rollback`)
	two.want(`1`, fetched(two.id, 9))
	db.wantHealthy()
}

func TestOpenAbortDelaysOnlyItsOwnJob(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select count(procrastinate_defer('t', lock => 'l' || i)) from generate_series(1, 3) i`)
	two.want(`1,2,3`, fetched(two.worker(), 3))
	one.do(`begin`)
	one.do(`select procrastinate_cancel_job(1, abort => true)`)
	two.want(`1 busy`, `select string_agg(concat_ws(' ', f.job_id, f.outcome), ',') from procrastinate_finish_jobs($1, '{1,2,3}') f`, two.id)
	alone := two.start(`select count(*)::text from procrastinate_finish_jobs($1, '{1}')`, two.id)
	two.waits()
	one.do(`commit`)
	alone.want(`0`)
	db.want(`succeeded 3`, statuses)
	db.wantHealthy()
}

func TestOpenCancelOfAHeadDelaysOnlyItsLock(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select count(procrastinate_defer('t', lock => l)) from unnest('{a,a,b}'::text[]) l`)
	one.do(`begin`)
	one.do(`select procrastinate_cancel_job(1)`)
	two.want(`3`, fetched(two.worker(), 9))
	one.do(`commit`)
	two.want(`2`, fetched(two.id, 9))
	db.wantHealthy()
}

func TestPromotionBesideADeleteLeavesNoOrphan(t *testing.T) {
	for _, isolation := range []string{"read committed", "repeatable read"} {
		t.Run(isolation, func(t *testing.T) {
			db := install(t)
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', lock => 'l', schedule_in => '1 h')`)
			db.do(`update procrastinate_jobs j set scheduled_at = now()`)
			db.do(`update procrastinate_agenda a set at = now()`)
			one.do(`begin isolation level ` + isolation)
			one.do(`select count(*) from procrastinate_jobs`)
			two.do(`select procrastinate_tick()`)
			one.do(`delete from procrastinate_jobs`)
			one.do(`commit`)
			db.do(`select procrastinate_defer('t', lock => 'l')`)
			two.want(`2`, fetched(two.worker(), 9))
			db.wantHealthy()
		})
	}
}

func TestJobOfALateTransactionIsFetched(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	one.do(`begin`)
	one.do(`select procrastinate_defer('t')`)
	// the floor goes on above it, and 12,000 transactions come and go
	for range 3 {
		db.do(`select count(procrastinate_defer('t')) from generate_series(1, 30)`)
		db.do(`do $$ begin for i in 1 .. 4000 loop perform pg_current_xact_id(); commit; end loop; end $$`)
		two.do(`select count(*) from procrastinate_finish_jobs($1, array(select id from procrastinate_fetch_jobs($1, 30)))`, two.worker())
	}
	two.want(``, fetched(two.id, 9))
	one.do(`commit`)
	two.want(`1`, fetched(two.id, 9))
	db.wantHealthy()
}

// Until the exchange commits, all others see the lock held and count on the token of its end.
func TestExchangeLeavesTheTokenOfItsOwnFinish(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select procrastinate_defer('t', lock => 'l')`)
	one.want(`1`, fetched(one.worker(), 9))
	one.do(`begin`)
	one.want(``, `select string_agg(x.id::text, ',') from procrastinate_exchange_jobs($1, '{1}', null, 9) x`, one.id)
	db.do(`select procrastinate_defer('t', lock => 'l')`)
	two.want(``, fetched(two.worker(), 9))
	one.do(`commit`)
	two.want(`2`, fetched(two.id, 9))
	db.wantHealthy()
}

// What the exchange sees as head is another one by the time it commits; meanwhile a fetch drops all other tokens.
func TestExchangeLeavesItsTokenThoughTheHeadHasAnotherHint(t *testing.T) {
	db := install(t)
	one, two, three := db.session(), db.session(), db.session()
	db.do(`select count(procrastinate_defer('t', lock => 'l')) from generate_series(1, 3)`)
	one.want(`1`, fetched(one.worker(), 1))
	three.do(`begin`)
	three.do(`select procrastinate_cancel_job(2)`)
	one.do(`begin`)
	one.want(``, `select string_agg(x.id::text, ',') from procrastinate_exchange_jobs($1, '{1}', null, 9) x`, one.id)
	three.do(`commit`)
	two.want(``, fetched(two.worker(), 9))
	one.do(`commit`)
	two.want(`3`, fetched(two.id, 9))
	db.wantHealthy()
}

func TestExchangeLeavesItsTokenThoughItPassedTheLockOn(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select count(procrastinate_defer('t', lock => 'l', queue => q)) from unnest('{a,b}'::text[]) q`)
	one.want(`1`, fetched(one.worker(), 1))
	db.do(`select procrastinate_pause_queue('b')`)
	one.do(`begin`)
	one.want(``, `select string_agg(x.id::text, ',') from procrastinate_exchange_jobs($1, '{1}', null, 9) x`, one.id)
	db.do(`select procrastinate_defer('t', lock => 'l', queue => 'a', priority => 5)`)
	two.want(``, fetched(two.worker(), 9))
	one.do(`commit`)
	two.want(`3`, fetched(two.id, 9))
	db.wantHealthy()
}

func TestKeepJobsWaitsForAFetchOnItsWay(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select procrastinate_defer('t')`)
	one.worker()
	one.do(`begin`)
	one.want(`1`, fetched(one.id, 9))
	keep := two.start(`select string_agg(concat_ws(' ', k.job_id, k.outcome), ',') from procrastinate_keep_jobs($1, '{}') k`, one.id)
	two.waits()
	one.do(`commit`)
	keep.want(`1 returned`)
	db.wantHealthy()
}

func TestDeleteOfAHolderLetsTheNextRun(t *testing.T) {
	db := install(t)
	two := db.session()
	db.do(`select count(procrastinate_defer('t', lock => 'l')) from generate_series(1, 2)`)
	two.want(`1`, fetched(two.worker(), 9))
	db.do(`delete from procrastinate_jobs j where j.id = 1`)
	two.want(`2`, fetched(two.id, 9))
	db.wantHealthy()
}

func TestWorkerIsNotRemovedInTheMiddleOfAFetch(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select procrastinate_defer('t')`)
	one.worker()
	db.do(`update procrastinate_workers w set last_heartbeat = now() - interval '1 h'`)
	one.do(`begin`)
	one.want(`1`, fetched(one.id, 9))
	two.do(`select procrastinate_tick()`)
	two.want(`1`, `select count(*) from procrastinate_workers`)
	removal := two.start(`delete from procrastinate_workers returning 'removed'`)
	two.waits()
	one.do(`commit`)
	removal.want(`removed`)
	db.do(`select procrastinate_tick()`)
	db.want(`todo 1`, statuses)
	one.fails("PJ003", `select * from procrastinate_finish_jobs($1, '{1}')`, one.id)
	db.wantHealthy()
}

func TestQueueingLockOfAnOpenDeferHoldsUpNobody(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select procrastinate_defer('t', queueing_lock => 'q', max_attempts => 2)`)
	two.want(`1`, fetched(two.worker(), 9))
	one.do(`begin`)
	one.do(`select procrastinate_defer('t', queueing_lock => 'q')`)
	two.do(`set statement_timeout = '5s'`)
	two.want(`todo`, `select procrastinate_fail_job($1, 1, 'boom', retry_in => '0')`, two.id)
	one.do(`commit`)
	db.want(`1:,2:q`, `select string_agg(concat(j.id, ':', j.queueing_lock), ',' order by j.id) from procrastinate_jobs j`)
	db.want(`q`, `select a.queueing_lock from procrastinate_attempts a`)
	db.wantHealthy()
}

func TestOpenTickHoldsUpNoOtherTick(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select count(procrastinate_defer('t', schedule_in => '1 h')) from generate_series(1, 2)`)
	due := `with a as (update procrastinate_agenda a set at = now() where a.id = $1), j as (update procrastinate_jobs j set scheduled_at = now() where j.id = $1) select 1`
	db.do(due, 1)
	one.do(`begin`)
	one.do(`select procrastinate_tick()`)
	db.do(due, 2)
	two.do(`set statement_timeout = '5s'`)
	two.do(`select procrastinate_tick()`)
	two.want(`2`, fetched(two.worker(), 9))
	one.do(`rollback`)
	two.do(`select procrastinate_tick()`)
	two.want(`1`, fetched(two.id, 9))
	db.wantHealthy()
}

func TestLaneIsNotParkedWhileSomebodyMayWriteToIt(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select procrastinate_defer('t')`)
	two.do(`select count(*) from procrastinate_finish_jobs($1, array(select id from procrastinate_fetch_jobs($1, 1)))`, two.worker())
	db.do(`update procrastinate_lanes l set opened_at = now() - interval '1 h' where l.lane > 0`)
	db.do(`delete from procrastinate_floors`)
	state := `select l.state from procrastinate_lanes l where l.lane > 0`
	one.do(`begin`)
	one.do(`select procrastinate_defer('t')`)
	for range 4 {
		db.do(`select procrastinate_park_lanes()`)
	}
	db.want(`closed`, state)
	one.do(`commit`)
	db.do(`select procrastinate_park_lanes()`)
	two.want(`2`, fetched(two.id, 9))
	// not before the transactions of all other tests on this server have ended
	for deadline := time.Now().Add(20 * time.Second); db.value(state) != "parked" && time.Now().Before(deadline); {
		db.do(`select procrastinate_park_lanes()`)
	}
	db.want(`parked`, state)
	db.do(`select procrastinate_defer('t')`)
	db.want(`open`, state)
	two.want(`3`, fetched(two.id, 9))
	db.wantHealthy()
}

func TestDeferManyInOppositeOrdersDoesNotDeadlock(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	many := `select string_agg(i::text, ',') from procrastinate_defer_many($1::jsonb) i`
	one.do(`begin`)
	one.want(`1,2`, many, `[{"task": "t", "queueing_lock": "a", "on_conflict": "skip"}, {"task": "t", "queueing_lock": "b", "on_conflict": "skip"}]`)
	other := two.start(many, `[{"task": "t", "queueing_lock": "b", "on_conflict": "skip"}, {"task": "t", "queueing_lock": "a", "on_conflict": "skip"}]`)
	two.waits()
	one.do(`commit`)
	other.want(`2,1`)
	db.wantHealthy()
}

func TestRepairWaitsForAFetchAndTheFetchNotForIt(t *testing.T) {
	db := install(t)
	one, two := db.session(), db.session()
	db.do(`select count(procrastinate_defer('t')) from generate_series(1, 3) i`)
	one.do(`begin`)
	one.want(`1`, fetched(one.worker(), 1))
	repair := two.start(`select coalesce(procrastinate_repair()::text, '')`)
	two.waits()
	one.do(`select count(*) from procrastinate_finish_jobs($1, '{1}')`, one.id)
	one.want(`2,3`, fetched(one.id, 9))
	one.do(`commit`)
	repair.want(``)
	db.wantHealthy()
}

// The window of this race is inside one statement, so two sessions hammer: with the guard (xmin in start_locked)
// taken out, some hundredth of the starts overlap.
func TestJobThatMovesWhileItIsFetchedHoldsItsLock(t *testing.T) {
	db := install(t)
	db.do(`select count(procrastinate_defer('t', lock => 'l' || i % 8)) from generate_series(1, 24) i`)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var group sync.WaitGroup
	for i := range 2 {
		mover, fetcher := db.session(), db.session()
		group.Go(func() {
			for queue := 0; ctx.Err() == nil; queue = 1 - queue {
				for id := 1 + i; id <= 24; id += 2 {
					_, err := mover.conn.Exec(ctx, `select procrastinate_change_job($1, queue => $2)`, id, string("ab"[queue]))
					if code := sqlstate(err); err != nil && ctx.Err() == nil && code != "PJ005" {
						t.Error(err)
					}
				}
			}
		})
		worker := fetcher.worker()
		group.Go(func() {
			for ctx.Err() == nil {
				ids := fetcher.value(fetched(worker, 8))
				overlaps := fetcher.value(`select count(*) from (select from procrastinate_jobs j where j.status = 'doing' group by j.lock having count(*) > 1) x`)
				if overlaps != "0" {
					t.Errorf("%s locks have two jobs running", overlaps)
					cancel()
				}
				fetcher.value(`select count(*) from procrastinate_return_jobs($1, ('{' || $2::text || '}')::bigint[])`, worker, ids)
			}
		})
	}
	group.Wait()
	db.wantHealthy()
}

const statuses = `select string_agg(concat_ws(' ', s.status, s.n), ',' order by s.status) from (select j.status, count(*) as n from procrastinate_jobs j group by 1) s`

func fetched(worker int64, limit int) string {
	return strings.NewReplacer("$w", itoa(worker), "$n", itoa(int64(limit))).Replace(
		`select string_agg(f.id::text, ',' order by f.id) from procrastinate_fetch_jobs($w, $n) f`)
}

func sqlstate(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// fails wants a statement to be refused.
func (s *session) fails(code, sql string, args ...any) {
	s.t.Helper()
	_, err := s.conn.Exec(s.t.Context(), sql, args...)
	if got := sqlstate(err); got != code {
		s.t.Errorf("%s: got %q (%v), want %q", sql, got, err, code)
	}
}

// wantHealthy: whatever happened, jobs and hints agree in the end.
func (s *session) wantHealthy() {
	s.t.Helper()
	faults := strings.Split(s.value(`select string_agg(concat_ws(' ', c.invariant, c.job_id, c.detail), E'\n') from procrastinate_check() c`), "\n")
	if faults = slices.DeleteFunc(faults, func(fault string) bool { return fault == "" }); len(faults) > 0 {
		s.t.Errorf("check: %s", strings.Join(faults, "; "))
	}
}
