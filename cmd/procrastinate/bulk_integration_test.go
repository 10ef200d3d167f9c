//go:build integration

package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestJobsByFilter(t *testing.T) {
	s := newSession(t)
	s.variety()
	out, _ := s.run(0, "jobs retry --failed --task bad --older-than 0s --dry-run")
	if !strings.HasPrefix(out, "2 jobs would be retried: task bad, failed, older than 0s\nID ") || strings.Count(out, "\n") != 4 {
		t.Errorf("got %s", out)
	}
	var seen preview
	s.runJSON(0, "jobs retry --failed --dry-run", &seen)
	if seen.Jobs != 2 || seen.More || len(seen.Sample) != 2 {
		t.Errorf("got %+v", seen)
	}
	if out, _ := s.run(0, "jobs retry --task nope --dry-run"); out != "0 jobs would be retried: task nope, failed\n" {
		t.Errorf("got %q", out)
	}
	s.runJSON(0, "jobs retry --task nope --dry-run", &seen)
	s.wantJobs("1:doing 2:todo 3:todo 4:failed 5:failed 6:succeeded 7:cancelled 8:todo")

	s.exec(`
		update procrastinate_jobs j set deferred_at = j.deferred_at - interval '2 h' where j.id in (3, 4);
		update procrastinate_jobs j set started_at = j.started_at - interval '2 h' where j.id in (1, 5);
		update procrastinate_jobs j set finished_at = j.finished_at - interval '2 h' where j.id in (6)`)
	for words, want := range map[string]string{
		"jobs cancel --older-than 1h":                      "1 job would be cancelled: todo, older than 1h",
		"jobs cancel --doing --abort --older-than 119m":    "1 job would be cancelled or asked to stop: doing, older than 119m",
		"jobs cancel --doing --abort --older-than 2h1m":    "0 jobs would be cancelled or asked to stop: doing, older than 2h1m",
		"jobs delete --succeeded --failed --older-than 1h": "1 job would be deleted: failed or succeeded, older than 1h",
	} {
		if out, _ := s.run(0, words+" --dry-run"); !strings.HasPrefix(out, want+"\n") {
			t.Errorf("%s: got %s, want %s", words, out, want)
		}
	}

	for _, step := range []struct{ words, out, jobs string }{
		{"jobs retry --failed --older-than 1h --yes", "0 jobs retried", "1:doing 2:todo 3:todo 4:failed 5:failed 6:succeeded 7:cancelled 8:todo"},
		{"jobs retry --failed --queue out --yes", "0 jobs retried", "1:doing 2:todo 3:todo 4:failed 5:failed 6:succeeded 7:cancelled 8:todo"},
		{"jobs retry --cancelled --in 1h --yes", "1 job retried", "1:doing 2:todo 3:todo 4:failed 5:failed 6:succeeded 7:todo 8:todo"},
		{"jobs retry --task bad --yes", "2 jobs retried", "1:doing 2:todo 3:todo 4:todo 5:todo 6:succeeded 7:todo 8:todo"},
		{"jobs cancel --task dull --yes", "2 jobs cancelled", "1:doing 2:todo 3:todo 4:todo 5:todo 6:succeeded 7:cancelled 8:cancelled"},
		{"jobs cancel --queue out --yes", "1 job cancelled", "1:doing 2:cancelled 3:todo 4:todo 5:todo 6:succeeded 7:cancelled 8:cancelled"},
		{"jobs cancel --queue out --abort --yes", "1 job cancelled or asked to stop", "1:doing 2:cancelled 3:todo 4:todo 5:todo 6:succeeded 7:cancelled 8:cancelled"},
		{"jobs cancel --queue out --abort --dry-run", "0 jobs would be cancelled or asked to stop: queue out, todo or doing", "1:doing 2:cancelled 3:todo 4:todo 5:todo 6:succeeded 7:cancelled 8:cancelled"},
		{"jobs delete --queue out --yes", "1 job deleted", "1:doing 3:todo 4:todo 5:todo 6:succeeded 7:cancelled 8:cancelled"},
		{"jobs delete --todo --task later --yes", "1 job deleted", "1:doing 4:todo 5:todo 6:succeeded 7:cancelled 8:cancelled"},
		{"prune --older-than 3h --yes", "0 jobs deleted", "1:doing 4:todo 5:todo 6:succeeded 7:cancelled 8:cancelled"},
		{"prune --older-than 0s --queue paused --yes", "1 job deleted", "1:doing 4:todo 5:todo 6:succeeded 7:cancelled"},
		{"prune --older-than 0s --status succeeded --yes", "1 job deleted", "1:doing 4:todo 5:todo 7:cancelled"},
	} {
		if out, _ := s.run(0, step.words); out != step.out+"\n" {
			t.Errorf("%s: got %q, want %q", step.words, out, step.out)
		}
		s.wantJobs(step.jobs)
	}
	if got := s.ask(`select j.abort_requested::text from procrastinate_jobs j where j.id = 1`); got != "true" {
		t.Errorf("abort_requested is %s", got)
	}
	var done map[string]int
	s.runJSON(0, "prune --older-than 0s --yes", &done)
	if done["jobs"] != 1 {
		t.Errorf("got %v", done)
	}
}

