//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

const jobTexts = `
	select concat_ws(' ', j.id, j.task_name, j.args, j.queue_name, j.priority, j.lock, j.queueing_lock,
		extract(epoch from j.scheduled_at - j.deferred_at)::integer, j.max_attempts, j.timeout, nullif(j.metadata, '{}'))
	from procrastinate_jobs j order by j.id`

func TestDefer(t *testing.T) {
	environ, conn := installed(t)
	steps := []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{[]string{"send", "to=a@b.c", "n:=3"}, 0, "1\n", ""},
		{[]string{"send", `{"to": "x"}`, "--json"}, 0, `{"id":2}` + "\n", ""},
		{[]string{
			"send", "--queue", "mail", "--priority", "-5", "--lock", "l", "--queueing-lock", "q", "--in", "1d1h30m", "--max-attempts", "3",
			"--timeout", "90s", "--metadata", `{"by": "me"}`,
		}, 0, "3\n", ""},
		{[]string{"send", "--queueing-lock", "q"}, 1, "", "procrastinate: job 3 waits with queueing lock q; see --on-conflict\n"},
		{[]string{"send", "--queueing-lock", "q", "--on-conflict", "skip", "--queue", "mail", "--lock", "l"}, 0, "3\n", ""},
		{[]string{"send", "--at", "1999-12-31 12:00Z", "--lock", ""}, 0, "5\n", ""},
		{[]string{"send", "--at", "never"}, 2, "", `procrastinate: wrong use: invalid value "never" for --at: want a time, as in 2030-01-31T09:00Z`},
		{[]string{"send", "--in", "5x"}, 2, "", `"5x"`},
		{[]string{"send", "--max-attempts", "0"}, 2, "", "wrong use: invalid --max-attempts: 0"},
		{[]string{"send", "--queue", ""}, 2, "", "wrong use: invalid --queue: "},
		{[]string{"send", `{"a": "\u0000"}`}, 2, "", `unsupported Unicode escape sequence (\u0000 cannot be converted to text.)`},
		{[]string{"send", "[1]"}, 2, "", `argument "[1]"`},
	}
	for _, step := range steps {
		code, out, errs := runCommand(t, environ, append([]string{"defer"}, step.args...)...)
		if code != step.code || out != step.out || !strings.Contains(errs, step.err) || (code == 0) != (errs == "") {
			t.Errorf("%v: got %d, %q, %q; want %d, %q, %q", step.args, code, out, errs, step.code, step.out, step.err)
		}
	}
	want := `1 send {"n": 3, "to": "a@b.c"} default 0; 2 send {"to": "x"} default 0; ` +
		`3 send {} mail -5 l q 91800 3 00:01:30 {"by": "me"}; `
	if got := query(t, conn, jobTexts); !strings.HasPrefix(got, want) {
		t.Errorf("got %s; want %s", got, want)
	}
	if got := query(t, conn, `select j.scheduled_at at time zone 'utc' || ' ' || quote_nullable(j.lock) from procrastinate_jobs j where j.id = 5`); got != "1999-12-31 12:00:00 ''" {
		t.Errorf("got %s", got)
	}
}

