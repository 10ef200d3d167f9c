//go:build integration

package main

import (
	"strings"
	"testing"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
)

// health returns the checks that fail, and what the check named found.
func (s *session) health(flags, check string) (failing, text string) {
	s.Helper()
	var answer struct {
		Healthy bool
		Checks  []finding
	}
	code, out, errs := runCommand(s.T, s.environ, strings.Fields("health --json "+flags)...)
	decode(s.T, out, &answer)
	var failed []string
	for _, f := range answer.Checks {
		if !f.OK {
			failed = append(failed, f.Check)
		}
		if f.Check == check {
			text = f.Text
		}
	}
	if code != min(len(failed), 1) || answer.Healthy != (len(failed) == 0) || errs != "" {
		s.Errorf("%s: got exit code %d, %s%s", flags, code, out, errs)
	}
	return strings.Join(failed, " "), text
}

func (s *session) wantHealth(flags, failing, check, text string) {
	s.Helper()
	gotFailing, gotText := s.health(flags, check)
	if gotFailing != failing || !strings.Contains(steady(gotText), text) {
		s.Errorf("%s: got %q failing, %s %q; want %q and %q", flags, gotFailing, check, gotText, failing, text)
	}
}

func TestHealth(t *testing.T) {
	s := newSession(t)
	s.wantHealth("", "workers", "workers", "0 alive; want at least 1")
	s.wantHealth("--min-workers 0", "", "waiting", "no job that could start")
	s.wantHealth("--min-workers 0", "", "schema", worker.Version)

	s.exec(`select procrastinate_register_worker('w', queues => '{default}', tasks => '{a,b}', stalled_after => '1 h')`)
	s.wantHealth("", "", "workers", "1 alive")
	s.wantHealth("--min-workers 2", "workers", "workers", "1 alive; want at least 2")
	s.exec(`update procrastinate_workers w set last_heartbeat = w.last_heartbeat - interval '2 h'`)
	s.wantHealth("", "workers", "workers", "0 alive, 1 silent; want at least 1")
	s.exec(`select procrastinate_beat(1)`)

	// what waits: moved rows, not the clock
	s.exec(`select procrastinate_defer('a'); select procrastinate_defer('b'); select procrastinate_defer('a', schedule_in => '1 h')`)
	s.exec(`update procrastinate_jobs j set deferred_at = j.deferred_at - interval '10 min' where j.id = 2`)
	s.wantHealth("--max-wait 11m", "", "waiting", "10m, job 2, task b, queue default")
	s.wantHealth("--max-wait 9m", "waiting", "waiting", "10m, job 2, task b, queue default; want at most 9m")
	s.exec(`select procrastinate_cancel_job(2)`)
	s.wantHealth("--max-wait 9m", "", "waiting", "0s, job 1, task a")

	// who serves it
	s.exec(`select procrastinate_defer('c', queue => 'q'); select procrastinate_defer('a', queue => 'q'); select procrastinate_defer('c')`)
	s.wantHealth("", "served", "served", "no live worker for task ")
	for _, name := range []string{"task c in queue q", "task a in queue q", "task c in queue default"} {
		s.wantHealth("", "served", "served", name)
	}
	s.exec(`select procrastinate_pause_queue('q')`)
	s.wantHealth("", "served", "served", "no live worker for task c in queue default")
	s.exec(`update procrastinate_workers set tasks = null`)
	s.wantHealth("", "", "served", "has a live worker")
	s.exec(`select procrastinate_resume_queue('q'); update procrastinate_workers set queues = null`)
	s.wantHealth("", "", "served", "has a live worker")

	// who ticks
	s.exec(`update procrastinate_ticks t set at = t.at - interval '2 min'`)
	s.wantHealth("", "clockwork", "clockwork", "ticked 2m ago; want at most 1m")
	s.wantHealth("--max-tick 1h", "", "clockwork", "ticked 2m ago")
	s.exec(`select procrastinate_tick()`)
	s.wantHealth("", "", "clockwork", "ticked 0s ago")

	// what is overdue
	s.wantHealth("--max-wait 9m", "", "schedules", "no run is overdue")
	s.exec(`select procrastinate_define_schedule(n, '@yearly') from unnest('{one,two,three}'::text[]) n`)
	s.wantHealth("--max-wait 9m", "", "schedules", "no run is overdue")
	s.exec(`update procrastinate_schedules s set next_at = now() - interval '5 min' * s.id where s.id < 3`)
	s.wantHealth("", "", "schedules", "10m overdue, schedule two")
	s.wantHealth("--max-wait 11m", "", "schedules", "10m overdue, schedule two")
	s.wantHealth("--max-wait 9m", "schedules", "schedules", "10m overdue, schedule two; want at most 9m")
	s.exec(`select procrastinate_disable_schedule(n) from unnest('{one,two}'::text[]) n`)
	s.wantHealth("--max-wait 9m", "", "schedules", "no run is overdue")

	out, _ := s.run(0, "health")
	out = steady(out)
	lines := strings.Split(out, "\n")
	if len(lines) != 8 || !strings.HasPrefix(lines[0], "ok  database   PostgreSQL ") || lines[5] != "ok  clockwork  ticked 0s ago" || lines[6] != "ok  schedules  no run is overdue" {
		t.Errorf("got %s", out)
	}
	if out, _ := s.run(1, "health --min-workers 9"); !strings.Contains(out, "\nFAIL  workers    1 alive; want at least 9\n") {
		t.Errorf("got %s", out)
	}
}

