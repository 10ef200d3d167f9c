//go:build integration

package worker_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
)

// wait reads the log until a line has the text.
func (l lines) wait(t *testing.T, text string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return
			}
		case <-limit:
			t.Fatalf("no %q in the log", text)
		}
	}
}

// crowd counts how often each job ran, and tells when so many have.
type crowd struct {
	mu    sync.Mutex
	runs  map[int64]int
	ended chan struct{}
}

func (c *crowd) handle(_ context.Context, job *worker.Job) (any, error) {
	<-time.After(2 * time.Millisecond) // or all have ended before anything can happen
	c.mu.Lock()
	c.runs[job.ID]++
	c.mu.Unlock()
	c.ended <- struct{}{}
	return job.ID, nil
}

func (c *crowd) wait(count int) {
	for range count {
		<-c.ended
	}
}

// What was committed outlasts a crash, and what the worker holds does not depend on a session: so no job is lost and none
// runs twice.
func TestCrashesOfTheServer(t *testing.T) {
	server := testdb.OwnServer(t)
	s := newSite(t)
	before := runtime.NumGoroutine()
	log := make(lines, 10_000)
	crowd := &crowd{runs: map[int64]int{}, ended: make(chan struct{}, 2000)}
	goOn := make(chan struct{})
	stop := s.run(worker.Config{Concurrency: 20, PollInterval: time.Hour, Logger: log.logger()}, map[string]worker.Handler{
		"sum":  sum,
		"many": crowd.handle,
		"long": func(context.Context, *worker.Job) (any, error) {
			<-goOn
			return "kept", nil
		},
	})
	long := s.deferJob("long", ", lock => 'l'")
	s.waitRow(long, "doing 0")
	s.query(`select count(procrastinate_defer('many', lock => case when n % 3 = 0 then 'lock ' || n % 30 end)) from generate_series(1, 1000) n`)

	crowd.wait(200)
	server.Stop()
	server.Start()
	crowd.wait(200)
	server.Stop()
	close(goOn)
	log.wait(t, "call=listen")
	log.wait(t, `msg="database call failed"`)
	server.Start()
	s.pool.Reset()

	s.waitRow(long, `succeeded 1 "kept"`)
	crowd.wait(600)
	const count = `select string_agg(n, ', ' order by n) from (select concat_ws(' ', j.task_name, j.status, j.attempts, j.result = to_jsonb(j.id), count(*)) n from procrastinate_jobs j group by j.task_name, j.status, j.attempts, j.result = to_jsonb(j.id)) g`
	got := ""
	if !eventually(func() bool { got = s.query(count); return got == "long succeeded 1 f 1, many succeeded 1 t 1000" }) {
		t.Errorf("got %s", got)
	}
	for id, runs := range crowd.runs {
		if runs != 1 {
			t.Errorf("job %d ran %d times", id, runs)
		}
	}
	s.listening(s.schema)
	s.waitRow(s.deferJob("sum", `, '{"a": 1}'`), `succeeded 1 {"sum": 1}`)
	if err := stop(); err != nil {
		t.Error(err)
	}
	s.wantHealthy()
	if !eventually(func() bool { return runtime.NumGoroutine() <= before }) {
		stacks := make([]byte, 1<<20)
		t.Errorf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
}

// cable is what the connections of a worker run through.
type cable struct {
	mu    sync.Mutex
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	conns []net.Conn
	cut   bool
}

func (c *cable) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.Join(errors.New("cable cut"), conn.Close())
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func TestWorkerThatWasBuriedWhileItWasAwayGoesOn(t *testing.T) {
	s := newSite(t)
	log := make(lines, 1000)
	var cable cable
	var mu sync.Mutex
	runs := map[string]int{}
	first := func(task string) bool {
		mu.Lock()
		defer mu.Unlock()
		runs[task]++
		return runs[task] == 1
	}
	causes, away := make(chan error, 2), make(chan struct{})
	waiting := func(task string) worker.Handler {
		return func(ctx context.Context, _ *worker.Job) (any, error) {
			if !first(task) {
				return "second", nil
			}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return "first", nil
		}
	}
	config := worker.Config{BeatInterval: 50 * time.Millisecond, StalledAfter: time.Second, PollInterval: time.Hour, Logger: log.logger()}
	s.run(config, map[string]worker.Handler{
		"locked": waiting("locked"),
		"plain":  waiting("plain"),
		"ended": func(context.Context, *worker.Job) (any, error) {
			if !first("ended") {
				return "second", nil
			}
			<-away
			return "first", nil
		},
	}, func(config *pgxpool.Config) {
		cable.dial, config.ConnConfig.DialFunc = config.ConnConfig.DialFunc, cable.connect
	})
	ids := []int64{s.deferJob("locked", ", lock => 'l'"), s.deferJob("plain", ""), s.deferJob("ended", "")}
	for _, id := range ids {
		s.waitRow(id, "doing 0")
	}
	cable.set(true)
	close(away)
	if cause := <-causes; !errors.Is(cause, worker.ErrOutOfTouch) {
		t.Errorf("the locked job was cancelled because %v, want ErrOutOfTouch", cause)
	}
	if !eventually(func() bool {
		s.query(`select procrastinate_tick()`)
		return s.query(`select count(*) from procrastinate_workers`) == "0"
	}) {
		t.Fatal("nobody buried the worker")
	}
	for _, id := range ids {
		s.wantRow(id, "todo 0 worker died")
	}
	cable.set(false)
	if cause := <-causes; !errors.Is(cause, worker.ErrLostRegistration) {
		t.Errorf("the other was cancelled because %v, want ErrLostRegistration", cause)
	}
	log.wait(t, "registration lost")
	for range ids {
		log.wait(t, `msg="job lost"`)
	}
	for _, id := range ids {
		s.waitRow(id, `succeeded 1 "second"`)
	}
	s.wantHealthy()
}
