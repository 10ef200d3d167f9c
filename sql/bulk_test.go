//go:build integration

package sql_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

const (
	cancelWaiting   = `select procrastinate_cancel_jobs(statuses => '{todo}', max_jobs => $1)`
	deleteCancelled = `select procrastinate_delete_jobs(statuses => '{cancelled}', max_jobs => $1)`
	statusOfEach    = `select string_agg(concat_ws(' ', j.id, j.status), ',' order by j.id) from procrastinate_jobs j`

	lockOfFew  = "\n                for update skip locked\n            ) j"
	lockOfMany = "\n            limit p_max_jobs - cardinality(v_ids)\n            for update skip locked"
)

// asIfMany makes the calls walk over all jobs.
var asIfMany = edit{"take_jobs.sql", "return case when cardinality(v_ids) <= c_few", "return case when false"}

// ways are the two by which jobs are taken, with where that happens.
var ways = []struct {
	name       string
	windows    []edit
	gate, lock edit
}{
	{"few", nil, edit{"take_jobs.sql", "where x.id = i\n", "where (select gate()) and x.id = i\n"},
		edit{"take_jobs.sql", lockOfFew, "\n                offset 0\n            ) j"}},
	{"many", []edit{asIfMany}, edit{"take_jobs.sql", "where x.id > case", "where (select gate()) and x.id > case"},
		edit{"take_jobs.sql", lockOfMany, "\n            limit p_max_jobs - cardinality(v_ids)"}},
}

// Neither waits for the other, and what one has the other leaves.
func TestBulkCancelBesideAnOpenFetch(t *testing.T) {
	for _, way := range ways {
		for _, lock := range []string{"null", "i::text"} {
			t.Run(way.name+" "+lock, func(t *testing.T) {
				race{
					windows: way.windows,
					run: func(db *session) {
						one, two := db.session(), db.session()
						db.do(`select count(procrastinate_defer('t', priority => -i, lock => ` + lock + `)) from generate_series(1, 4) i`)
						two.do(`begin`)
						two.fetches(1, `1`)
						one.do(`begin`)
						one.want(`2`, cancelWaiting, 2)
						db.fetches(9, `4`)
						one.want(`0`, cancelWaiting, 9)
						two.do(`rollback`)
						one.do(`commit`)
						db.want(`1 todo,2 cancelled,3 cancelled,4 doing`, statusOfEach)
						db.wantHealthy()
						one.want(`1`, cancelWaiting, 9)
						db.finishes(`{4}`)
						db.fetches(9, ``)
						db.wantHealthy()
					},
					guards: []guard{without("skip locked", way.lock.file, way.lock.old, strings.Replace(way.lock.old, " skip locked", "", 1))},
				}.test(t)
			})
		}
	}
}

// The job is another's, or has left the status that was asked for, between the look at it and the lock.
func TestBulkCallLeavesAJobThatChangedMeanwhile(t *testing.T) {
	for _, act := range []struct{ name, before, call, meanwhile, want string }{
		{"cancel", `select`, `select procrastinate_cancel_jobs(task => 't')`, `select procrastinate_fetch_jobs($1, 9)`, `doing:`},
		{"retry", `select procrastinate_cancel_job(1)`, `select procrastinate_retry_jobs(task => 't', statuses => '{cancelled}')`,
			`select from (select procrastinate_retry_job(1)) r where $1 > 0`, `todo:cancelled,retried`},
		{"delete", `select procrastinate_cancel_job(1)`, `select procrastinate_delete_jobs(task => 't')`,
			`select from (select procrastinate_retry_job(1)) r where $1 > 0`, `todo:cancelled,retried`},
	} {
		for _, way := range ways {
			t.Run(act.name+" "+way.name, func(t *testing.T) {
				race{
					windows: append([]edit{way.gate}, way.windows...),
					run: func(db *session) {
						one, two := db.session(), db.session()
						one.do(`select procrastinate_defer('t', lock => 'l', queueing_lock => 'q')`)
						one.do(act.before)
						db.shut()
						bulk := two.stops(act.call)
						one.do(act.meanwhile, one.worker())
						db.open()
						bulk.want(`0`)
						db.want(act.want, `
							select concat(j.status, ':', (select string_agg(a.kind::text, ',' order by a.id) from procrastinate_attempts a where a.job_id = j.id))
							from procrastinate_jobs j
							where not j.abort_requested`)
						db.wantHealthy()
					},
					guards: []guard{{"the lock on the body", []edit{way.lock}}},
				}.test(t)
			})
		}
	}
}

// What the other one has is left to it; what it gives up in the end is found by turning to the beginning.
func TestTwoBulkCallsShareTheWork(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			guards := []guard{without("skip locked", way.lock.file, way.lock.old, strings.Replace(way.lock.old, " skip locked", "", 1))}
			if way.name == "many" {
				guards = append(guards, without("the turn to the beginning", "take_jobs.sql", "for v_lap in 1 .. 2 loop", "for v_lap in 1 .. 1 loop"))
			}
			race{
				windows: way.windows,
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(`select procrastinate_defer_many(jsonb_agg('{"task": "t"}'::jsonb)) from generate_series(1, 6)`)
					one.do(`begin`)
					one.want(`2`, cancelWaiting, 2)
					two.want(`3`, cancelWaiting, 3)
					db.want(`1 todo,2 todo,3 cancelled,4 cancelled,5 cancelled,6 todo`, statusOfEach)
					one.do(`rollback`)
					two.want(`3`, cancelWaiting, 9)

					one.do(`begin`)
					one.want(`2`, deleteCancelled, 2)
					two.want(`3`, deleteCancelled, 3)
					db.want(`1 cancelled,2 cancelled,6 cancelled`, statusOfEach)
					one.do(`commit`)
					one.want(`1`, deleteCancelled, 2)
					two.want(`0`, deleteCancelled, 3)
					db.want(``, statusOfEach)
					db.wantHealthy()
				},
				guards: guards,
			}.test(t)
		})
	}
}

