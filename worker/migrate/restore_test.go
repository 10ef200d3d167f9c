//go:build integration

package migrate_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

const restoreSchema = "Queue 1"

const (
	byMigrate   = "migrate"
	byExtension = "extension"
)

func install(db database, way string) {
	db.t.Helper()
	if way == byExtension {
		db.do(`create schema "Queue 1"`)
		db.do(`create extension procrastinate schema "Queue 1"`)
	} else if _, err := migrate.Up(db.t.Context(), db.conn, restoreSchema); err != nil {
		db.t.Fatal(err)
	}
}

func dumpAndRestore(t *testing.T, servers servers) {
	for _, server := range []string{servers.one, servers.other} {
		database{t: t, url: server}.session("").do(`create role app; create role reader`)
	}
	// so that floors of one lie far above the transactions of the other
	database{t: t, url: servers.one}.session("").do(`do $$ begin for i in 1 .. 3000 loop perform pg_current_xact_id(); commit; end loop; end $$`)

	tests := []struct{ way, format, to, check string }{
		{byMigrate, "plain", servers.other, "hints were made in this cluster"},
		{byMigrate, "custom", servers.other, "hints were made in this cluster"},
		{byMigrate, "custom", servers.one, ""},
		{byExtension, "plain", servers.other, ""},
		{byExtension, "custom", servers.other, ""},
		{byExtension, "custom", servers.one, ""},
	}
	for i, test := range tests {
		where := "into another cluster"
		if test.to == servers.one {
			where = "into another database"
		}
		t.Run(fmt.Sprint(test.way, ", ", test.format, ", ", where), func(t *testing.T) {
			from := create(t, servers.one, fmt.Sprint("from", i), restoreSchema)
			install(from, test.way)
			fill(from)
			dump, jobs, want := liveDump(from, servers, test.format)
			catalog := testdb.Catalog(t, from.conn)

			to := create(t, test.to, fmt.Sprint("to", i), restoreSchema)
			if test.format == "plain" {
				servers.program(t, dump, "psql", to.url, "-Xq1", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", "-")
			} else {
				servers.program(t, dump, "pg_restore", "--exit-on-error", "-d", to.url)
			}
			for _, line := range testdb.Difference(testdb.Catalog(t, to.conn), catalog) {
				t.Errorf("the catalog: %s", line)
			}
			for _, line := range testdb.Difference(truth(to), want) {
				t.Errorf("the tables: %s", line)
			}
			if got := strings.Join(list[string](to, `select c.invariant from procrastinate_check() c`), ", "); got != test.check {
				t.Errorf("check after the restore: got %q, want %q", got, test.check)
			}
			if copied, want := value[bool](to, `select procrastinate_is_copy()`), test.way == byExtension || test.to == servers.other; copied != want {
				t.Errorf("to be repaired: got %v, want %v", copied, want)
			}
			workOff(to, jobs)
			if value[bool](to, `select procrastinate_is_copy()`) {
				t.Error("it was not repaired")
			}
		})
	}
}

// fill makes some jobs of every kind.
func fill(db database) {
	db.t.Helper()
	// each of its own transaction, as in life
	for _, statement := range strings.Split(`
		grant usage on schema "Queue 1" to app, reader;
		grant execute on function procrastinate_defer to app;
		grant select on procrastinate_jobs to reader;
		grant select (paused_at) on procrastinate_queues to reader;
		select procrastinate_define_task('policy', max_attempts => 5, retry_wait => '1 hour');
		select procrastinate_pause_queue('paused');
		select procrastinate_define_schedule('yearly', '@yearly');
		select procrastinate_register_worker('stays');
		select procrastinate_register_worker('dies');
		select procrastinate_register_worker('removed');
		select procrastinate_defer('t', format('{"n": %s}', i)::jsonb, lock => 'l' || i % 3) from generate_series(1, 20) i;
		select procrastinate_finish_jobs(1, array(select id from procrastinate_fetch_jobs(1, 9)), null);
		select procrastinate_finish_jobs(1, array(select id from procrastinate_fetch_jobs(1, 2)), '{"\"a\\\\b\"",null}');
		select procrastinate_defer('fails', metadata => '{"tab": "\t"}');
		select procrastinate_fail_job(1, id, E'bad\tend\n\\.') from procrastinate_fetch_jobs(1, 1);
		select procrastinate_defer('policy', priority => 9);
		select procrastinate_fail_job(1, id, 'again') from procrastinate_fetch_jobs(1, 1);
		select procrastinate_cancel_job(procrastinate_defer('cancelled'));
		select procrastinate_defer('stays with it', priority => 7, lock => 'stays');
		select id from procrastinate_fetch_jobs(1, 1);
		select procrastinate_defer('waits for it', lock => 'stays');
		select procrastinate_defer('dies with it', priority => 7, lock => 'dies') from generate_series(1, 2);
		select id from procrastinate_fetch_jobs(2, 1);
		select procrastinate_defer('to abort', priority => 8);
		select procrastinate_cancel_job(id, abort => true) from procrastinate_fetch_jobs(2, 1);
		select procrastinate_tick();
		select procrastinate_defer('lost', priority => 8);
		select id from procrastinate_fetch_jobs(3, 1);
		delete from procrastinate_workers where worker_name = 'removed';
		select procrastinate_defer('given back', priority => 8);
		select procrastinate_return_jobs(1, array[id]) from procrastinate_fetch_jobs(1, 1);
		select procrastinate_defer('plain') from generate_series(1, 20);
		select procrastinate_defer('paused', queue => 'paused');
		select procrastinate_defer('future', schedule_at => '2101-01-01', lock => 'future', queueing_lock => 'future');
		select procrastinate_defer('future', schedule_in => '1 hour');
		select procrastinate_defer('once', queueing_lock => 'once')`, ";\n") {
		db.do(statement)
	}
}

// liveDump dumps the database while jobs are deferred, fetched and finished in it. Returned too are the jobs that were still to be
// run, and the rows of all tables, in the very snapshot of the dump.
func liveDump(db database, servers servers, format string) (dump []byte, jobs []int64, rows []string) {
	db.t.Helper()
	ctx, stop := context.WithCancel(db.t.Context())
	var traffic sync.WaitGroup
	rounds := make(chan struct{})
	for range 2 {
		session := db.session(restoreSchema)
		worker := value[int64](session, `select procrastinate_register_worker('traffic', '{traffic}')`)
		traffic.Go(func() {
			for ctx.Err() == nil {
				_, err := session.conn.Exec(context.Background(), fmt.Sprintf(`
					select procrastinate_defer('traffic', queue => 'traffic', lock => case when i %% 2 = 0 then 'traffic' || i %% 4 end) from generate_series(1, 3) i;
					select id from procrastinate_exchange_jobs(%d, array(select j.id from procrastinate_jobs j where j.worker_id = %[1]d), null, 5);`, worker))
				if err != nil {
					db.t.Error(err)
					return
				}
				select {
				case rounds <- struct{}{}:
				default:
				}
			}
		})
	}
	defer traffic.Wait()
	defer stop()
	<-rounds
	// one that is on its way is in nobody's snapshot
	open := db.session(restoreSchema)
	open.do(`begin`)
	open.do(`select procrastinate_defer('open')`)
	open.do(`select id from procrastinate_fetch_jobs(1, 1)`)
	<-rounds

	db.do(`begin isolation level repeatable read`)
	snapshot := value[string](db, `select pg_export_snapshot()`)
	dump = servers.program(db.t, nil, "pg_dump", "--format", format, "--snapshot", snapshot, "-d", db.url)
	jobs = list[int64](db, `select j.id from procrastinate_jobs j where j.status in ('todo', 'doing') order by 1`)
	rows = truth(db)
	db.do(`commit`)
	open.do(`rollback`)
	return dump, jobs, rows
}

// truth is all that cannot be made anew from something else, and what retention goes by.
func truth(db database) []string {
	db.t.Helper()
	return list[string](db, `
		select 'job ' || t::text from procrastinate_jobs t
		union all select 'attempt ' || t::text from procrastinate_attempts t
		union all select 'task ' || t::text from procrastinate_tasks t
		union all select 'note ' || t::text from procrastinate_retention t
		union all select 'queue ' || t::text from procrastinate_queues t
		union all select 'schedule ' || t::text from procrastinate_schedules t
		union all select 'worker ' || t::text from procrastinate_workers t`)
}

// workOff goes on where the dump was taken: each of the jobs runs once, and no other.
func workOff(db database, jobs []int64) {
	t := db.t
	t.Helper()
	// producers come first
	if _, err := db.conn.Exec(t.Context(), `select procrastinate_defer('once', queueing_lock => 'once')`); err == nil {
		t.Error("a queueing lock was not restored")
	}
	next := value[int64](db, `select procrastinate_defer('next')`)
	if last := value[int64](db, `select max(j.id) from procrastinate_jobs j where j.id <> $1`, next); next <= last {
		t.Errorf("job %d was deferred after %d", next, last)
	}
	jobs = append(jobs, next)

	runs := make(map[int64]int)
	work := func(worker int64) {
		t.Helper()
		for {
			ids := list[int64](db, `select f.id from procrastinate_fetch_jobs($1, 7) f`, worker)
			if len(ids) == 0 {
				return
			}
			for _, id := range ids {
				runs[id]++
			}
			if lost := list[string](db, `select f::text from procrastinate_finish_jobs($1, $2) f`, worker, ids); len(lost) > 0 {
				t.Fatalf("not finished: %v", lost)
			}
		}
	}
	waiting := func(want string) {
		t.Helper()
		got := value[string](db, `select coalesce(string_agg(distinct j.task_name, ', ' order by j.task_name), '') from procrastinate_jobs j
			where j.status in ('todo', 'doing') and j.task_name not in ('traffic', 't')`)
		if got != want {
			t.Errorf("still to be run: got %s, want %s", got, want)
		}
	}

	worker := value[int64](db, `select procrastinate_register_worker('new')`)
	if last := value[int64](db, `select max(w.id) from procrastinate_workers w where w.id <> $1`, worker); worker <= last {
		t.Errorf("worker %d was registered after %d", worker, last)
	}
	healthy(db)
	work(worker)
	waiting("dies with it, future, lost, paused, policy, stays with it, to abort, waits for it")

	// a worker that was led to the copy
	if aborts := list[int64](db, `select procrastinate_beat(1)`); len(aborts) > 0 {
		t.Errorf("asked to abort %v", aborts)
	}
	mine := list[int64](db, `select j.id from procrastinate_jobs j where j.worker_id = 1`)
	runs[mine[0]]++
	if lost := list[string](db, `select f::text from procrastinate_finish_jobs(1, $1) f`, mine); len(mine) != 1 || len(lost) > 0 {
		t.Errorf("of the jobs %v it could not finish %v", mine, lost)
	}
	work(worker)
	waiting("dies with it, future, lost, paused, policy, to abort")

	// and those that were not: silent for long, they are missed
	db.do(`update procrastinate_workers w set last_heartbeat = '-infinity', spared = 2 where w.worker_name in ('dies', 'traffic')`)
	db.do(`select procrastinate_tick()`)
	work(worker)
	waiting("future, paused, policy")

	db.do(`select procrastinate_resume_queue('paused')`)
	db.do(`select procrastinate_change_job(j.id, schedule_at => now()) from procrastinate_jobs j where j.status = 'todo' and j.scheduled_at > now()`)
	db.do(`select procrastinate_tick()`)
	work(worker)
	waiting("")
	healthy(db)
	defer deletes(db)

	aborted := list[int64](db, `select j.id from procrastinate_jobs j where j.task_name = 'to abort' and j.status = 'aborted'`)
	if len(aborted) != 1 {
		t.Errorf("aborted: %v", aborted)
	}
	for _, id := range aborted {
		runs[id]++
	}
	once := make(map[int64]int)
	for _, id := range jobs {
		once[id] = 1
	}
	if !maps.Equal(runs, once) {
		ids := slices.Concat(slices.Collect(maps.Keys(runs)), jobs)
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			if runs[id] != once[id] {
				t.Errorf("job %d: got %d runs, want %d", id, runs[id], once[id])
			}
		}
	}
}

func healthy(db database) {
	db.t.Helper()
	for _, fault := range list[string](db, `select c::text from procrastinate_check() c`) {
		db.t.Errorf("check: %s", fault)
	}
}

// deletes turns the clockwork until all that ended is gone.
func deletes(db database) {
	db.t.Helper()
	db.do(`update procrastinate_jobs j set finished_at = now() - interval '1 year'`)
	db.do(`update procrastinate_leases l set at = now() - interval '1 min'`)
	var left []int64
	for range 100 { // the first only notes what the workers had
		db.do(`update procrastinate_retention r set delete_at = now()`)
		db.do(`update procrastinate_ticks t set tidied_at = '-infinity', swept_at = '-infinity', pruned_at = '-infinity'`)
		db.do(`select procrastinate_tick()`)
		if left = list[int64](db, `select j.id from procrastinate_jobs j`); len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		db.t.Errorf("not deleted: %v", left)
	}
	healthy(db)
}
