//go:build integration

package main

import (
	"strings"
	"testing"
	"time"
)

func TestDefineASchedule(t *testing.T) {
	s := newSession(t)
	define := func(want string, words ...string) {
		t.Helper()
		code, out, errs := runCommand(t, s.environ, append([]string{"schedules", "define"}, words...)...)
		if code != 0 || steady(out) != want || errs != "" {
			t.Errorf("%s: got %d, %q, %q; want %q", words, code, out, errs, want)
		}
	}
	stored := func(want string) {
		t.Helper()
		got := s.ask(`select jsonb_strip_nulls(to_jsonb(s) - '{id,defined_at,next_at}'::text[]) from procrastinate_schedules s`)
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	define("schedule report defined, next run in 0s\n", "report", "to=ada", "n:=3", "--cron", "* * * * * */2", "--task", "send", "--timezone", "Europe/Berlin",
		"--queue", "q", "--priority", "-2", "--lock", "l", "--queueing-lock", "ql", "--catch-up", "all", "--max-lateness", "1d2h", "--pass-timestamp")
	stored(`{"args": {"n": 3, "to": "ada"}, "cron": "* * * * * */2", "lock": "l", "enabled": true, "catch_up": "all", "priority": -2, "timezone": "Europe/Berlin", ` +
		`"task_name": "send", "queue_name": "q", "max_lateness": "1 day 02:00:00", "queueing_lock": "ql", "schedule_name": "report", "pass_timestamp": true}`)

	// the whole of it is replaced, but for what --disabled says
	plain := `{"args": {"a": 1}, "cron": "@yearly", "enabled": false, "catch_up": "last", "timezone": "UTC", "task_name": "report", "max_lateness": "00:10:00", ` +
		`"schedule_name": "report", "pass_timestamp": false}`
	define("schedule report defined, disabled\n", "report", `{"a": 1}`, "--cron", "@yearly", "--disabled")
	stored(plain)
	define(`{"defined":["report"],"next_at":null}`+"\n", "report", `{"a": 1}`, "--cron", "@yearly", "--json")
	stored(plain)
	var defined struct {
		NextAt time.Time `json:"next_at"`
	}
	s.runJSON(0, "schedules define report --cron @yearly --disabled=false", &defined)
	if next := defined.NextAt.UTC(); next.Before(time.Now()) || next.Format("01-02 15:04:05") != "01-01 00:00:00" {
		t.Errorf("the next run is at %s", next)
	}

	for words, want := range map[string]string{
		"x --cron 61,*,*,*,*":                                  "invalid --cron: ",
		"x --cron @daily --timezone CET":                       "invalid --timezone: CET (",
		"x --cron @daily --catch-up some":                      "invalid --catch-up: some (none, last and all are accepted.)",
		"x --cron @daily --max-lateness 101y":                  `invalid value "101y" for --max-lateness`,
		"x --cron @daily --task " + tooLong:                    "invalid --task: 129 characters",
		"x --cron @daily --queue " + tooLong:                   "invalid --queue: 129 characters",
		"x --cron @daily --lock " + strings.Repeat(tooLong, 8): "invalid --lock: 1032 bytes",
		tooLong + " --cron @daily":                             "invalid schedule: 129 characters",
		`x {"a":"\u0000"} --cron @daily`:                       `unsupported Unicode escape sequence`,
	} {
		if out, errs := s.run(2, "schedules define "+words); out != "" || !strings.HasPrefix(errs, "procrastinate: wrong use: "+want) {
			t.Errorf("%s: got %q, %q; want %q", words, out, errs, want)
		}
	}
	if got := s.ask(`select s.schedule_name from procrastinate_schedules s`); got != "report" {
		t.Errorf("%s are defined", got)
	}
}

var tooLong = strings.Repeat("x", 129)

func TestListSchedules(t *testing.T) {
	s := newSession(t)
	if out, errs := s.run(0, "schedules"); out != "" || errs != "" {
		t.Errorf("of none: got %q, %q", out, errs)
	}
	s.exec(`
		select procrastinate_define_schedule('a new one', '0 0 1 1 *', 'mail', timezone => 'Europe/Berlin');
		select procrastinate_define_schedule(n, '@yearly', 't') from unnest('{deleted,off,overdue,ran,skipped,skipped once}'::text[]) n;
		update procrastinate_schedules s set next_at = now() + interval '3 d 1 h' where s.enabled;
		select procrastinate_run_schedule(n) from unnest('{deleted,ran,skipped,skipped once}'::text[]) n;
		update procrastinate_schedules s set last_at = now() - interval '3 h' where s.last_at is not null;
		select procrastinate_disable_schedule('off');
		update procrastinate_schedules s set next_at = now() - interval '50 h' where s.schedule_name = 'overdue';
		update procrastinate_schedules s set skipped_at = now() - interval '2 h', skipped_why = 'too late' where s.schedule_name in ('off', 'skipped');
		update procrastinate_schedules s set skipped_at = now() - interval '4 h', skipped_why = 'too late' where s.schedule_name = 'skipped once';
		delete from procrastinate_jobs j where j.metadata ->> 'schedule' = 'deleted'`)
	want := "SCHEDULE CRON TASK NEXT LAST JOB STATUS REMARK\n" +
		"a new one 0 0 1 1 * Europe/Berlin mail in 3d\n" +
		"deleted @yearly t in 3d 3h ago 1 deleted\n" +
		"off @yearly t disabled; skipped 2h ago: too late\n" +
		"overdue @yearly t due 2d ago overdue\n" +
		"ran @yearly t in 3d 3h ago 2 todo\n" +
		"skipped @yearly t in 3d 3h ago 3 todo skipped 2h ago: too late\n" +
		"skipped once @yearly t in 3d 3h ago 4 todo"
	if got := s.table("schedules"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}

	var rows []struct {
		Name     string      `json:"schedule_name"`
		Status   *string     `json:"last_job_status"`
		Overdue  *string     `json:"overdue_for"`
		NextAt   *time.Time  `json:"next_at"`
		NextRuns []time.Time `json:"next_runs"`
	}
	s.runJSON(0, "schedules", &rows)
	if len(rows) != 7 || rows[1].Status != nil || rows[4].Status == nil || rows[3].Overdue == nil || rows[4].Overdue != nil {
		t.Fatalf("got %+v", rows)
	}
	if runs := rows[2].NextRuns; runs == nil || len(runs) > 0 {
		t.Errorf("one that is disabled runs %v", runs)
	}
	if runs := rows[3].NextRuns; len(runs) != 5 || runs[0].Before(time.Now()) {
		t.Errorf("one that is overdue runs %v", runs)
	}
	if runs := rows[4].NextRuns; len(runs) != 5 || !runs[0].Equal(*rows[4].NextAt) || runs[1].UTC().YearDay() != 1 || runs[4].Year()-runs[1].Year() != 3 {
		t.Errorf("one that was moved to %s runs %v", rows[4].NextAt, runs)
	}
}

func TestShowASchedule(t *testing.T) {
	s := newSession(t)
	s.exec(`
		select procrastinate_define_schedule('report', '30 7 * * mon-fri', args => '{"to": "ada"}', timezone => 'Europe/Berlin', queue => 'q');
		select procrastinate_define_schedule('off', '@daily', enabled => false)`)
	sections := func(name string) []string {
		t.Helper()
		out, _ := s.run(0, "schedules show "+name)
		return strings.Split(out, "\n\n")
	}

	parts := sections("report")
	if want := "schedule name   report\ncron            30 7 * * mon-fri\ntimezone        Europe/Berlin\ntask name       report\nargs            {\"to\": \"ada\"}\n" +
		"queue name      q\ncatch up        last\nmax lateness    00:10:00\npass timestamp  f\nenabled         t\n"; len(parts) != 2 || !strings.HasPrefix(parts[0], want) {
		t.Fatalf("got %q, want %q", parts, want)
	}
	runs := strings.Split(strings.TrimSpace(parts[1]), "\n")
	if len(runs) != 6 || strings.Join(strings.Fields(runs[0]), " ") != "NEXT RUN IN LOCAL TIME" {
		t.Fatalf("got %q", runs)
	}
	for _, run := range runs[1:] {
		local, err := time.Parse("Mon 2006-01-02 15:04:05", run[strings.LastIndex(run, "  ")+2:])
		if err != nil || local.Format("15:04") != "07:30" || local.Weekday() == time.Saturday || local.Weekday() == time.Sunday {
			t.Errorf("it runs at %q, %v", run, err)
		}
	}
	if parts := sections("off"); len(parts) != 1 || strings.Contains(parts[0], "next at") {
		t.Errorf("one that is disabled: got %q", parts)
	}

	s.exec(`select procrastinate_run_schedule('report')`)
	parts = sections("report")
	if len(parts) != 3 || !strings.HasSuffix(parts[0], "\nlast job status  todo") || !strings.Contains(parts[2], "\n1   report  q      todo    0  ") {
		t.Errorf("with a job: got %q", parts)
	}
	var record struct {
		Name     string `json:"schedule_name"`
		Args     struct{ To string }
		NextAt   time.Time   `json:"next_at"`
		NextRuns []time.Time `json:"next_runs"`
		LastJob  *struct {
			ID       int64
			Metadata struct{ Schedule string }
		} `json:"last_job"`
	}
	s.runJSON(0, "schedules show report", &record)
	if record.Name != "report" || record.Args.To != "ada" || len(record.NextRuns) != 5 || !record.NextRuns[0].Equal(record.NextAt) ||
		record.LastJob == nil || record.LastJob.ID != 1 || record.LastJob.Metadata.Schedule != "report" {
		t.Errorf("got %+v", record)
	}
	s.exec(`delete from procrastinate_jobs`)
	if parts := sections("report"); len(parts) != 2 {
		t.Errorf("its job deleted: got %q", parts)
	}
	for _, words := range []string{"schedules show nope", "schedules show nope --json"} {
		if out, errs := s.run(1, words); out != "" || errs != "procrastinate: schedule nope is not defined (procrastinate schedules lists those that are.)\n" {
			t.Errorf("%s: got %q, %q", words, out, errs)
		}
	}
}

func TestActOnSchedules(t *testing.T) {
	s := newSession(t)
	s.exec(`select procrastinate_define_schedule(n, '@yearly', queueing_lock => 'lock of ' || n) from unnest('{a,b}'::text[]) n`)
	s.exec(`update procrastinate_schedules s set next_at = now() + interval '3 d 1 h'`)
	unknown := "procrastinate: schedule nope is not defined (procrastinate schedules lists those that are.)\n"
	for _, step := range []struct {
		words     string
		code      int
		out, errs string
		enabled   string
	}{
		{"schedules run b", 0, "1\n", "", "a b"},
		{"schedules run b", 1, "", "procrastinate: job 1 waits with queueing lock lock of b\n", "a b"},
		{"schedules run nope", 1, "", unknown, "a b"},
		{"schedules disable b nope", 1, "schedule b disabled\n", unknown, "a"},
		{"schedules disable a --json", 0, `{"disabled":["a"]}` + "\n", "", ""},
		{"schedules run a --json", 0, `{"id":3}` + "\n", "", ""},
		{"schedules enable nope", 1, "", unknown, ""},
		{"schedules drop a a", 1, "schedule a dropped\n", strings.ReplaceAll(unknown, "nope", "a"), ""},
	} {
		out, errs := s.run(step.code, step.words)
		if out != step.out || errs != step.errs {
			t.Errorf("%s: got %q, %q; want %q, %q", step.words, out, errs, step.out, step.errs)
		}
		if got := s.ask(`select s.schedule_name from procrastinate_schedules s where s.enabled order by 1`); got != step.enabled {
			t.Errorf("%s: %q are enabled, want %q", step.words, got, step.enabled)
		}
	}
	in := `select 'in ' || ` + age("procrastinate_cron_next('@yearly')")
	if out, _ := s.run(0, "schedules enable b"); out != "schedule b enabled, next run "+s.ask(in)+"\n" {
		t.Errorf("got %q", out)
	}
	s.wantJobs("1:todo 3:todo")
}
