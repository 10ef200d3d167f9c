//go:build integration

package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestJobsList(t *testing.T) {
	s := newSession(t)
	s.variety()
	s.wantJobs("1:doing 2:todo 3:todo 4:failed 5:failed 6:succeeded 7:cancelled 8:todo")
	for flags, want := range map[string]string{
		"":                             "8 7 6 5 4 3 2 1",
		"--limit 2":                    "8 7",
		"--before 3":                   "2 1",
		"--before 7 --limit 1":         "6",
		"--todo":                       "8 3 2",
		"--doing":                      "1",
		"--todo --doing":               "8 3 2 1",
		"--todo --before 8":            "3 2",
		"--todo --limit 1":             "8",
		"--todo --queue out":           "2",
		"--todo --task dull":           "8",
		"--failed":                     "5 4",
		"--failed --before 5":          "4",
		"--failed --status todo":       "8 5 4 3 2",
		"--status failed,cancelled":    "7 5 4",
		"--succeeded --cancelled":      "7 6",
		"--aborted":                    "",
		"--task mail":                  "2 1",
		"--queue paused":               "8",
		"--lock l":                     "2 1",
		"--lock l --todo":              "2",
		"--task mail --queue default ": "",
	} {
		var rows []struct{ ID int64 }
		s.runJSON(0, "jobs list "+flags, &rows)
		ids := ""
		for _, row := range rows {
			ids += fmt.Sprint(" ", row.ID)
		}
		if got := strings.TrimSpace(ids); got != want {
			t.Errorf("%s: got %s, want %s", flags, got, want)
		}
	}
	out, _ := s.run(0, "jobs list --failed --limit 1")
	if got := steady(strings.Join(strings.Fields(out), " ")); got != "ID TASK QUEUE STATUS ATTEMPTS WHEN ERROR 5 bad default failed 1 ended 0s ago bang" {
		t.Errorf("got %s", got)
	}
	for flags, want := range map[string]string{"--task later": "due in 60m", "--doing": "began 0s ago", "--task dull --todo": "due 0s ago", "--cancelled": "ended 0s ago"} {
		if out, _ := s.run(0, "jobs list "+flags); !strings.Contains(steady(out), want) {
			t.Errorf("%s: no %q in %s", flags, want, out)
		}
	}
	if out, errs := s.run(0, "jobs list --aborted"); out != "" || errs != "no jobs\n" {
		t.Errorf("got %q, %q for no rows", out, errs)
	}
	if out, errs := s.run(0, "jobs list --aborted --json"); out != "[]\n" || errs != "" {
		t.Errorf("got %q, %q for no rows", out, errs)
	}
}

func TestJobsListShowsTheErrorOfTheLastAttemptOnly(t *testing.T) {
	s := newSession(t)
	s.exec(`
		select procrastinate_register_worker('w', stalled_after => '1 h');
		select procrastinate_define_task('a', retry_wait => '1 h');
		select procrastinate_defer('a', max_attempts => 9) from generate_series(1, 3);
		select procrastinate_fetch_jobs(1, 10);
		select procrastinate_fail_jobs(1, '{1,2,3}', '{no,no,no}');
		select procrastinate_change_job(j.id, schedule_at => now()) from procrastinate_jobs j where j.id < 3;
		select procrastinate_tick();
		select procrastinate_fetch_jobs(1, 10);
		select procrastinate_finish_jobs(1, '{1}', '{"3"}')`)
	s.wantJobs("1:succeeded 2:doing 3:todo")
	var rows []struct{ Error *string }
	s.runJSON(0, "jobs list", &rows)
	for _, row := range rows {
		if row.Error == nil {
			t.Errorf("a job has no error, so that this test cannot fail")
		}
	}
	for status, want := range map[string]string{"succeeded": "ago", "doing": "ago", "todo": "no"} {
		out, _ := s.run(0, "jobs list --"+status)
		if words := strings.Fields(out); words[len(words)-1] != want {
			t.Errorf("%s: got %s", status, out)
		}
	}
}

