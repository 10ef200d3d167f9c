//go:build integration

package main

import (
	"strings"
	"testing"
)

// table is what a command prints, with one blank between the columns.
func (s *session) table(words string) string {
	s.Helper()
	out, _ := s.run(0, words)
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return steady(strings.Join(lines, "\n"))
}

func TestQueues(t *testing.T) {
	s := newSession(t)
	s.variety()
	want := "QUEUE READY LOCKED FUTURE RUNNING OLDEST WORKERS REMARK\n" +
		"default 0 0 1 0 1\n" +
		"out 0 1 0 1 2\n" +
		"paused 1 0 0 0 0s 1 paused 0s ago"
	if got := s.table("queues"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if out, _ := s.run(0, "queues pause out other"); out != "queue out paused\nqueue other paused (no job is in it)\n" {
		t.Errorf("got %q", out)
	}
	var done map[string][]string
	s.runJSON(0, "queues resume out paused", &done)
	if got := strings.Join(done["resumed"], " "); got != "out paused" {
		t.Errorf("resumed %s", got)
	}
	if got := s.ask(`select p.queue_name from procrastinate_queues p`); got != "other" {
		t.Errorf("%s are paused", got)
	}
	s.exec(`select procrastinate_defer('later', queue => 'fut', schedule_in => '1 h')`)
	if out, _ := s.run(0, "queues resume nope fut"); out != "queue nope resumed (no job is in it)\nqueue fut resumed\n" {
		t.Errorf("got %q", out)
	}
	s.exec(`delete from procrastinate_jobs j where j.queue_name = 'fut'`)
	s.exec(`delete from procrastinate_workers`)
	if got := s.table("queues"); !strings.Contains(got, "\ndefault 0 0 1 0 0 no live worker\n") {
		t.Errorf("got %s", got)
	}
	var rows []struct {
		QueueName string  `json:"queue_name"`
		PausedAt  *string `json:"paused_at"`
		Future    int
	}
	s.runJSON(0, "queues", &rows)
	if len(rows) != 4 || rows[0].QueueName != "default" || rows[0].Future != 1 || rows[0].PausedAt != nil || rows[1].PausedAt == nil {
		t.Errorf("got %+v", rows)
	}
	if _, errs := s.run(2, "queues pause a "+strings.Repeat("x", 129)+" b"); !strings.Contains(errs, "invalid queue: 129 characters") {
		t.Errorf("got %q", errs)
	}
	if got := s.ask(`select p.queue_name from procrastinate_queues p order by 1`); got != "a b other" {
		t.Errorf("%s are paused", got)
	}
}

func TestTasks(t *testing.T) {
	s := newSession(t)
	s.variety()
	if out, _ := s.run(0, "tasks define later --queue q --priority 2 --lock c-{id} --max-attempts 5 --retry-wait 1m --retry-linear 2m "+
		"--retry-exponential 1.5 --retry-max-wait 1d --retry-jitter 0.1 --timeout 10s --on-stall fail --max-rescues 2 "+
		"--keep-succeeded 1w --keep-failed 0s --shared"); out != "task later defined\n" {
		t.Errorf("got %q", out)
	}
	got := s.ask(`select to_jsonb(t) - '{task_name,defined_at,native}'::text[] from procrastinate_tasks t where t.task_name = 'later'`)
	want := `{"lock": "c-{id}", "shared": true, "timeout": "00:00:10", "on_stall": "fail", "priority": 2, "queue_name": "q", "retry_wait": "00:01:00", ` +
		`"keep_failed": "00:00:00", "max_rescues": 2, "max_attempts": 5, "retry_jitter": 0.1, "retry_linear": "00:02:00", "keep_succeeded": "7 days", ` +
		`"retry_max_wait": "1 day", "retry_exponential": 1.5}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.run(0, "tasks define later --priority 0 --shared=false")
	s.run(0, "tasks define * --max-attempts 3")
	want = "TASK READY LOCKED FUTURE RUNNING OLDEST WORKERS DEFINITION\n* max_attempts 3\ndull 1 0 0 0 0s 1\n" +
		"later 0 0 1 0 1 shared false, priority 0\nmail 0 1 0 1 2"
	if got := s.table("tasks"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var rows []struct {
		Name       string         `json:"task_name"`
		Definition map[string]any `json:"definition"`
	}
	s.runJSON(0, "tasks", &rows)
	if len(rows) != 4 || rows[0].Name != "*" || rows[0].Definition["max_attempts"] != 3.0 || rows[1].Definition != nil {
		t.Errorf("got %v", rows)
	}
	if _, errs := s.run(2, "tasks define x --retry-jitter 2"); errs != "procrastinate: wrong use: invalid --retry-jitter: 2 (A fraction from 0 to 1 is accepted.)\n" {
		t.Errorf("got %q", errs)
	}
	out, errs := s.run(1, "tasks drop later nope *")
	if out != "task later dropped\ntask * dropped\n" || errs != "procrastinate: task nope is not defined (Deferring a task needs no definition.)\n" {
		t.Errorf("got %q, %q", out, errs)
	}
}

func TestWorkersAndLocks(t *testing.T) {
	s := newSession(t)
	s.variety()
	s.exec(`update procrastinate_workers w set last_heartbeat = w.last_heartbeat - interval '2 h' where w.id = 2`)
	want := "ID NAME STATUS BEAT RUNNING QUEUES TASKS REGISTERED\n" +
		"1 first alive 0s ago 1 all all 0s ago\n" +
		"2 second silent 2h ago 0 out mail 0s ago"
	if got := s.table("workers"); got != want && got != strings.ReplaceAll(want, "2h ago", "120m ago") {
		t.Errorf("got %s\nwant %s", got, want)
	}
	var workers []struct {
		Name  string `json:"worker_name"`
		Alive bool
	}
	s.runJSON(0, "workers", &workers)
	if len(workers) != 2 || workers[0].Name != "first" || !workers[0].Alive || workers[1].Alive {
		t.Errorf("got %+v", workers)
	}

	want = "LOCK HELD BY HELD FOR WORKER WAITING NEXT NEXT WAITS\nl 1 0s 1 1 2 0s"
	if got := s.table("locks"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	var locks []struct {
		Lock   string
		HeldBy []int64 `json:"held_by"`
	}
	s.runJSON(0, "locks", &locks)
	if len(locks) != 1 || locks[0].Lock != "l" || len(locks[0].HeldBy) != 1 {
		t.Errorf("got %+v", locks)
	}
}

// A transaction pooler keeps no prepared statements, so what is sent must be of a type that needs none.
func TestTheyWorkThroughAPooler(t *testing.T) {
	s := newSession(t)
	s.variety()
	s.environ = append(s.environ, "PROCRASTINATE_POOLER=true")
	for _, words := range []string{
		"jobs list --failed --task bad", "jobs list --todo --before 9 --queue out --lock l", "jobs show 1", "jobs explain 2",
		"jobs change 2 --priority 3 --queue other --in 1h", "jobs cancel 2", "jobs retry 2 --in 1m", "jobs retry 7", "jobs delete 6",
		"jobs retry --failed --task bad --older-than 0s --in 1d --dry-run", "jobs retry --failed --task bad --older-than 0s --in 1d --yes",
		"jobs cancel --queue out --abort --yes", "prune --older-than 0s --queue paused --yes", "queues", "queues pause a", "tasks",
		"tasks define a --queue q --priority 1 --max-attempts 3 --retry-wait 1m --retry-exponential 2 --shared", "tasks drop a", "workers", "locks", "health",
		"schedules define a b:=2 --cron @yearly --task t --timezone Europe/Berlin --queue q --priority 1 --lock l --queueing-lock a --catch-up all --max-lateness 1h --pass-timestamp --disabled",
		"schedules enable a", "schedules", "schedules --json", "schedules show a", "schedules show a --json", "schedules disable a", "schedules drop a",
	} {
		s.run(0, words)
	}
	s.wantJobs("1:doing 2:todo 3:todo 4:todo 5:todo 7:todo 8:todo")
}
