//go:build integration

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

func TestCommandsThroughAPooler(t *testing.T) {
	schema := testdb.Installed(t)
	environ := append(os.Environ(), "DATABASE_URL="+testdb.Pooler(t, "transaction", 4), "PROCRASTINATE_SCHEMA="+schema, "PROCRASTINATE_POOLER=true")
	conn := testdb.Connect(t, schema)
	if _, err := conn.Exec(t.Context(), `select procrastinate_defer('show', lock => 'l') from generate_series(1, 20)`); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runCommand(t, environ, "worker", "--one-shot", "--handler", `show=exec:sh -c 'echo "\"$PROCRASTINATE_JOB_ID\""'`)
	var got string
	err := conn.QueryRow(t.Context(), `select string_agg(distinct j.status || ' ' || (j.result #>> '{}' = j.id::text), ', ') || ' ' || count(*) from procrastinate_jobs j`).Scan(&got)
	if want := "succeeded true 20"; code != 0 || strings.Contains(errs, "level=WARN") || err != nil || got != want {
		t.Errorf("got %d, %q, %v, want 0, %q:\n%s", code, got, err, want, errs)
	}
	for _, command := range []string{"check", "tick"} {
		if code, out, errs := runCommand(t, environ, command); code != 0 {
			t.Errorf("%s: got %d, %q, %q", command, code, out, errs)
		}
	}
}
