//go:build integration

package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
)

// site is a schema of its own with everything installed, dropped at the end.
type site struct {
	t      *testing.T
	schema string
	pool   *pgxpool.Pool // with the schema in search_path
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, schema: testdb.Installed(t)}
	config := poolConfig(t)
	config.ConnConfig.RuntimeParams["search_path"] = pgx.Identifier{s.schema}.Sanitize()
	var err error
	if s.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.pool.Close)
	return s
}

func poolConfig(t *testing.T) *pgxpool.Config {
	t.Helper()
	config, err := pgxpool.ParseConfig(testdb.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func (s *site) query(sql string, args ...any) (value string) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), "select coalesce(("+sql+")::text, '')", args...).Scan(&value); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func (s *site) deferJob(task string, options string) (id int64) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), "select procrastinate_defer($1"+options+")", task).Scan(&id); err != nil {
		s.t.Fatal(err)
	}
	return id
}

// row is what becomes of a job: status, attempts and result, or error unless it succeeded in the end.
func (s *site) row(id int64) string {
	s.t.Helper()
	return s.query(`select concat_ws(' ', j.status, j.attempts, j.result, case when j.status <> 'succeeded' then j.error end) from procrastinate_jobs j where j.id = $1`, id)
}

func (s *site) wantRow(id int64, want string) {
	s.t.Helper()
	if got := s.row(id); got != want {
		s.t.Errorf("job %d: got %q, want %q", id, got, want)
	}
}

func (s *site) waitRow(id int64, want string) {
	s.t.Helper()
	got := ""
	if !eventually(func() bool { got = s.row(id); return got == want }) {
		s.t.Fatalf("job %d: got %q, want %q", id, got, want)
	}
}

// eventually asks again and again until it is so, or says that it never was.
func eventually(so func() bool) bool {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-ticker.C {
		if so() {
			return true
		}
	}
	return false
}

// run starts a worker on a pool of its own and returns what stops it, which returns what Run returned.
func (s *site) run(config worker.Config, handlers map[string]worker.Handler, changes ...func(*pgxpool.Config)) func() error {
	s.t.Helper()
	pooled := poolConfig(s.t)
	pooled.ConnConfig.RuntimeParams["application_name"] = s.schema
	for _, change := range changes {
		change(pooled)
	}
	pool, err := pgxpool.NewWithConfig(s.t.Context(), pooled)
	if err != nil {
		s.t.Fatal(err)
	}
	config.Schema = s.schema
	w, err := worker.New(pool, config)
	if err != nil {
		s.t.Fatal(err)
	}
	for task, handler := range handlers {
		w.Handle(task, handler)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		if !config.OneShot {
			cancel()
		}
		defer pool.Close()
		defer cancel()
		return <-ended
	})
	s.t.Cleanup(func() {
		cancel()
		if err := stop(); err != nil {
			s.t.Errorf("worker: %v", err)
		}
	})
	return stop
}

func (s *site) wantHealthy() {
	s.t.Helper()
	if got := s.query(`select string_agg(c::text, '; ') from procrastinate_check() c`); got != "" {
		s.t.Errorf("check found: %s", got)
	}
}

var (
	sum = worker.Typed(func(_ context.Context, args struct{ A, B int }) (map[string]int, error) {
		return map[string]int{"sum": args.A + args.B}, nil
	})
	untilCancelled worker.Handler = func(ctx context.Context, _ *worker.Job) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
)

func TestJobRunsAndItsResultIsStored(t *testing.T) {
	s := newSite(t)
	s.run(worker.Config{}, map[string]worker.Handler{"sum": sum})
	id := s.deferJob("sum", `, '{"a": 3, "b": 5}'`)
	s.waitRow(id, `succeeded 1 {"sum": 8}`)
	s.wantHealthy()
}

