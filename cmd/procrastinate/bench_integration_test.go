//go:build integration

package main

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestBenchLeavesNothing(t *testing.T) {
	environ, conn := installed(t)
	execute(t, conn, `select procrastinate_defer('mine')`)
	code, out, errs := runCommand(t, environ, "bench", "--jobs", "1500")
	shape := regexp.MustCompile(`^deferred  \d+ jobs/s\nrun       \d+ jobs/s, 100 at once\nlatency   p50 \d\S*s, p95 \d\S*s, p99 \d\S*s, of [1-9]\d* single jobs\n1500 jobs `)
	if code != 0 || errs != "" || !shape.MatchString(out) {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	code, out, _ = runCommand(t, environ, "bench", "--jobs", "1", "--json")
	var report map[string]any
	if err := json.Unmarshal([]byte(out), &report); code != 0 || err != nil || report["jobs"] != 1.0 || report["latency_p50_seconds"].(float64) <= 0 {
		t.Errorf("got %d, %q, %v", code, out, err)
	}
	checkLeft(t, conn)
}

func TestAnInterruptedBenchLeavesNothing(t *testing.T) {
	environ, conn := installed(t)
	execute(t, conn, `select procrastinate_defer('mine')`)
	notifyInserts(t, conn)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := started(ctx, environ, "bench", "--jobs", "1000000")
	awaitInsert(t, conn)
	interrupt()
	if got, want := <-ended, `1, "", "procrastinate: interrupted\n"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	checkLeft(t, conn)
}

func TestBenchNeedsTheRightToDelete(t *testing.T) {
	environ, conn := installed(t)
	execute(t, conn, `
		create function no() returns trigger language plpgsql as $$ begin raise 'not you' using errcode = '42501'; end $$;
		create trigger no before delete on procrastinate_jobs execute function no();`)
	code, out, errs := runCommand(t, environ, "bench")
	if code != 1 || out != "" || !strings.Contains(errs, "not you") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	if got := query(t, conn, `select count(*)::text from procrastinate_jobs`); got != "0" {
		t.Errorf("it deferred %s jobs all the same", got)
	}
}

// checkLeft: nothing is left but the one job that was there before.
func checkLeft(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if got := query(t, conn, `
		select j.task_name from procrastinate_jobs j
		union all select t.task_name from procrastinate_tasks t
		union all select w.worker_name from procrastinate_workers w
		union all select c.invariant from procrastinate_check() c`); got != "mine" {
		t.Errorf("it leaves %s", got)
	}
}
