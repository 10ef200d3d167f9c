//go:build integration

package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
)

// through puts a worker's pool on another server, such as a pooler.
func through(t *testing.T, url, mode string) func(*pgxpool.Config) {
	t.Helper()
	config, err := pgx.ParseConfig(url + " application_name=procrastinate-test default_query_exec_mode=" + mode)
	if err != nil {
		t.Fatal(err)
	}
	return func(pool *pgxpool.Config) { pool.ConnConfig = config }
}

// lines are those of a log, warnings and errors, to wait for.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

func (l lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func TestWorkThroughAPooler(t *testing.T) {
	url := testdb.Pooler(t, "transaction", 4)
	for _, mode := range []string{"cache_describe", "exec"} {
		t.Run(mode, func(t *testing.T) { workThrough(t, url, mode) })
	}
}

func workThrough(t *testing.T, url, mode string) {
	s := newSite(t)
	// by somebody who prepares nothing, in a session of his own that is none
	script := strings.ReplaceAll(`
		select q.procrastinate_define_task('fail', max_attempts => 2, retry_wait => '0');
		select count(q.procrastinate_defer(
			task => (array['sum', 'fail', 'snooze'])[1 + n % 3], args => jsonb_build_object('a', n),
			lock => case when n % 2 = 0 then 'lock ' || n % 7 end,
			schedule_in => case when n % 5 = 0 then interval '1 ms' end))
		from generate_series(1, 500) n;`, "q.", s.schema+".")
	if out, err := exec.CommandContext(t.Context(), "psql", url, "-X", "-v", "ON_ERROR_STOP=1", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	log := make(lines, 10_000)
	var mu sync.Mutex
	snoozed := map[int64]bool{}
	config := worker.Config{
		Concurrency: 20, MaxPerLock: 5, BeatInterval: 10 * time.Millisecond, DisableListen: true,
		PollInterval: 10 * time.Millisecond, GracefulTimeout: 10 * time.Millisecond, Logger: log.logger(),
	}
	stop := s.run(config, map[string]worker.Handler{
		"sum":  sum,
		"fail": func(context.Context, *worker.Job) (any, error) { return nil, errors.New("no good") },
		"snooze": func(_ context.Context, job *worker.Job) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			if !snoozed[job.ID] {
				snoozed[job.ID] = true
				return nil, worker.Snooze(time.Millisecond)
			}
			return map[string]bool{"awake": true}, nil
		},
		"wait": untilCancelled,
	}, through(t, url, mode))
	want := `fail failed 2 no good 167, snooze succeeded 1 {"awake": true} 167, sum succeeded 1 166`
	got := ""
	ended := func() bool {
		got = s.query(`select string_agg(g.line, ', ' order by g.line) from (
			select concat_ws(' ', j.task_name, j.status, j.attempts, nullif(j.result, jsonb_build_object('sum', j.args->'a')), j.error, count(*)) line
			from procrastinate_jobs j group by j.task_name, j.status, j.attempts, nullif(j.result, jsonb_build_object('sum', j.args->'a')), j.error) g`)
		return got == want
	}
	if !eventually(ended) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	aborted, returned := s.deferJob("wait", ""), s.deferJob("wait", "")
	s.waitRow(aborted, "doing 0")
	s.query(`select procrastinate_cancel_job($1, abort => true)`, aborted)
	s.waitRow(aborted, "aborted 1 job aborted")
	s.waitRow(returned, "doing 0")
	if err := stop(); err != nil {
		t.Error(err)
	}
	s.wantRow(returned, "todo 0")
	s.wantHealthy()
	close(log)
	for line := range log {
		if !strings.Contains(line, `msg="job failed"`) {
			t.Errorf("it warned: %s", line)
		}
	}
}

// listening waits for a worker to listen, on a connection with the name.
func (s *site) listening(name string) {
	s.t.Helper()
	if !eventually(func() bool {
		return s.query(`select count(*) from pg_stat_activity a where a.application_name = $1 and a.query like 'listen "procrastinate_clock_v1"' and a.state = 'idle'`, name) == "1"
	}) {
		s.t.Fatal("the worker does not listen")
	}
}

func TestWorkerListensBesideAPooler(t *testing.T) {
	s := newSite(t)
	direct := poolConfig(t).ConnConfig
	direct.RuntimeParams["application_name"] = s.schema
	s.run(worker.Config{PollInterval: time.Hour, ListenConfig: direct}, map[string]worker.Handler{"sum": sum}, through(t, testdb.Pooler(t, "transaction", 4), "cache_describe"))
	s.listening(s.schema)
	for range 3 {
		s.waitRow(s.deferJob("sum", `, '{"a": 1}'`), `succeeded 1 {"sum": 1}`)
	}
}

func TestWorkerNoticesThatAPoolerCarriesNoNotifications(t *testing.T) {
	t.Parallel() // noticing takes a few seconds
	s := newSite(t)
	log := make(lines, 1000)
	config := worker.Config{PollInterval: 20 * time.Millisecond, Logger: log.logger()}
	stop := s.run(config, map[string]worker.Handler{"sum": sum}, through(t, testdb.Pooler(t, "transaction", 4), "cache_describe"))
	if line := <-log; !strings.Contains(line, "listen does not work here, polling") {
		t.Errorf("it warned: %s", line)
	}
	s.waitRow(s.deferJob("sum", `, '{"a": 1}'`), `succeeded 1 {"sum": 1}`)
	if err := stop(); err != nil {
		t.Error(err)
	}
	close(log)
	for line := range log {
		t.Errorf("it warned again: %s", line)
	}
}

func TestWorkerListensThroughASessionPooler(t *testing.T) {
	s := newSite(t)
	s.run(worker.Config{PollInterval: time.Hour}, map[string]worker.Handler{"sum": sum}, through(t, testdb.Pooler(t, "session", 20), "cache_statement"))
	s.listening("procrastinate-test")
	s.waitRow(s.deferJob("sum", `, '{"a": 1}'`), `succeeded 1 {"sum": 1}`)
}