func TestJobsShowBoundsTheHistory(t *testing.T) {
	s := newSession(t)
	s.exec(`select procrastinate_defer('a')`)
	s.exec(`
		insert into procrastinate_attempts (job_id, kind, attempt, started_at, worker_id, error, scheduled_at)
		select 1, 'retried', n, now(), 1, 'row ' || n, '2030-01-02 03:04:05.678' from generate_series(1, 2020) n`)
	out, _ := s.run(0, "jobs show 1")
	if !strings.HasSuffix(out, "\n… and 2,000 more, before these\n") || strings.Count(out, "row ") != 20 || !strings.Contains(out, "row 2020\n") ||
		!strings.Contains(out, ":04:05") || strings.Contains(out, ":05.678") {
		t.Errorf("got %s", out)
	}
	var job struct{ History []struct{ Attempt int } }
	s.runJSON(0, "jobs show 1", &job)
	if rows := job.History; len(rows) != 1000 || rows[0].Attempt != 1021 || rows[999].Attempt != 2020 {
		t.Errorf("got %d rows", len(rows))
	}
}

// With more hints than are looked up one by one, the jobs are read.
func TestJobsListOfManyThatWait(t *testing.T) {
	s := newSession(t)
	s.exec(`select count(*) from procrastinate_defer_many((select jsonb_agg(jsonb_build_object('task', 'many')) from generate_series(1, $1::integer)))`, maxHints+5)
	s.exec(`select procrastinate_cancel_job($1)`, maxHints+5)
	var rows []struct{ ID int64 }
	s.runJSON(0, "jobs list --todo --limit 2", &rows)
	if len(rows) != 2 || rows[0].ID != maxHints+4 || rows[1].ID != maxHints+3 {
		t.Errorf("got %v", rows)
	}
}

func TestJobsShowAndExplain(t *testing.T) {
	s := newSession(t)
	s.variety()
	for words, want := range map[string]string{
		"jobs show 4":    "error            boom\nline two\n\ndone: failed 0s ago after 1 attempt: boom line two\n\nAT ",
		"jobs show 1":    "running: attempt 1 began 0s ago at worker 1 (first), which last beat 0s ago\n",
		"jobs explain 1": "running: attempt 1 began 0s ago at worker 1 (first), which ",
		"jobs explain 2": "lock: 1 job before it in lock l, the first is 1 (running: attempt 1 began 0s ago at worker 1 (first), which ",
		"jobs explain 3": "future: due in 60m, at ",
		"jobs explain 6": "done: succeeded 0s ago after 1 attempt\n",
		"jobs explain 8": "paused: queue paused was paused 0s ago. To go on: procrastinate queues resume paused\n",
	} {
		if out, _ := s.run(0, words); !strings.Contains(steady(out), want) {
			t.Errorf("%s: no %q in %s", words, want, out)
		}
	}
	var job struct {
		ID          int64
		Attempts    int
		Args        map[string]string
		Error       *string
		History     []struct{ Kind, Error string }
		Explanation []struct{ Reason string }
	}
	s.runJSON(0, "jobs show 4", &job)
	if job.ID != 4 || job.Attempts != 1 || *job.Error != "boom\nline two" || len(job.History) != 1 || job.History[0].Kind != "failed" ||
		len(job.Explanation) != 1 || job.Explanation[0].Reason != "done" {
		t.Errorf("got %+v", job)
	}
	var reasons []struct {
		Reason string
		Detail map[string]any
	}
	s.runJSON(0, "jobs explain 2", &reasons)
	if len(reasons) != 1 || reasons[0].Reason != "lock" || reasons[0].Detail["job"] != 1.0 {
		t.Errorf("got %v", reasons)
	}
	for _, words := range []string{"jobs show 99", "jobs explain 99", "jobs show 99 --json", "jobs explain 99 --json"} {
		if out, errs := s.run(1, words); out != "" || !strings.Contains(errs, "job 99 does not exist") {
			t.Errorf("%s: got %q, %q", words, out, errs)
		}
	}
}

// The list of reasons is closed: a new one needs a sentence.
func TestEveryReasonHasASentence(t *testing.T) {
	s := newSession(t)
	text := s.ask(`select obj_description('procrastinate_explain_job(bigint)'::regprocedure)`)
	_, text, found := strings.Cut(text, "reason: ")
	text, _, _ = strings.Cut(text, "detail: ")
	unknown := sentence("", detail{})
	count := 0
	for _, part := range strings.Split(text, ". ") {
		if reason, _, named := strings.Cut(part, ":"); named && strings.TrimSpace(reason) == reason && !strings.Contains(reason, " ") {
			count++
			if sentence(reason, detail{}) == unknown {
				t.Errorf("no sentence for %q", reason)
			}
		}
	}
	if !found || count < 12 {
		t.Errorf("found %d reasons in %q", count, text)
	}
}

