package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

// runCommand runs the program with arguments separated by spaces.
func runCommand(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	err := run(t.Context(), args, environ, &out, &errs)
	return exitCode(err), out.String(), errs.String()
}

func TestVersion(t *testing.T) {
	code, out, errs := runCommand(t, []string{"PROCRASTINATE_CONCURRENCY=many"}, "version")
	if code != 0 || out != worker.Version+"\n" || errs != "" {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}

func TestVersionAsAFlag(t *testing.T) {
	code, out, errs := runCommand(t, nil, "--version")
	if code != 0 || out != worker.Version+"\n" || errs != "" {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}

func TestVersionForPrograms(t *testing.T) {
	code, out, errs := runCommand(t, nil, "version", "--json")
	if want := `{"version":"` + worker.Version + `"}` + "\n"; code != 0 || out != want || errs != "" {
		t.Errorf("got %d, %q, %q; want %q", code, out, errs, want)
	}
}

func TestPrintNeedsNoDatabase(t *testing.T) {
	code, out, errs := runCommand(t, []string{"DATABASE_URL=postgres://nobody@127.0.0.1:1/none"}, "migrate", "--print", "--schema", `we"ird`)
	want, err := migrate.Script(`we"ird`)
	if code != 0 || out != want || errs != "" || err != nil {
		t.Errorf("got %d, %q, %q, %v", code, out, errs, err)
	}
	if begin := "create schema if not exists \"we\"\"ird\";\nset search_path = \"we\"\"ird\";\n"; !strings.Contains(out, begin) {
		t.Errorf("it does not begin with the schema:\n%.500s", out)
	}
}

func TestWrongUse(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		args    []string
		want    []string
	}{
		{"no command", nil, nil, []string{"which command?"}},
		{"unknown command", nil, []string{"frobnicate"}, []string{`"frobnicate"`}},
		{"unknown flag", nil, []string{"worker", "--frob"}, []string{"--frob"}},
		{"argument too many", nil, []string{"migrate", "now"}, []string{`"now"`}},
		{"status and script at once", nil, []string{"migrate", "--status", "--print"}, []string{"one of them"}},
		{"flag that does not parse", nil, []string{"worker", "--concurrency", "many"}, []string{`invalid value "many" for --concurrency: want a whole number`}},
		{
			"spans that are none", []string{"PROCRASTINATE_BEAT_INTERVAL=1y", "PROCRASTINATE_STALLED_AFTER=2d"}, []string{"worker", "--handler", "x=exec:sh", "--concurrency", "0"},
			[]string{`"1y" for PROCRASTINATE_BEAT_INTERVAL: want a span above 0, as in 90s, 12h or 30d`, `"0" for --concurrency`},
		},
		{"span without a unit", nil, []string{"worker", "--poll-interval", "5"}, []string{`invalid value "5" for --poll-interval: want a span`}},
		{"flag that is not a truth", nil, []string{"worker", "--listen=perhaps"}, []string{`invalid value "perhaps" for --listen: want true or false`}},
		{"empty queue", nil, []string{"worker", "--handler", "x=exec:sh", "--queue", ""}, []string{"empty queue name in --queue"}},
		{"blank queue", nil, []string{"worker", "--handler", "x=exec:sh", "--queue", " "}, []string{"empty queue name in --queue"}},
		{"an empty queue among others", nil, []string{"worker", "--handler", "x=exec:sh", "--queue", "a", "--queue", ""}, []string{"empty queue name"}},
		{"an empty queue in a list", nil, []string{"worker", "--handler", "x=exec:sh", "--queue", "a,,b"}, []string{"empty queue name"}},
		{"empty queue variable", []string{"PROCRASTINATE_QUEUES="}, []string{"worker", "--handler", "x=exec:sh"}, []string{"PROCRASTINATE_QUEUES"}},
		{"an empty queue in the variable", []string{"PROCRASTINATE_QUEUES=a, "}, []string{"worker", "--handler", "x=exec:sh"}, []string{"PROCRASTINATE_QUEUES"}},
		{
			"every flag of zero or less, and every other fault", []string{"PROCRASTINATE_STUCK_AFTER=0s"},
			[]string{
				"worker", "--queue", "", "--concurrency", "0", "--max-per-lock", "-1", "--poll-interval", "0s", "--beat-interval", "0",
				"--stalled-after", "-1s", "--graceful-timeout", "0s",
			},
			[]string{
				`"0" for --concurrency`, `"-1" for --max-per-lock`, `"0s" for --poll-interval`, `"0s" for --beat-interval`, `"-1s" for --stalled-after`,
				`"0s" for --graceful-timeout`, `"0s" for PROCRASTINATE_STUCK_AFTER`, "empty queue name", "no handler",
			},
		},
		{
			"every variable of zero or less", []string{
				"PROCRASTINATE_CONCURRENCY=0", "PROCRASTINATE_MAX_PER_LOCK=0", "PROCRASTINATE_POLL_INTERVAL=0s", "PROCRASTINATE_BEAT_INTERVAL=-1s",
				"PROCRASTINATE_STALLED_AFTER=0", "PROCRASTINATE_GRACEFUL_TIMEOUT=0s",
			},
			[]string{"worker"},
			[]string{
				`"0" for PROCRASTINATE_CONCURRENCY`, `"0" for PROCRASTINATE_MAX_PER_LOCK`, `"0s" for PROCRASTINATE_POLL_INTERVAL`,
				`"-1s" for PROCRASTINATE_BEAT_INTERVAL`, `"0" for PROCRASTINATE_STALLED_AFTER`, `"0s" for PROCRASTINATE_GRACEFUL_TIMEOUT`, "no handler",
			},
		},
		{"no handler", nil, []string{"worker"}, []string{"no handler"}},
		{
			"every handler that does not parse", []string{"PROCRASTINATE_HANDLERS=a\nb=exec:sh 'x\n\nc=ftp:x\nd=exec:\ne=exec:sh\ne=exec:sh\n=exec:sh"},
			[]string{"worker"},
			[]string{`"a": not of the form`, `unbalanced '`, `unknown kind "ftp"`, `"d=exec:": no program`, `task "e" has a handler already`, `"=exec:sh": not of`},
		},
		{
			"every fault at once", nil,
			[]string{"worker", "--handler", "a", "--log-format", "xml", "--log-level", "loud", "--concurrency", "-1"},
			[]string{`"a"`, "xml", "loud", `"-1" for --concurrency`},
		},
		{
			"environment that does not parse",
			[]string{"PROCRASTINATE_CONCURRENCY=many", "PROCRASTINATE_POLL_INTERVAL=5", "PROCRASTINATE_LISTEN=perhaps"},
			[]string{"worker"},
			[]string{
				`invalid value "many" for PROCRASTINATE_CONCURRENCY: want a whole number`, `invalid value "5" for PROCRASTINATE_POLL_INTERVAL: want a span`,
				`invalid value "perhaps" for PROCRASTINATE_LISTEN: want true or false`,
			},
		},
		{
			"listen url", []string{"PROCRASTINATE_LISTEN_URL=postgres://u:geheim@host:port/"}, []string{"worker", "--handler", "x=exec:sh"},
			[]string{"PROCRASTINATE_LISTEN_URL: cannot parse"},
		},
		{"migrating through a pooler", []string{"PROCRASTINATE_POOLER=true"}, []string{"migrate", "--status"}, []string{"direct connection", "--pooler=false"}},
		{"a pooler that is not a truth", []string{"PROCRASTINATE_POOLER=perhaps"}, []string{"migrate"}, []string{`"perhaps" for PROCRASTINATE_POOLER: want true or false`}},
		{"empty schema", nil, []string{"migrate", "--schema", ""}, []string{"empty schema name in --schema or PROCRASTINATE_SCHEMA"}},
		{"empty schema of a script", nil, []string{"migrate", "--print", "--schema", " "}, []string{"empty schema name"}},
		{"empty schema variable", []string{"PROCRASTINATE_SCHEMA="}, []string{"tick"}, []string{"empty schema name in --schema or PROCRASTINATE_SCHEMA"}},
		{"empty schema of a worker", []string{"PROCRASTINATE_SCHEMA="}, []string{"worker"}, []string{"empty schema name", "no handler"}},
		{"empty database url", []string{"DATABASE_URL=postgres://x@127.0.0.1:1/x"}, []string{"tick", "--database-url", ""}, []string{"empty --database-url"}},
		{
			"a concurrency that is none, or of no task here", []string{"PROCRASTINATE_TASK_CONCURRENCY=a=many"},
			[]string{"worker", "--handler", "x=exec:sh", "--task-concurrency", "y=2,x=0"},
			[]string{`"a=many" for PROCRASTINATE_TASK_CONCURRENCY`, `task "y" has a concurrency and no handler`, `concurrency 0 of task "x"`},
		},
		{
			"a handler file that is not there", []string{"PROCRASTINATE_HANDLER_FILE=/nowhere/handlers"}, []string{"worker"},
			[]string{"read handlers: open /nowhere/handlers", "no handler"},
		},
		{"database url", nil, []string{"migrate", "--database-url", "postgres://host:port/"}, []string{"cannot parse"}},
		{"database of others", nil, []string{"tick", "--database-url", "mysql://u:geheim@h/d"}, []string{"begins neither with postgres:// nor"}},
		{"sslmode", nil, []string{"tick", "--database-url", "postgres://u:geheim@h/d?sslmode=foo"}, []string{"sslmode of the database URL, or PGSSLMODE, is none of disable,"}},
		{"one fault on one line", nil, []string{"defer"}, []string{"procrastinate: wrong use: which task? Name it, or --from a file\n"}},
		{
			"a line for each fault", nil, []string{"jobs", "list", "--limit", "0", "--queue", ""},
			[]string{"procrastinate: wrong use: empty --queue\nprocrastinate: wrong use: invalid value \"0\" for --limit"},
		},
		{"an unknown flag in the same words", nil, []string{"tick", "--bogus"}, []string{"procrastinate: wrong use: unknown flag: --bogus\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, out, errs := runCommand(t, test.environ, test.args...)
			if code != 2 || out != "" {
				t.Errorf("got exit code %d and %q, want 2 and nothing", code, out)
			}
			for _, want := range test.want {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in:\n%s", want, errs)
				}
			}
			if strings.Contains(errs, "geheim") {
				t.Errorf("it tells a password:\n%s", errs)
			}
			if strings.Contains(errs, "strconv") || strings.Contains(errs, "field") {
				t.Errorf("it speaks of Go:\n%s", errs)
			}
		})
	}
}

