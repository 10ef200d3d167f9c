//go:build integration

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
)

func TestMigrateThenWork(t *testing.T) {
	schema := testdb.Schema(t, "test_")
	conn := testdb.Connect(t, "")
	environ := append(os.Environ(), "PROCRASTINATE_SCHEMA="+schema)
	steps := []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"worker", "--handler", "x=exec:true", "--one-shot"}, 1, ""},
		{[]string{"migrate", "--status"}, 1, "functions  missing\n"},
		{[]string{"migrate"}, 0, "installed functions "},
		{[]string{"migrate"}, 0, "nothing to do\n"},
		{[]string{"migrate", "--status"}, 0, ", current\n"},
	}
	for _, step := range steps {
		code, out, errs := runCommand(t, environ, step.args...)
		if code != step.code || !strings.Contains(out, step.out) {
			t.Fatalf("%v: got %d, %q, %q; want %d, %q", step.args, code, out, errs, step.code, step.out)
		}
	}

	if _, err := conn.Exec(t.Context(), "set search_path = "+schema+"; update procrastinate_install set digest = null"); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCommand(t, environ, "migrate", "--status")
	if want := "functions  " + worker.Version + ", installed by other means; migrate will install them once more\n"; code != 1 || !strings.HasSuffix(out, want) {
		t.Errorf("installed by hand: got %d, %q, %q; want 1, %q", code, out, errs, want)
	}
	_, err := conn.Exec(t.Context(), `
		select procrastinate_defer('sum', '{"a": 3, "b": 5}');
		select procrastinate_defer('bad', max_attempts => 5);
		select procrastinate_defer('slow', timeout => '1 s');
		select procrastinate_defer('other');`)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "sum")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"{\\\"got\\\": $PROCRASTINATE_ARGS}\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	code, _, errs = runCommand(t, environ, "worker", "--one-shot", "--log-format", "json",
		"--handler", "sum=exec:"+script, "--handler", "bad=exec:sh -c 'echo broken >&2; exit 65'",
		"--handler", `slow=exec:sh -c 'trap "echo half done >&2; exit 1" TERM; sleep 1000 & wait'`)
	if code != 0 || !strings.Contains(errs, `"msg":"job finished"`) {
		t.Errorf("got %d, %s", code, errs)
	}
	rows, err := conn.Query(t.Context(), `select concat_ws(' ', j.task_name, j.status, j.result, j.error) from procrastinate_jobs j order by j.id`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	want := `sum succeeded {"got": {"a": 3, "b": 5}}; bad failed exit status 65: broken; slow failed timed out after 1s: exit status 1: half done; other todo`
	if err != nil || strings.Join(got, "; ") != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