// An open defer, or a job that waits, has the queueing lock; of two that are retried the first gets it.
func TestBulkRetryBesideADeferOfTheSameQueueingLock(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			for _, lock := range []string{"p", "q", "p"} {
				db.do(`select procrastinate_cancel_job(procrastinate_defer('t', queueing_lock => $1))`, lock)
			}
			one.do(`begin`)
			one.do(`select procrastinate_defer('t', queueing_lock => 'q')`)
			two.want(`3`, `select procrastinate_retry_jobs(statuses => '{cancelled}')`)
			one.do(`commit`)
			db.want(`1:p,2:,3:,4:q`, `select string_agg(concat(j.id, ':', j.queueing_lock), ',' order by j.id) from procrastinate_jobs j`)
			db.want(`2:q,3:p`, `select string_agg(concat(a.job_id, ':', a.queueing_lock), ',' order by a.job_id) from procrastinate_attempts a where a.queueing_lock is not null`)
			db.wantHealthy()
		},
		guards: []guard{
			without("the lock timeout", "end_jobs.sql", "set lock_timeout = '10ms'", ""),
		},
	}.test(t)
}

func TestBulkAbortTellsItsWorkers(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(`select procrastinate_defer('t', queue => 'q')`)
			two.fetches(9, `1`)
			one.do(`listen "procrastinate_queue_v1#q"`)
			two.want(`1`, `select procrastinate_cancel_jobs(queue => 'q', abort => true)`)
			ctx, cancel := context.WithTimeout(context.Background(), one.patience)
			defer cancel()
			if got, err := one.conn.WaitForNotification(ctx); err != nil {
				one.t.Errorf("no notification: %v", err)
			} else if want := `{"type" : "abort_job_requested", "job_id" : 1}`; got.Payload != want {
				one.t.Errorf("notification: got %s, want %s", got.Payload, want)
			}
		},
		guards: []guard{
			without("the notification", "cancel_jobs.sql", "perform procrastinate_notify(j.queue_name, 'abort_job_requested', j.id)", "perform"),
		},
	}.test(t)
}

// Bulk calls, defers, fetches and ends of the same few jobs at once: no call is refused, none deadlocks, and all is well in the end.
func TestBulkCallsAtOnceWithEverythingElse(t *testing.T) {
	const of = `(task => 't', statuses => $1, max_jobs => 9)`
	calls := []func(one *session, worker int64, random *rand.Rand) error{
		func(one *session, worker int64, random *rand.Rand) error {
			return one.try(`select procrastinate_defer('t', priority => $1, lock => $2, queueing_lock => $2, schedule_in => $3 * interval '1 ms', on_conflict => $4)`,
				random.IntN(2), either(random, nil, "l", "m"), random.IntN(5), either(random, "skip", "replace"))
		},
		func(one *session, worker int64, random *rand.Rand) error {
			return one.try(`select procrastinate_defer_many(jsonb_agg(jsonb_build_object('task', 't', 'lock', case when i % 2 = 0 then 'l' end))) from generate_series(1, 9) i`)
		},
		func(one *session, worker int64, random *rand.Rand) error {
			return one.try(`select procrastinate_fetch_jobs($1, 9)`, worker)
		},
		func(one *session, worker int64, random *rand.Rand) error {
			return one.try(`
				select procrastinate_fail_jobs($1, ids), procrastinate_finish_jobs($1, more)
				from (
					select coalesce(array_agg(j.id) filter (where j.id % 2 = 0), '{}') as ids, coalesce(array_agg(j.id) filter (where j.id % 2 = 1), '{}') as more
					from procrastinate_jobs j
					where j.worker_id = $1
				) held`, worker)
		},
		func(one *session, worker int64, random *rand.Rand) error {
			return one.try(`select procrastinate_cancel_jobs(task => 't', max_jobs => 9, abort => $1)`, random.IntN(2) == 0)
		},
		func(one *session, worker int64, random *rand.Rand) error {
			return one.try(`select procrastinate_retry_jobs`+of, either(random, "{failed}", "{failed,cancelled,aborted}"))
		},
		func(one *session, worker int64, random *rand.Rand) error {
			return one.try(`select procrastinate_delete_jobs`+of, either(random, "{todo}", "{succeeded,failed,cancelled,aborted}"))
		},
		func(one *session, worker int64, random *rand.Rand) error {
			return one.try(`select procrastinate_tick()`)
		},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			race{
				windows: way.windows,
				run: func(db *session) {
					var group sync.WaitGroup
					faults := make(chan error, 6)
					for n := range 6 {
						one := db.session()
						worker := one.worker()
						random := rand.New(rand.NewPCG(1, uint64(n)))
						group.Go(func() {
							for range 150 {
								if err := calls[random.IntN(len(calls))](one, worker, random); err != nil {
									faults <- err
									return
								}
							}
						})
					}
					group.Wait()
					close(faults)
					for err := range faults {
						db.t.Errorf("%v", err)
					}
					db.wantHealthy()
				},
				guards: []guard{{"the lock on the bodies", []edit{way.lock}}},
			}.test(t)
		})
	}
}

func either(random *rand.Rand, values ...any) any { return values[random.IntN(len(values))] }