func TestPasswordsAreNotTold(t *testing.T) {
	for _, url := range []string{
		"postgres://x:s3cret@127.0.0.1:1/x?connect_timeout=1", "postgres://x@127.0.0.1:1/x?connect_timeout=1&password=s3cret",
		"postgres://x:a/s3cret@h/x", "postgres://x:a:s3cret@h:port/x", "postgres://x:%s3cret@h/x", "postgress://x:a:s3cret:b@h/x",
		"postgres://h:port/?password=s3cret", "host=h port=x password = s3cret", "host=h password='a s3cret", "x:s3cret@h:5432",
	} {
		for _, args := range []string{"migrate", "tick", "defer x", "worker --handler x=exec:sh", "bench"} {
			code, out, errs := runCommand(t, nil, append(strings.Fields(args), "--database-url", url)...)
			if code == 0 || errs == "" || strings.Contains(out+errs, "3cret") {
				t.Errorf("%s with %s: got %d, %q, %q", args, url, code, out, errs)
			}
		}
		if _, _, errs := runCommand(t, nil, "worker", "--listen-url", url); strings.Contains(errs, "3cret") {
			t.Errorf("worker that listens to %s: got %q", url, errs)
		}
	}
}

func TestFlagsOverrideTheEnvironment(t *testing.T) {
	environ := []string{
		"DATABASE_URL=postgres://env/", "PROCRASTINATE_QUEUES=a,b", "PROCRASTINATE_LISTEN=false", "PROCRASTINATE_BEAT_INTERVAL=3s",
		"PROCRASTINATE_SCHEMA=s", "PROCRASTINATE_HANDLERS=x=exec:sh\ny=exec:sh -c 'a,b'", "PROCRASTINATE_ONE_SHOT=true",
	}
	mine := readWorkerEnv(environ)
	if mine.faults != nil {
		t.Fatal(mine.faults)
	}
	common := readEnv(environ)
	cmd := workerCommand(common, mine)
	if err := cmd.ParseFlags([]string{"--queue", "c,d", "--queue", "e", "--poll-interval", "1d"}); err != nil {
		t.Fatal(err)
	}
	config := mine.config
	if got := strings.Join(config.Queues, " "); got != "c d e" {
		t.Errorf("queues are %q", got)
	}
	if config.PollInterval != 24*time.Hour || config.BeatInterval != 3*time.Second || config.Concurrency != 10 || !config.OneShot {
		t.Errorf("got %+v", config)
	}
	if mine.own.Listen || len(mine.own.Handlers) != 2 {
		t.Errorf("got %+v", mine.own)
	}
	if common.schema != "s" || common.url() != "postgres://env/" {
		t.Errorf("got %+v", common)
	}
	common.databaseFlag = "postgres://flag/"
	if got := common.url(); got != "postgres://flag/" {
		t.Errorf("url is %q", got)
	}
}

