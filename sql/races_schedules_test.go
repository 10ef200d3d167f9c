//go:build integration

package sql_test

import "testing"

const (
	// yearly is a schedule whose one run is due, and whose next one is a year later.
	yearly = `select procrastinate_define_schedule('s', '0 0 1 1 *', max_lateness => '100 years')`
	isDue  = `with s as (update procrastinate_schedules s set next_at = '2026-01-01 00:00+00' returning s.id, s.next_at),
	               a as (delete from procrastinate_agenda a using s where a.id = -s.id)
	          insert into procrastinate_agenda (at, id) select s.next_at, -s.id from s`
	// another hint for the schedule, of which there may be any number
	hint = `insert into procrastinate_agenda (at, id) select now(), -s.id from procrastinate_schedules s`

	runs  = `select string_agg(j.metadata ->> 'scheduled_for', ', ' order by j.id) from procrastinate_jobs j`
	ran   = `2026-01-01T00:00:00+00:00`
	nexts = `select string_agg(concat_ws(' ', s.schedule_name, s.next_at at time zone 'UTC'), ', ') from procrastinate_schedules s`
	next  = `s 2027-01-01 00:00:00`

	lockByName     = `where s.schedule_name = p_schedule for update;`
	bodyOfSchedule = `where s.id = -d.id for update skip locked`
)

func TestOfTwoTicksOneRunsASchedule(t *testing.T) {
	for _, end := range []string{"commit", "rollback"} {
		t.Run(end, func(t *testing.T) {
			race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(yearly)
					db.do(isDue)
					db.do(tickLongAgo)
					one.do(`begin`)
					one.do(`select procrastinate_tick()`)
					db.do(hint)
					late := two.startDo(`select procrastinate_tick()`)
					one.becomes(`1`, `select count(*) from procrastinate_schedules s where s.next_at > now()`)
					<-late.done
					late.want(``)
					two.want(``, runs)
					one.do(end)
					db.do(`update procrastinate_agenda a set at = now() where a.at < now() + interval '1 min'`)
					two.do(`select procrastinate_tick()`)
					db.want(ran, runs)
					db.want(next, nexts)
					db.wantHealthy()
				},
				guards: []guard{
					without("the schedule's row", "promote_agenda.sql", bodyOfSchedule, "where s.id = -d.id"),
					without("skip locked", "promote_agenda.sql", bodyOfSchedule, "where s.id = -d.id for update"),
				},
			}.test(t)
		})
	}
}

// A tick is killed when it has inserted the job, and not yet moved the schedule on.
func TestTickThatIsKilledRunsNoSchedule(t *testing.T) {
	race{
		windows: []edit{{"run_schedules.sql", "    update procrastinate_schedules s\n    set enabled", "    perform gate();\n    update procrastinate_schedules s\n    set enabled"}},
		run: func(db *session) {
			one, two := db.session(), db.session()
			db.do(yearly)
			db.do(isDue)
			db.do(tickLongAgo)
			db.shut()
			killed := one.stops(`select procrastinate_tick()`)
			two.do(`select procrastinate_tick()`)
			two.want(``, runs)
			db.do(`select pg_terminate_backend($1)`, one.pid)
			killed.fails("57P01")
			db.open()
			db.becomes(`0`, `select count(*) from pg_stat_activity a where a.pid = $1`, one.pid)
			two.do(`select procrastinate_tick()`)
			db.want(ran, runs)
			db.want(next, nexts)
			two.do(`select procrastinate_tick()`)
			db.want(ran, runs)
			db.wantHealthy()
		},
		guards: []guard{
			without("staying where it could not deal with all", "promote_agenda.sql", "if not v_any or v_seen = v_dealt then", "if true then"),
		},
	}.test(t)
}

// A worker that starts declares its schedules, perhaps while one of them runs.
func TestScheduleThatRunsIsDefinedAnew(t *testing.T) {
	for _, change := range []struct{ name, do, next string }{
		{"as it was", yearly, next},
		{"otherwise", `select procrastinate_define_schedule('s', '0 0 2 1 *', max_lateness => '100 years')`, `s 2027-01-02 00:00:00`},
		{"disabled", `select procrastinate_disable_schedule('s')`, `s`},
		{"enabled", `select procrastinate_enable_schedule('s')`, next},
		{"dropped", `select procrastinate_drop_schedule('s')`, ``},
		{"run now", `select procrastinate_run_schedule('s')`, next},
	} {
		t.Run(change.name, func(t *testing.T) {
			r := race{
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(yearly)
					db.do(isDue)
					one.do(`begin`)
					one.do(`select procrastinate_tick()`)
					late := two.startDo(change.do).waits()
					one.do(`commit`)
					late.want(``)
					db.do(hint)
					db.do(`select procrastinate_tick()`)
					db.want(ran, `select string_agg(j.metadata ->> 'scheduled_for', ', ') from procrastinate_jobs j where j.metadata ->> 'scheduled_for' < '2026-02'`)
					db.want(change.next, nexts)
					db.wantHealthy()
				},
			}
			if change.name == "enabled" { // the others write to the row, and wait for that
				r.guards = []guard{without("the schedule's row", "define_schedule.sql", lockByName, "where s.schedule_name = p_schedule;")}
			}
			r.test(t)
		})
	}
}