func TestEndsThatAreNoSuccess(t *testing.T) {
	s := newSite(t)
	failing := func(err error) worker.Handler {
		return func(context.Context, *worker.Job) (any, error) { return nil, err }
	}
	snoozed := false
	fail := s.deferJob("fail", ", max_attempts => 3")
	permanent := s.deferJob("permanent", ", max_attempts => 3")
	retry := s.deferJob("retry", ", max_attempts => 3")
	panics := s.deferJob("panic", "")
	unusable := s.deferJob("unusable", "")
	cleaned := s.deferJob("cleaned", "")
	large := s.deferJob("large", "")
	snooze := s.deferJob("snooze", "")
	err := s.run(worker.Config{OneShot: true}, map[string]worker.Handler{
		"fail":      failing(errors.New("no\x00good \xff")),
		"permanent": failing(worker.Permanent(errors.New("never"))),
		"retry":     failing(worker.RetryIn(errors.New("later"), time.Hour)),
		"panic":     func(context.Context, *worker.Job) (any, error) { panic("oh no") },
		"unusable":  func(context.Context, *worker.Job) (any, error) { return make(chan int), nil },
		"cleaned":   func(context.Context, *worker.Job) (any, error) { return "a\x00b", nil },
		"large":     func(context.Context, *worker.Job) (any, error) { return strings.Repeat("x", 8<<20), nil },
		"snooze": func(context.Context, *worker.Job) (any, error) {
			if !snoozed {
				snoozed = true
				return nil, worker.Snooze(0)
			}
			return "awake", nil
		},
	})()
	if err != nil {
		t.Fatal(err)
	}
	s.wantRow(fail, "failed 3 no\uFFFDgood \uFFFD")
	s.wantRow(permanent, "failed 1 never")
	if got := s.row(retry); !strings.HasPrefix(got, "todo 1") {
		t.Errorf("got %q, want it todo after one attempt", got)
	}
	if got := s.row(panics); !strings.HasPrefix(got, "failed 1 panic: oh no\n") {
		t.Errorf("got %q", got)
	}
	s.wantRow(unusable, "failed 1 encode result: json: unsupported type: chan int")
	s.wantRow(cleaned, "succeeded 1 \"a\uFFFDb\"")
	s.wantRow(large, "succeeded 1")
	s.wantRow(snooze, `succeeded 1 "awake"`)
	s.wantHealthy()
}

func TestOneShotDrains(t *testing.T) {
	s := newSite(t)
	s.query(`select count(procrastinate_defer('sum', '{}', lock => 'l' || n % 7, schedule_in => case when n % 5 = 0 then interval '0' end)) from generate_series(1, 500) n`)
	later := s.deferJob("sum", ", schedule_in => '1 hour'")
	if err := s.run(worker.Config{OneShot: true, Concurrency: 20, MaxPerLock: 10}, map[string]worker.Handler{"sum": sum})(); err != nil {
		t.Fatal(err)
	}
	if got := s.query(`select string_agg(n, ', ' order by n) from (select concat(j.status, ' ', count(*)) n from procrastinate_jobs j group by j.status) g`); got != "succeeded 500, todo 1" {
		t.Errorf("got %s", got)
	}
	s.wantRow(later, "todo 0")
	s.wantHealthy()
}

func TestRunningJobIsAborted(t *testing.T) {
	s := newSite(t)
	s.run(worker.Config{}, map[string]worker.Handler{"wait": untilCancelled})
	id := s.deferJob("wait", "")
	s.waitRow(id, "doing 0")
	s.query(`select procrastinate_cancel_job($1, abort => true)`, id)
	s.waitRow(id, "aborted 1 job aborted")
	s.wantHealthy()
}

func TestGracefulStopGivesBack(t *testing.T) {
	s := newSite(t)
	stop := s.run(worker.Config{GracefulTimeout: time.Nanosecond}, map[string]worker.Handler{"wait": untilCancelled})
	id := s.deferJob("wait", "")
	s.waitRow(id, "doing 0")
	if err := stop(); err != nil {
		t.Error(err)
	}
	s.wantRow(id, "todo 0")
	if got := s.query(`select count(*) from procrastinate_workers`); got != "0" {
		t.Errorf("%s workers are registered, want none", got)
	}
	s.wantHealthy()
}