func TestDeferLines(t *testing.T) {
	const good = `{"task":"a"}` + "\n"
	thousands := strings.Repeat(good, 2500)
	tests := []struct {
		name string
		in   string
		args string
		code int
		out  string
		err  string
		jobs string // how many, and of which tasks
	}{
		{"nothing", "", "", 0, "deferred 0 jobs\n", "", "0"},
		{"all", thousands, "", 0, "deferred 2500 jobs\n", "", "2500 a"},
		{"for programs", good + "\n", "--json", 0, `{"deferred":1,"last_line":1}` + "\n", "", "1 a"},
		{"a task for those without", good + "{}\n", "b --queue q", 0, "deferred 2 jobs\n", "", "2 a,b"},
		{"metadata and more", "{}", `b --metadata {"x":1} --priority 3 --in 1h --json`, 0, `{"deferred":1,"last_line":1}` + "\n", "", "1 b"},
		{
			"no JSON", thousands + "{\n" + good, "", 1, "deferred 2500 jobs\n",
			"line 2501: not JSON: unexpected end of JSON input; those before it are deferred: mend it, then go on with --skip-lines 2500\n", "2500 a",
		},
		{"no JSON, to programs", good + "{\n", "--json", 1, `{"deferred":1,"last_line":1}` + "\n", "line 2: not JSON", "1 a"},
		{"skipped", good + "{\n" + good, "--skip-lines 2", 0, "deferred 1 jobs\n", "", "1 a"},
		{"no UTF-8", good + "{\"task\":\"\xff\"}\n", "", 1, "deferred 1 jobs\n", "line 2: not valid UTF-8", "1 a"},
		{"a NUL escape", good + good + `{"task":"a","args":{"x":"\u0000"}}` + "\n" + good, "", 1, "deferred 2 jobs\n", "line 3: unsupported Unicode escape", "2 a"},
		{"half a surrogate", good + `{"task":"a","args":{"x":"\ud800"}}` + "\n", "", 1, "deferred 1 jobs\n", "line 2: invalid input syntax for type json", "1 a"},
		{"an unknown key", thousands + "\n\n" + good + `{"tsk":"a"}` + "\n" + good, "", 1, "deferred 2501 jobs\n", "line 2504: unknown key tsk; those", "2501 a"},
		{"no task", good + "{}\n", "", 1, "deferred 1 jobs\n", "line 2: no task, neither on the line nor as TASK; those", "1 a"},
		{"nothing before it", "{\"tsk\":1}\n", "", 1, "deferred 0 jobs\n", "procrastinate: line 1: unknown key tsk\n", "0"},
		{"nothing before it, and lines left out", "x\n{}\n", "--skip-lines 1", 1, "deferred 0 jobs\n", "mend it, then go on with --skip-lines 1\n", "0"},
		{"more skipped than there are", good + good, "--skip-lines 3 --json", 1, `{"deferred":0,"last_line":2}` + "\n", "procrastinate: --skip-lines 3: there are only 2 lines\n", "0"},
		{"all skipped", good + good, "--skip-lines 2", 0, "deferred 0 jobs\n", "", "0"},
		{"args that are no object", good + `{"task":"a","args":[]}`, "", 1, "deferred 1 jobs\n", "line 2: ", "1 a"},
		{"a number out of range", good + `{"task":"a","priority":1e10}`, "", 1, "deferred 1 jobs\n", "line 2: ", "1 a"},
		{
			"a queueing lock twice", strings.Repeat(good, 3) + strings.Repeat(`{"task":"b","queueing_lock":"q"}`+"\n", 2), "", 1, "deferred 4 jobs\n",
			`line 5: a job waits with queueing lock "q"; see --on-conflict; those`, "4 a,b",
		},
		{"one spared", strings.Repeat(`{"task":"b","queueing_lock":"q","on_conflict":"skip"}`+"\n", 2), "", 0, "deferred 2 jobs\n", "", "1 b"},
		{"all or none: all", thousands, "--single-transaction", 0, "deferred 2500 jobs\n", "", "2500 a"},
		{"all or none: none", thousands + "{}\n", "--single-transaction", 1, "deferred 0 jobs\n", "nothing was deferred: line 2501: no task, neither on the line nor as TASK\n", "0"},
		{
			"all or none: none, by an earlier batch", `{"task":"b","queueing_lock":"q"}` + "\n" + thousands + `{"task":"b","queueing_lock":"q"}` + "\n",
			"--single-transaction", 1, "deferred 0 jobs\n", "nothing was deferred: line 2502: a job waits with queueing lock", "0",
		},
	}
	environ, conn := installed(t)
	file := filepath.Join(t.TempDir(), "jobs.ndjson")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			execute(t, conn, `delete from procrastinate_jobs`)
			if err := os.WriteFile(file, []byte(test.in), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := runCommand(t, environ, append([]string{"defer", "--from", file}, strings.Fields(test.args)...)...)
			if code != test.code || out != test.out || !strings.Contains(errs, test.err) || (code == 0) != (errs == "") {
				t.Errorf("got %d, %q, %q; want %d, %q, %q", code, out, errs, test.code, test.out, test.err)
			}
			if got := query(t, conn, `select concat_ws(' ', count(*), string_agg(distinct j.task_name, ',')) from procrastinate_jobs j`); got != test.jobs {
				t.Errorf("there are %s jobs, want %s", got, test.jobs)
			}
		})
	}
}

func TestDefaultsOfLines(t *testing.T) {
	environ, conn := installed(t)
	file := filepath.Join(t.TempDir(), "jobs.ndjson")
	lines := `{"args": {"n": 1}, "priority": 7}` + "\n" + `{"task": "b", "queue": null, "metadata": {}, "max_attempts": 2, "lock": "m"}` + "\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runCommand(t, environ, "defer", "a", "--from", file, "--queue", "q", "--priority", "3", "--lock", "l", "--in", "2w1h",
		"--timeout", "5s", "--metadata", `{"by": "<me>"}`)
	want := `1 a {"n": 1} q 7 l 1213200 00:00:05 {"by": "<me>"}; 2 b {} default 3 m 1213200 2 00:00:05`
	if got := query(t, conn, jobTexts); code != 0 || got != want {
		t.Errorf("got %d, %q, %s; want %s", code, errs, got, want)
	}
}