// The other way round: a tick comes when somebody has looked at a schedule, and not yet written it. The schedule is put off by a
// second, and then it is as it was written.
func TestScheduleThatIsChangedDoesNotRunMeanwhile(t *testing.T) {
	for _, change := range []struct{ name, do, runs, next string }{
		{"as it was", yearly, ran, next},
		{"otherwise", `select procrastinate_define_schedule('s', '0 0 2 1 *', max_lateness => '100 years')`, `2026-01-02T00:00:00+00:00`, `s 2027-01-02 00:00:00`},
		{"disabled", `select procrastinate_disable_schedule('s')`, ``, `s`},
		{"dropped", `select procrastinate_drop_schedule('s')`, ``, ``},
		{"dropped and defined", `select procrastinate_drop_schedule('s'), procrastinate_define_schedule('s', '0 0 1 1 *')`, ``, next},
		{"disabled and enabled", `select procrastinate_disable_schedule('s'), procrastinate_enable_schedule('s')`, ``, next},
	} {
		t.Run(change.name, func(t *testing.T) {
			lock := without("the schedule's row", "define_schedule.sql", lockByName, "where s.schedule_name = p_schedule;")
			if change.do == yearly || change.name == "otherwise" {
				lock = without("the schedule's row", "define_schedule.sql", "where s.schedule_name = schedule for update;", "where s.schedule_name = schedule;")
			}
			race{
				windows: []edit{
					{"define_schedule.sql", "begin\n    update procrastinate_schedules s\n", "begin\n    perform gate();\n    update procrastinate_schedules s\n"},
					{"define_schedule.sql", "begin\n    delete from procrastinate_schedules s", "begin\n    perform gate();\n    delete from procrastinate_schedules s"},
				},
				run: func(db *session) {
					one, two := db.session(), db.session()
					db.do(yearly)
					db.do(isDue)
					db.do(tickLongAgo)
					db.shut()
					one.do(`set test.gate = 'stop'`)
					changes := one.startDo(change.do).waits()
					two.do(`select procrastinate_tick()`)
					two.want(``, runs)
					db.open()
					changes.want(``)
					db.do(`update procrastinate_agenda a set at = now() where a.at < now() + interval '1 min'`)
					two.do(`select procrastinate_tick()`)
					db.want(change.runs, runs)
					db.want(change.next, nexts)
					db.wantHealthy()
				},
				guards: []guard{
					lock,
					without("skip locked", "promote_agenda.sql", bodyOfSchedule, "where s.id = -d.id for update"),
				},
			}.test(t)
		})
	}
}

// Two workers start, and both declare a schedule that is new.
func TestScheduleIsDefinedByTwoAtOnce(t *testing.T) {
	race{
		run: func(db *session) {
			one, two := db.session(), db.session()
			one.do(`begin`)
			one.do(yearly)
			late := two.startDo(yearly).waits()
			one.do(`commit`)
			late.want(``)
			db.want(next, nexts)
			db.do(isDue)
			db.do(`select procrastinate_tick()`)
			db.want(ran, runs)
			db.wantHealthy()
		},
		guards: []guard{
			without("on conflict", "define_schedule.sql", "    on conflict on constraint procrastinate_schedules_schedule_name_key do nothing;", ";"),
		},
	}.test(t)
}

// The first run passes before the transaction that defined the schedule commits, and so does the clockwork.
func TestScheduleOfALateDefinitionRuns(t *testing.T) {
	race{
		run: func(db *session) {
			one := db.session()
			one.do(`begin`)
			one.do(yearly)
			one.do(isDue)
			db.do(`select pg_current_xact_id()`)
			db.do(tickLongAgo)
			db.do(`select procrastinate_tick()`)
			db.do(tickLongAgo)
			db.do(`select procrastinate_tick()`)
			one.do(`commit`)
			db.do(`select procrastinate_tick()`)
			db.want(ran, runs)
			db.wantHealthy()
		},
		guards: []guard{
			without("the running transactions", "promote_agenda.sql", "select pg_snapshot_xip(v_snapshot) union ", ""),
		},
	}.test(t)
}