func TestThePreviewShowsFiveOfMany(t *testing.T) {
	s := newSession(t)
	s.exec(`
		insert into procrastinate_jobs (task_name, status, started_at, finished_at)
		select 'old', 'succeeded', now(), now() - interval '31 d' from generate_series(1, 1234)`)
	out, _ := s.run(0, "prune --older-than 30d --dry-run")
	if !strings.HasPrefix(out, "1,234 jobs would be deleted: succeeded or failed or cancelled or aborted, older than 30d\n5 of them:\nID ") || strings.Count(out, "\n") != 8 {
		t.Errorf("got %s", out)
	}
	if out, _ := s.run(0, "prune --older-than 32d --dry-run"); !strings.HasPrefix(out, "0 jobs") {
		t.Errorf("got %s", out)
	}
}

// A job that was retried may fail again at once. A command that met it once more would never end.
func TestABulkActLeavesWhatCameLater(t *testing.T) {
	s := newSession(t)
	var began time.Time
	if err := s.conn.QueryRow(t.Context(), `select clock_timestamp()`).Scan(&began); err != nil {
		t.Fatal(err)
	}
	s.variety()
	retry := &bulk{past: "retried", function: "procrastinate_retry_jobs", filter: filter{usual: []string{"failed"}}}
	count, err := retry.act(t.Context(), &database{conn: s.conn}, io.Discard, preview{at: began})
	if count != 0 || err != nil {
		t.Errorf("got %d, %v; want none that failed after it began", count, err)
	}
	if err := s.conn.QueryRow(t.Context(), `select clock_timestamp()`).Scan(&began); err != nil {
		t.Fatal(err)
	}
	count, err = retry.act(t.Context(), &database{conn: s.conn}, io.Discard, preview{at: began})
	if count != 2 || err != nil {
		t.Errorf("got %d, %v; want 2", count, err)
	}
}

// The first batch is held up by a lock of ours until the interrupt is there.
func TestAnInterruptEndsAfterTheBatch(t *testing.T) {
	s := newSession(t)
	s.exec(`
		insert into procrastinate_jobs (task_name, status, started_at, finished_at)
		select 'old', 'succeeded', now(), now() - interval '31 d' from generate_series(1, $1::integer)`, 2*batchSize)
	s.exec(`
		create function wait_for_test() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock(4711); return null; end';
		create trigger wait_for_test after delete on procrastinate_jobs for each statement execute function wait_for_test();
		select pg_advisory_lock(4711)`)
	ctx, interrupt := context.WithCancel(t.Context())
	type result struct {
		err          error
		stdout, errs string
	}
	ended := make(chan result)
	go func() {
		var out, errs strings.Builder
		err := run(ctx, []string{"prune", "--older-than", "30d", "--yes"}, s.environ, &out, &errs)
		ended <- result{err, out.String(), errs.String()}
	}()
	s.waitFor(`select exists (
		select from pg_locks l
		where l.locktype = 'advisory' and l.objid = 4711 and not l.granted
		  and l.database = (select d.oid from pg_database d where d.datname = current_database()))`)
	interrupt()
	s.exec(`select pg_advisory_unlock(4711)`)
	got := <-ended
	if exitCode(got.err) != 1 || !errors.Is(got.err, errInterrupted) || got.stdout != "" || got.errs != "procrastinate: 10,000 jobs deleted: interrupted\n" {
		t.Errorf("got %+v", got)
	}
	if left := s.ask(`select count(*)::text from procrastinate_jobs`); left != "10000" {
		t.Errorf("%s are left", left)
	}
}