func TestJobsByID(t *testing.T) {
	s := newSession(t)
	s.variety()
	out, errs := s.run(1, "jobs cancel 3 5 2 99")
	if out != "job 3 cancelled\njob 2 cancelled\n" {
		t.Errorf("got %q", out)
	}
	if want := "procrastinate: job 5 is failed (Only a waiting job can be cancelled, or a running one aborted.)\n" +
		"procrastinate: job 99 does not exist (It may have been deleted or pruned.)\n"; errs != want {
		t.Errorf("got %q, want %q", errs, want)
	}
	s.wantJobs("1:doing 2:cancelled 3:cancelled 4:failed 5:failed 6:succeeded 7:cancelled 8:todo")

	if _, errs := s.run(1, "jobs retry 6 8"); strings.Count(errs, "by procrastinate jobs change.)\n") != 2 {
		t.Errorf("got %q", errs)
	}
	if _, errs := s.run(1, "jobs cancel 1"); !strings.Contains(errs, "job 1 is doing (Only a waiting job can be cancelled. --abort asks its handler to stop.)") {
		t.Errorf("got %q", errs)
	}
	if out, _ := s.run(0, "jobs cancel 1 --abort"); out != "job 1 asked to stop\n" {
		t.Errorf("got %q", out)
	}
	if got := s.ask(`select j.abort_requested::text from procrastinate_jobs j where j.id = 1`); got != "true" {
		t.Errorf("abort_requested is %s", got)
	}

	if out, _ := s.run(0, "jobs retry 4 7"); out != "job 4 todo again\njob 7 todo again\n" {
		t.Errorf("got %q", out)
	}
	s.run(0, "jobs retry 5 --in 1d1h")
	if got := s.ask(`select (j.scheduled_at - now() between '1 d 59 min' and '1 d 1 h')::text from procrastinate_jobs j where j.id = 5`); got != "true" {
		t.Errorf("not due in a day and an hour: %s", got)
	}

	var outcomes []outcome
	s.runJSON(1, "jobs delete 1 6 8 99", &outcomes)
	if got := fmt.Sprint(outcomes); !strings.HasPrefix(got, "[{1  job 1 is doing (procrastinate jobs cancel --abort 1 asks it to stop)} "+
		"{6 deleted } {8 deleted } {99  job 99 does not exist (It may have been deleted or pruned.)}]") {
		t.Errorf("got %s", got)
	}
	s.wantJobs("1:doing 2:cancelled 3:cancelled 4:todo 5:todo 7:todo")
}

func TestJobsChange(t *testing.T) {
	s := newSession(t)
	s.exec(`select procrastinate_defer('a') from generate_series(1, 2)`)
	row := func() string {
		return s.ask(`select j.priority || ' ' || j.queue_name || ' ' || coalesce(j.scheduled_at::text, '-') from procrastinate_jobs j where j.id = 1`)
	}
	for _, step := range []struct{ flags, want string }{
		{"--priority -3", "-3 default -"},
		{"--queue slow", "-3 slow -"},
		{"--priority 0 --queue q --at 2099-01-02T00:00Z", "0 q 2099-01-02 00:00:00+00"},
	} {
		s.exec(`set timezone = 'UTC'`)
		if out, _ := s.run(0, "jobs change 1 "+step.flags); out != "job 1 changed\n" {
			t.Errorf("%s: got %q", step.flags, out)
		}
		if got := row(); got != step.want {
			t.Errorf("%s: got %s, want %s", step.flags, got, step.want)
		}
	}
	s.run(0, "jobs change 1 2 --in 2w")
	if got := s.ask(`select count(*)::text from procrastinate_jobs j where j.scheduled_at - now() between '13 d 23 h' and '14 d'`); got != "2" {
		t.Errorf("%s jobs are due in two weeks", got)
	}
	if _, errs := s.run(2, "jobs change 1 --at someday"); !strings.Contains(errs, `invalid value "someday" for --at: want a time`) {
		t.Errorf("got %q", errs)
	}
	if _, errs := s.run(2, "jobs change 1 --at infinity"); !strings.Contains(errs, "invalid --at: infinity") {
		t.Errorf("got %q", errs)
	}
	s.exec(`select procrastinate_cancel_job(2)`)
	if out, errs := s.run(1, "jobs change 2 1 --priority 1"); out != "job 1 changed\n" || !strings.Contains(errs, "job 2 is cancelled") {
		t.Errorf("got %q, %q", out, errs)
	}
}