// Each kind of hint leads to the job that waits.
func TestHealthFindsWhatWaits(t *testing.T) {
	waitedFor := `update procrastinate_jobs j set deferred_at = j.deferred_at - interval '10 min' where j.id = 1;`
	for name, test := range map[string]struct{ sql, want string }{
		"a free lock":        {`select procrastinate_defer('a', lock => 'l');`, "10m, job 1"},
		"the head of a lock": {`select procrastinate_defer('a', lock => 'l') from generate_series(1, 2);`, "10m, job 1"},
		"a held lock": {`
			select procrastinate_defer('a', lock => 'l');
			select procrastinate_register_worker('w', stalled_after => '1 h');
			select procrastinate_fetch_jobs(1, 1);
			select procrastinate_defer('a', lock => 'l', priority => 1);`, "no job that could start"},
		"a lock that was handed over": {`
			select procrastinate_defer('a', lock => 'l', priority => 1);
			select procrastinate_defer('a', lock => 'l', priority => 2);
			select procrastinate_register_worker('w', stalled_after => '1 h');
			select procrastinate_fetch_jobs(1, 1);
			select procrastinate_fetch_jobs(1, 1);          -- finds it held, and drops its other token
			select procrastinate_finish_jobs(1, '{2}');`, "10m, job 1"},
		"a job that was given back": {`
			select procrastinate_defer('a');
			select procrastinate_register_worker('w', stalled_after => '1 h');
			select procrastinate_fetch_jobs(1, 1);
			select procrastinate_return_jobs(1, '{1}');
			update procrastinate_jobs set scheduled_at = null;`, "10m, job 1"},
		"a job that is due, and nobody ticks": {`
			select procrastinate_defer('a', schedule_in => '1 h');
			update procrastinate_jobs j set scheduled_at = j.scheduled_at - interval '70 min';
			update procrastinate_agenda a set at = a.at - interval '70 min';
			update procrastinate_jobs j set deferred_at = j.deferred_at - interval '70 min';`, "10m, job 1"},
		"a job behind many that were cancelled": {`
			select procrastinate_defer('a') from generate_series(1, 100);
			update procrastinate_jobs j set deferred_at = j.deferred_at - interval '10 min' where j.id = 100;
			select procrastinate_cancel_job(i) from generate_series(1, 99) i;`, "10m, job 100"},
		"a job in a paused queue": {`
			select procrastinate_defer('a');
			select procrastinate_pause_queue('default');`, "no job that could start"},
		"a job that is due in a paused queue, and nobody ticks": {`
			select procrastinate_defer('a', schedule_in => '1 h');
			update procrastinate_jobs j set scheduled_at = j.scheduled_at - interval '70 min';
			update procrastinate_agenda a set at = a.at - interval '70 min';
			select procrastinate_pause_queue('default');`, "no job that could start"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession(t)
			for statement := range strings.SplitSeq(test.sql+waitedFor, ";") { // each a transaction
				s.exec(statement)
			}
			if _, text := s.health("", "waiting"); !strings.HasPrefix(text, test.want) {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
}

func TestHealthWithoutASchemaOrADatabase(t *testing.T) {
	schema := testdb.Schema(t, "test_")
	s := &session{T: t, environ: []string{"DATABASE_URL=" + testdb.URL(t), "PROCRASTINATE_SCHEMA=" + schema}}
	s.wantHealth("", "schema", "schema", `schema "`+schema+`" is not installed; run "procrastinate migrate --schema `)
	s.environ = nowhere
	s.wantHealth("", "database", "database", "connection refused")
	code, out, errs := runCommand(t, s.environ, "health")
	if code != 1 || !strings.HasPrefix(out, "FAIL  database  ") || strings.Count(out, "\n") != 1 || errs != "" {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}
