package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

const (
	task  = "noop"
	batch = 1000 // jobs that one call defers
)

// throughput is our worker as it drains fastest.
var throughput = worker.Config{Concurrency: 100, MaxPerLock: 100}

// What a worker of ours can be told to be, beside the fastest.
const (
	modeLatency = "latency" // it says when each handler starts
	modeOrdered = "ordered" // it insists that the jobs come one by one, in the order of n
)

// notifyOff is an argument of the command defer.
const notifyOff = "--notify=off"

// An adapter is our side of the protocol by which all systems are measured; the README has it.
type adapter struct {
	url    string
	args   []string
	stdout io.Writer
	stderr io.Writer
	begin  <-chan struct{} // closed when a worker is to start
}

// line is what adapters say.
type line struct {
	System  string  `json:"system,omitempty"`
	Version string  `json:"version,omitempty"`
	Runtime string  `json:"runtime,omitempty"`
	Jobs    int     `json:"jobs,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Ready   bool    `json:"ready,omitempty"`
	Done    int64   `json:"done,omitempty"`
	Left    *int64  `json:"left,omitempty"`
	N       *int    `json:"n,omitempty"`
	At      float64 `json:"at,omitempty"` // microseconds since 1970
}

// runOurs does one command, until it is done or standard input ends.
func runOurs(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	begin := make(chan struct{})
	go func() {
		defer stop()
		for lines := bufio.NewScanner(stdin); lines.Scan() && lines.Text() != "stop"; {
			if lines.Text() == "go" {
				close(begin)
			}
		}
	}()
	a := adapter{url: getenv("DATABASE_URL"), args: args[1:], stdout: stdout, stderr: stderr, begin: begin}
	commands := map[string]func(context.Context) error{
		"install": a.install, "insert": a.insert, "defer": a.deferOne, "work": a.work, "send": a.send, "left": a.left,
	}
	command, ok := commands[args[0]]
	if !ok {
		return fmt.Errorf("no command is called %q", args[0])
	}
	return command(ctx)
}

func (a adapter) say(l line) error { return json.NewEncoder(a.stdout).Encode(l) }

// number is an argument.
func (a adapter) number(i int) (int, error) {
	if i >= len(a.args) {
		return 0, errors.New("an argument is missing")
	}
	return strconv.Atoi(a.args[i])
}

func (a adapter) connect(ctx context.Context, params ...string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(a.url)
	if err != nil {
		return nil, err
	}
	for _, name := range params {
		config.RuntimeParams[name] = "off"
	}
	return pgx.ConnectConfig(ctx, config)
}

func (a adapter) install(ctx context.Context) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := migrate.Up(ctx, conn, "public"); err != nil {
		return err
	}
	return a.say(line{System: "ours", Version: worker.Version, Runtime: runtime.Version()})
}

type newJob struct {
	Task string `json:"task"`
	Args args   `json:"args"`
}

type args struct {
	N int `json:"n"`
}

func (a adapter) insert(ctx context.Context) error {
	count, err := a.number(0)
	if err != nil {
		return err
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	began := time.Now()
	for first := 0; first < count; first += batch {
		jobs := make([]newJob, min(batch, count-first))
		for i := range jobs {
			jobs[i] = newJob{Task: task, Args: args{N: first + i}}
		}
		if _, err := conn.Exec(ctx, `select count(*) from procrastinate_defer_many($1)`, jobs); err != nil {
			return err
		}
	}
	return a.say(line{Jobs: count, Seconds: time.Since(began).Seconds()})
}

// deferOne defers one job a transaction, from several connections.
func (a adapter) deferOne(ctx context.Context) error {
	count, err := a.number(1)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(a.args[0], 64)
	if err != nil {
		return err
	}
	var params []string
	if slices.Contains(a.args, notifyOff) {
		params = append(params, "procrastinate.notify")
	}
	conns := make([]*pgx.Conn, count)
	for i := range conns {
		conn, err := a.connect(ctx, params...)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		conns[i] = conn
	}
	var all sync.WaitGroup
	var jobs atomic.Int64
	faults := make([]error, count)
	began := time.Now()
	end := began.Add(time.Duration(seconds * float64(time.Second)))
	for i, conn := range conns {
		all.Go(func() {
			for time.Now().Before(end) && faults[i] == nil {
				_, faults[i] = conn.Exec(ctx, `select procrastinate_defer($1, $2)`, task, args{N: int(jobs.Add(1))})
			}
		})
	}
	all.Wait()
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return a.say(line{Jobs: int(jobs.Load()), Seconds: time.Since(began).Seconds()})
}

// sends are the statements by which a single job is sent, where a Go program does it.
var sends = map[string]string{
	"":                `select procrastinate_defer($1, $2)`,
	"graphile-worker": `select graphile_worker.add_job($1, $2::json)`,
}

// send sends jobs one by one, also to graphile-worker: then the two differ by their own work, not by that of the sender.
func (a adapter) send(ctx context.Context) error {
	count, err1 := a.number(0)
	gap, err2 := a.number(1)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	sql := sends[""]
	if len(a.args) > 2 {
		sql = sends[a.args[2]]
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for n := range count {
		least := time.Duration(gap) * time.Millisecond / 2
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(least + rand.N(2*least)):
		}
		if _, err := conn.Exec(ctx, sql, task, args{N: n}); err != nil {
			return err
		}
		if err := a.say(line{N: &n, At: now()}); err != nil {
			return err
		}
	}
	return nil
}

func (a adapter) left(ctx context.Context) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	l := line{Left: new(int64)}
	err = conn.QueryRow(ctx, `select count(*) from procrastinate_jobs where status in ('todo', 'doing')`).Scan(l.Left)
	if err != nil {
		return err
	}
	return a.say(l)
}

// work runs a worker from when it is told to until it is to stop.
func (a adapter) work(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(a.url)
	if err != nil {
		return err
	}
	config.MaxConns = 5
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > 15*time.Second } // as the command
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		return err
	}
	settings := throughput
	settings.Logger = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w, err := worker.New(pool, settings)
	if err != nil {
		return err
	}
	h := &handler{adapter: a, news: make(chan struct{}, 1), fail: make(chan error, 1)}
	run := h.count
	switch {
	case slices.Contains(a.args, modeLatency):
		run = h.time
	case slices.Contains(a.args, modeOrdered):
		run = h.insist
	}
	w.Handle(task, run)
	if err := a.say(line{Ready: true}); err != nil {
		return err
	}
	select {
	case <-a.begin:
	case <-ctx.Done():
		return nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var telling sync.WaitGroup
	telling.Go(func() { stop(h.tell(ctx)) })
	err = w.Run(ctx)
	stop(nil)
	telling.Wait()
	if fault := context.Cause(ctx); !errors.Is(fault, context.Canceled) {
		err = errors.Join(err, fault)
	}
	return err
}