// stdin becomes what the test writes.
func stdin(t *testing.T) *os.File {
	t.Helper()
	before := os.Stdin
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdin = in
	t.Cleanup(func() {
		os.Stdin = before
		_ = out.Close()
	})
	return out
}

func TestLinesOfASlowPipeAreDeferredAsTheyCome(t *testing.T) {
	environ, conn := installed(t)
	notifyInserts(t, conn)
	lines := stdin(t)
	ended := started(t.Context(), environ, "defer", "a", "--from", "-")
	for range 3 {
		fmt.Fprintln(lines, "{}")
		awaitInsert(t, conn)
	}
	_ = lines.Close()
	if got, want := <-ended, `0, "deferred 3 jobs\n", ""`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestInterruptedBetweenLines(t *testing.T) {
	for flag, want := range map[string]string{
		"--json":               `1, "{\"deferred\":1,\"last_line\":1}\n", "procrastinate: after line 1: interrupted; go on with --skip-lines 1\n"`,
		"--single-transaction": `1, "deferred 0 jobs\n", "procrastinate: nothing was deferred: interrupted\n"`,
	} {
		t.Run(flag, func(t *testing.T) {
			environ, conn := installed(t)
			lines := stdin(t)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			if flag == "--json" {
				notifyInserts(t, conn)
			}
			ended := started(ctx, environ, "defer", "a", "--from", "-", flag)
			fmt.Fprintln(lines, "{}")
			if flag == "--json" {
				awaitInsert(t, conn)
			} else {
				awaitIdleInTransaction(t, conn)
			}
			interrupt()
			if got := <-ended; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// awaitIdleInTransaction waits until a session that has written to jobs is idle in its transaction.
func awaitIdleInTransaction(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	await(t, func() bool {
		return query(t, conn, `
			select 'yes' from pg_locks l join pg_stat_activity a using (pid)
			where l.relation = 'procrastinate_jobs'::regclass and l.mode = 'RowExclusiveLock' and a.state = 'idle in transaction'`) != ""
	})
}

func TestAConnectionThatBreaks(t *testing.T) {
	environ, conn := installed(t)
	execute(t, conn, `
		create function die() returns trigger language plpgsql as $$
			begin if new.task_name = 'die' then perform pg_terminate_backend(pg_backend_pid()); end if; return new; end $$;
		create trigger die before insert on procrastinate_jobs for each row execute function die();`)
	file := filepath.Join(t.TempDir(), "jobs.ndjson")
	if err := os.WriteFile(file, []byte(strings.Repeat("{}\n", 1000)+"{}\n{\"task\":\"die\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	code, out, errs := runCommand(t, environ, "defer", "a", "--from", file)
	var sure int
	if _, err := fmt.Sscanf(out, "deferred %d jobs\n", &sure); code != 1 || err != nil || sure > 1001 {
		t.Errorf("got %d, %q, %v", code, out, err)
	}
	if got := query(t, conn, `select count(*)::text from procrastinate_jobs`); got != strconv.Itoa(sure) {
		t.Errorf("there are %s jobs, and it says %d", got, sure)
	}
	broke := fmt.Sprintf("the connection broke: lines %d to 1002 are deferred, or none of them: ", sure+1)
	goOn := fmt.Sprintf("; go on with --skip-lines %d if they are not deferred, else with --skip-lines 1002\n", sure)
	if !strings.Contains(errs, broke) || !strings.HasSuffix(errs, goOn) {
		t.Errorf("got %q; want %q and %q", errs, broke, goOn)
	}

	code, out, errs = runCommand(t, environ, "defer", "a", "--from", file, "--single-transaction")
	if want := "nothing was deferred: the connection broke: FATAL: "; code != 1 || out != "deferred 0 jobs\n" || !strings.Contains(errs, want) {
		t.Errorf("all or none: got %d, %q, %q; want %q", code, out, errs, want)
	}
}

// Twenty-five megabytes would show.
func TestManyLinesNeedLittleMemory(t *testing.T) {
	environ, conn := installed(t)
	lines := stdin(t)
	ended := started(t.Context(), environ, "defer", "a", "--from", "-")
	text := `{"args":{"x":"` + strings.Repeat("0123456789", 125) + `"}}` + "\n"
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before, most := stats.HeapAlloc, uint64(0)
	for i := range 20_000 {
		if _, err := lines.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
		}
	}
	_ = lines.Close()
	if got, want := <-ended, `0, "deferred 20000 jobs\n", ""`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if more := (most - before) >> 20; most > before && more > 24 {
		t.Errorf("it took %d MiB more, want 24 at most", more)
	}
	if got := query(t, conn, `select count(*)::text from procrastinate_jobs`); got != "20000" {
		t.Errorf("there are %s jobs", got)
	}
}