func TestABadVariableOfTheWorkerStopsNoOther(t *testing.T) {
	environ := []string{"PROCRASTINATE_CONCURRENCY=many"}
	if code, _, errs := runCommand(t, environ, "migrate", "--print"); code != 0 {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestPoolerListensOnADirectConnectionOrNotAtAll(t *testing.T) {
	tests := []struct {
		environ     []string
		listen      bool
		host        string
		noStatement bool
	}{
		{nil, true, "", false},
		{[]string{"PROCRASTINATE_POOLER=true"}, false, "", true},
		{[]string{"PROCRASTINATE_POOLER=true", "PROCRASTINATE_LISTEN=true"}, false, "", true},
		{[]string{"PROCRASTINATE_POOLER=true", "PROCRASTINATE_LISTEN_URL=postgres://direct/"}, true, "direct", true},
		{[]string{"PROCRASTINATE_LISTEN_URL=postgres://direct/"}, true, "direct", false},
		{[]string{"PROCRASTINATE_LISTEN_URL=postgres://direct/", "PROCRASTINATE_LISTEN=false"}, false, "direct", false},
	}
	for _, test := range tests {
		options := readEnv(test.environ)
		listen, direct, err := readWorkerEnv(test.environ).listens(options.pooler)
		host := ""
		if direct != nil {
			host = direct.Host
		}
		pool, poolErr := options.poolConfig()
		conn, connErr := options.connConfig()
		if err := errors.Join(options.faults, err, poolErr, connErr); err != nil {
			t.Fatal(err)
		}
		noStatement := pool.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheDescribe
		if listen != test.listen || host != test.host || noStatement != test.noStatement || conn.DefaultQueryExecMode != pool.ConnConfig.DefaultQueryExecMode {
			t.Errorf("%v: got %v, %q, %v, %s", test.environ, listen, host, noStatement, conn.DefaultQueryExecMode)
		}
	}
}

func TestSignals(t *testing.T) {
	aborted := make(chan struct{})
	ctx, stop := withSignals(t.Context(), func() { close(aborted) })
	defer stop()
	send := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	send()
	<-ctx.Done()
	select {
	case <-aborted:
		t.Fatal("the first signal aborted")
	default:
	}
	send()
	<-aborted
}

func TestExitCode(t *testing.T) {
	for want, err := range map[int]error{0: nil, 1: errors.Join(context.Canceled), 2: joinUsage(nil, errors.New("x"))} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: got %d, want %d", err, got, want)
		}
	}
}

func TestAFlagStandsInForAnEmptyVariable(t *testing.T) {
	if code, out, errs := runCommand(t, []string{"PROCRASTINATE_SCHEMA="}, "migrate", "--print", "--schema", "s"); code != 0 || !strings.Contains(out, "set search_path = \"s\"") {
		t.Errorf("got %d, %.100q, %q", code, out, errs)
	}
}