func TestWorkerThatLostItsRegistrationGoesOn(t *testing.T) {
	s := newSite(t)
	causes := make(chan error, 1)
	runs := 0
	s.run(worker.Config{BeatInterval: 20 * time.Millisecond, StalledAfter: 2 * time.Second}, map[string]worker.Handler{
		"wait": func(ctx context.Context, _ *worker.Job) (any, error) {
			if runs++; runs > 1 {
				return runs, nil
			}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil, context.Cause(ctx)
		},
	})
	id := s.deferJob("wait", "")
	s.waitRow(id, "doing 0")
	if _, err := s.pool.Exec(t.Context(), `delete from procrastinate_workers`); err != nil {
		t.Fatal(err)
	}
	if cause := <-causes; !errors.Is(cause, worker.ErrLostRegistration) {
		t.Errorf("cancelled because %v, want ErrLostRegistration", cause)
	}
	s.waitRow(id, "succeeded 1 2")
	s.wantHealthy()
}

func TestNotificationWakesAnIdleWorker(t *testing.T) {
	s := newSite(t)
	for _, queues := range [][]string{nil, {"ü" + strings.Repeat("ö", 60)}} {
		queue := "default"
		if queues != nil {
			queue = queues[0]
		}
		stop := s.run(worker.Config{PollInterval: time.Hour, Queues: queues}, map[string]worker.Handler{"sum": sum})
		listening := func() bool {
			return s.query(`select count(*) from pg_stat_activity a where a.application_name = $1 and a.query ilike 'listen %' and a.state = 'idle'`, s.schema) == "1"
		}
		if !eventually(listening) {
			t.Fatal("the worker does not listen")
		}
		for range 3 {
			s.waitRow(s.deferJob("sum", fmt.Sprintf(`, '{"a": 1}', queue => '%s'`, queue)), `succeeded 1 {"sum": 1}`)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestFetchWorksWhereTheDefaultIsolationIsAnother(t *testing.T) {
	s := newSite(t)
	id := s.deferJob("sum", `, '{"a": 1}'`)
	err := s.run(worker.Config{OneShot: true}, map[string]worker.Handler{"sum": sum}, func(config *pgxpool.Config) {
		config.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
	})()
	if err != nil {
		t.Fatal(err)
	}
	s.wantRow(id, `succeeded 1 {"sum": 1}`)
}

// cutter breaks a connection after the first fetch was committed and before its answer arrives.
type cutter struct {
	net.Conn
	armed     *sync.Once
	committed func() bool
	writes    int // after the fetch's text was sent, that included
}

func (c *cutter) Write(data []byte) (int, error) {
	if strings.Contains(string(data), "procrastinate_fetch_jobs") {
		c.armed.Do(func() { c.writes = 1 })
	} else if c.writes > 0 {
		c.writes++
	}
	return c.Conn.Write(data)
}

func (c *cutter) Read(data []byte) (int, error) {
	if c.writes == 2 { // the first is to describe the statement, the second to run it
		eventually(c.committed)
		return 0, errors.Join(errors.New("cut"), c.Close())
	}
	return c.Conn.Read(data)
}

func TestJobsOfALostAnswerAreRunAllTheSame(t *testing.T) {
	s := newSite(t)
	var ids []int64
	for range 5 {
		ids = append(ids, s.deferJob("sum", `, '{"a": 1}'`))
	}
	var armed sync.Once
	cut := false
	committed := func() bool { cut = s.row(ids[0]) == "doing 0"; return cut }
	config := worker.Config{Concurrency: 3, StalledAfter: time.Hour, BeatInterval: time.Minute, DisableListen: true}
	s.run(config, map[string]worker.Handler{"sum": sum}, func(config *pgxpool.Config) {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
		dial := config.ConnConfig.DialFunc
		config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			return &cutter{Conn: conn, armed: &armed, committed: committed}, err
		}
	})
	for _, id := range ids {
		s.waitRow(id, `succeeded 1 {"sum": 1}`)
	}
	if !cut {
		t.Error("no answer was lost")
	}
	s.wantHealthy()
}

func TestBusyRowDelaysOnlyItsOwnJob(t *testing.T) {
	s := newSite(t)
	blocked := s.deferJob("block", "")
	started, release := make(chan struct{}), make(chan struct{})
	s.run(worker.Config{}, map[string]worker.Handler{"sum": sum, "block": func(context.Context, *worker.Job) (any, error) {
		close(started)
		<-release
		return "ok", nil
	}})
	<-started
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), `select procrastinate_cancel_job($1, abort => true)`, blocked); err != nil {
		t.Fatal(err)
	}
	close(release)
	for range 20 {
		s.waitRow(s.deferJob("sum", `, '{"a": 1}'`), `succeeded 1 {"sum": 1}`)
	}
	s.wantRow(blocked, "doing 0")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitRow(blocked, `succeeded 1 "ok"`)
	s.wantHealthy()
}

