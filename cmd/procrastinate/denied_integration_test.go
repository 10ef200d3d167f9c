//go:build integration

package main

import (
	"context"
	"net/url"
	"testing"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

// A refusal is on one line, after nothing else, and names what is to be granted.
func TestWhatARoleMayNotDo(t *testing.T) {
	server, err := url.Parse(testdb.URL(t))
	if err != nil || server.Scheme == "" {
		t.Skip("DATABASE_URL is no URL to change")
	}
	s := newSession(t)
	s.exec(`select procrastinate_defer('a')`)
	schema := s.ask(`select current_schema()::text`)
	role := "role_" + schema
	s.exec("create role " + role)
	t.Cleanup(func() {
		if _, err := testdb.Connect(t, "").Exec(context.Background(), "drop owned by "+role+"; drop role "+role); err != nil {
			t.Error(err)
		}
	})
	s.exec("grant usage on schema " + schema + " to " + role)
	s.exec("grant execute on function procrastinate_version to " + role)
	s.exec("grant execute on function procrastinate_resume_queue to " + role)
	s.exec("grant execute on function procrastinate_enable_schedule to " + role)
	parameters := server.Query()
	parameters.Set("role", role)
	server.RawQuery = parameters.Encode()
	s.environ = append(s.environ, "DATABASE_URL="+server.String())

	for words, want := range map[string]string{
		"jobs list":        "table procrastinate_jobs (needed: grant select on procrastinate_jobs)",
		"jobs list --json": "table procrastinate_jobs (needed: grant select on procrastinate_jobs)",
		"jobs show 1":      "table procrastinate_jobs (needed: grant select on procrastinate_jobs)",
		"jobs delete 1":    "table procrastinate_jobs (needed: grant select, delete on procrastinate_jobs)",
		"jobs explain 1":   "function procrastinate_explain_job (needed: grant execute on function procrastinate_explain_job)",
		"jobs cancel 1":    "function procrastinate_cancel_job (needed: grant execute on function procrastinate_cancel_job)",
		"queues":           "view procrastinate_queue_stats (needed: grant select on procrastinate_queue_stats)",
		"queues pause a":   "function procrastinate_pause_queue (needed: grant execute on function procrastinate_pause_queue)",
		"tasks":            "view procrastinate_task_stats (needed: grant select on procrastinate_task_stats)",
		"workers":          "view procrastinate_worker_status (needed: grant select on procrastinate_worker_status)",
		"locks":            "view procrastinate_lock_stats (needed: grant select on procrastinate_lock_stats)",
		"schedules":        "view procrastinate_schedule_status (needed: grant select on procrastinate_schedule_status)",
		"schedules show a": "view procrastinate_schedule_status (needed: grant select on procrastinate_schedule_status)",
		"schedules run a":  "function procrastinate_run_schedule (needed: grant execute on function procrastinate_run_schedule)",
		"defer a":          "function procrastinate_defer (needed: grant execute on function procrastinate_defer)",
		"tick":             "function procrastinate_tick (needed: grant execute on function procrastinate_tick)",
		"check":            "function procrastinate_check (needed: grant execute on function procrastinate_check)",
		"repair":           "function procrastinate_check (needed: grant execute on function procrastinate_check)",
	} {
		out, errs := s.run(1, words)
		if want := "procrastinate: permission denied for " + want + "\n"; out != "" || errs != want {
			t.Errorf("%s: got %q, %q; want %q", words, out, errs, want)
		}
	}
	if out, errs := s.run(0, "queues resume a"); out != "queue a resumed\n" || errs != "" {
		t.Errorf("without a right to look: got %q, %q", out, errs)
	}
	s.exec(`select procrastinate_define_schedule('a', '@daily')`)
	if out, errs := s.run(0, "schedules enable a"); out != "schedule a enabled\n" || errs != "" {
		t.Errorf("without a right to look: got %q, %q", out, errs)
	}
}
