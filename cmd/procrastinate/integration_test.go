//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
)

// installed is the environment of a program that finds a schema of its own, and a connection to look into it.
func installed(t *testing.T) (environ []string, conn *pgx.Conn) {
	t.Helper()
	schema := testdb.Installed(t)
	return append(os.Environ(), "PROCRASTINATE_SCHEMA="+schema), testdb.Connect(t, schema)
}

func query(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// started runs the program beside the test.
func started(ctx context.Context, environ []string, args ...string) <-chan string {
	ended := make(chan string, 1)
	go func() {
		var out, errs strings.Builder
		err := run(ctx, args, environ, &out, &errs)
		ended <- fmt.Sprintf("%d, %q, %q", exitCode(err), out.String(), errs.String())
	}()
	return ended
}

// notifyInserts tells the connection of each statement that inserts jobs.
func notifyInserts(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	execute(t, conn, `
		create function told() returns trigger language plpgsql as $$ begin perform pg_notify(tg_table_schema, ''); return null; end $$;
		create trigger told after insert on procrastinate_jobs execute function told();`)
	execute(t, conn, "listen "+query(t, conn, `select current_schema()::text`))
}

func awaitInsert(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := conn.WaitForNotification(ctx); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !happened(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it never happened")
		}
	}
}

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
		{[]string{"migrate", "--status", "--json"}, 1, `"current":false,"extension":null,"functions":null,"migrations":0,"schema":"` + schema + `"}`},
		{[]string{"migrate"}, 0, "installed functions "},
		{[]string{"migrate", "--json"}, 0, `{"created_schema":false,"functions":false,"migrations":[],"version":"` + worker.Version + `"}` + "\n"},
		{[]string{"migrate"}, 0, "nothing to do\n"},
		{[]string{"migrate", "--status"}, 0, ", current\n"},
		{[]string{"migrate", "--status", "--json"}, 0, `"current":true,"extension":null,"functions":"` + worker.Version + `"`},
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
	code, _, errs = runCommand(t, environ, "worker", "--one-shot", "--json",
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

func TestCheckAndRepair(t *testing.T) {
	environ, conn := installed(t)
	steps := []struct {
		sql  string
		args string
		code int
		out  string
	}{
		{`select procrastinate_defer('a')`, "check", 0, ""},
		{"", "check --json", 0, "[]\n"},
		{`delete from procrastinate_tokens`, "check", 1, "INVARIANT"},
		{"", "check --json", 1, `[{"invariant":`},
		{"", "repair", 0, "found   1\nrepair  "},
		{"", "check", 0, ""},
		{"", "repair --json", 0, `{"found":0,"left":0,"seconds":0`},
		{`update procrastinate_jobs set worker_id = 5`, "repair", 1, "left    1\n"},
		{`update procrastinate_jobs set worker_id = null`, "tick", 0, "due in  00:00:0"},
		{"", "tick --json", 0, `{"due_in":"00:00:0`},
	}
	for _, step := range steps {
		execute(t, conn, step.sql)
		code, out, errs := runCommand(t, environ, strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out, step.out) || step.out == "" && out != "" || errs != "" {
			t.Errorf("%s: got %d, %q, %q; want %d, %q", step.args, code, out, errs, step.code, step.out)
		}
	}
}

func TestRepairWaitsNoLongerThanItMay(t *testing.T) {
	environ, conn := installed(t)
	execute(t, conn, `begin; lock table procrastinate_jobs in row exclusive mode`)
	code, out, errs := runCommand(t, environ, "repair", "--lock-timeout", "1us")
	if code != 1 || out != "" || !strings.Contains(errs, "repaired nothing") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}

// TestBeProcrastinate is the program, for a test that needs it as a process.
func TestBeProcrastinate(t *testing.T) {
	args := os.Getenv("BE_PROCRASTINATE")
	if args == "" {
		t.Skip("nobody asks")
	}
	os.Args = strings.Fields(args)
	main()
}

func TestAnInterruptedStatementEndsOnTheServer(t *testing.T) {
	environ, conn := installed(t)
	execute(t, conn, `begin; lock table procrastinate_jobs in row exclusive mode`)
	program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBeProcrastinate$")
	program.Env = append(environ, "BE_PROCRASTINATE=procrastinate repair --lock-timeout 1h")
	var errs strings.Builder
	program.Stderr = &errs
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	waiting := func() bool {
		return query(t, conn, `select l.pid::text from pg_locks l where l.relation = 'procrastinate_jobs'::regclass and not l.granted`) != ""
	}
	await(t, waiting)
	_ = program.Process.Signal(os.Interrupt)
	_ = program.Wait()
	if code := program.ProcessState.ExitCode(); code != 1 || errs.String() != "procrastinate: interrupted\n" {
		t.Errorf("got %d, %q; want 1", code, errs.String())
	}
	await(t, func() bool { return !waiting() })
}

func TestTabOffersNames(t *testing.T) {
	environ, conn := installed(t)
	execute(t, conn, `
		select procrastinate_defer('send', queue => 'mail');
		select procrastinate_define_task('sum');
		select procrastinate_define_task('*');
		select procrastinate_pause_queue('mails');
		select procrastinate_define_schedule('report', '@daily');
		select procrastinate_define_schedule('rest', '@daily', enabled => false);`)
	for args, want := range map[string]string{
		"defer s":                                   "send\nsum\n:4\n",
		"defer se":                                  "send\n:4\n",
		"queues pause m":                            "mail\nmails\n:4\n",
		"queues resume m":                           "mails\n:4\n",
		"defer x --queue m":                         "mail\nmails\n:4\n",
		"worker --queue mails":                      "mails\n:4\n",
		"defer send --queue=mai":                    "mail\nmails\n:4\n",
		"schedules show re":                         "report\nrest\n:4\n",
		"schedules drop rep":                        "report\n:4\n",
		"schedules disable r":                       "report\n:4\n",
		"schedules enable r":                        "rest\n:4\n",
		"schedules define x --timezone Europe/Berl": "Europe/Berlin\n:4\n",
		"schedules define x --timezone U":           "UTC\n:4\n",
	} {
		code, out, _ := runCommand(t, environ, append([]string{"__complete"}, strings.Fields(args)...)...)
		if code != 0 || out != want {
			t.Errorf("%s: got %d, %q; want %q", args, code, out, want)
		}
	}
}