// With the first failed one's row held, a call for it alone would wait, and all that fail later with it.
func TestBusyRowOfAFailedJobDelaysNoOther(t *testing.T) {
	s := newSite(t)
	held := make(chan struct{})
	s.run(worker.Config{}, map[string]worker.Handler{
		"held": func(context.Context, *worker.Job) (any, error) {
			<-held
			return nil, errors.New("boom")
		},
		"other": func(context.Context, *worker.Job) (any, error) { return nil, errors.New("no good") },
	})
	id := s.deferJob("held", "")
	s.waitRow(id, "doing 0")
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `select from procrastinate_jobs j where j.id = $1 for update`, id); err != nil {
		t.Fatal(err)
	}
	close(held)
	waits := func() bool {
		return s.query(`select count(*) from pg_stat_activity a where a.application_name = $1 and a.wait_event_type = 'Lock'`, s.schema) == "1"
	}
	if !eventually(waits) {
		t.Error("no call waits for the row")
	}
	for range 3 {
		s.waitRow(s.deferJob("other", ""), "failed 1 no good")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitRow(id, "failed 1 boom")
	s.wantHealthy()
}

func TestWorkerWithoutSchemaSaysWhatToRun(t *testing.T) {
	pool, err := pgxpool.NewWithConfig(t.Context(), poolConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w, err := worker.New(pool, worker.Config{Schema: "no such schema"})
	if err != nil {
		t.Fatal(err)
	}
	w.Handle("sum", sum)
	if err := w.Run(t.Context()); !errors.Is(err, worker.ErrSchema) || !strings.Contains(err.Error(), `run "procrastinate migrate --schema 'no such schema'"`) {
		t.Errorf("got %v, want ErrSchema and what to run", err)
	}
}

func TestWorkerRefusesAnotherVersion(t *testing.T) {
	s := newSite(t)
	other := `create or replace function procrastinate_version() returns text language sql as $$ select '99.0.0' $$`
	if _, err := s.pool.Exec(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(s.pool, worker.Config{Schema: s.schema})
	if err != nil {
		t.Fatal(err)
	}
	w.Handle("sum", sum)
	if err := w.Run(t.Context()); !errors.Is(err, worker.ErrSchema) {
		t.Errorf("got %v, want ErrSchema", err)
	}
}

func TestWorkerWithoutGrantSaysWhatToGrant(t *testing.T) {
	s := newSite(t)
	role := pgx.Identifier{s.schema + "_role"}.Sanitize()
	exec := func(sql string) {
		if _, err := s.pool.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("create role " + role)
	t.Cleanup(func() { exec("drop role " + role) })
	config := poolConfig(t)
	config.ConnConfig.RuntimeParams["role"] = s.schema + "_role"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w, err := worker.New(pool, worker.Config{Schema: s.schema})
	if err != nil {
		t.Fatal(err)
	}
	w.Handle("sum", sum)
	if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "execute on its functions") {
		t.Errorf("got %v, want what to grant", err)
	}
}
