package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Worker runs the jobs of its tasks. Make one with New, give it handlers, then Run it once.
type Worker struct {
	config   Config
	queue    *queue
	maxAlone int
	connect  func(context.Context) (listener, error)
	handlers map[string]Handler
	started  atomic.Bool
	abort    chan struct{}
	abortOne sync.Once
}

// minConns is what a worker needs at once: to fetch, to fail, to beat, and to wait for a busy row. It listens on
// one more connection, which it takes out of the pool.
const minConns = 4

// New makes a worker. The pool must allow at least 4 connections; if handlers use it too, give it so many more
// that they never leave the worker without one, or it cannot beat.
func New(pool *pgxpool.Pool, config Config) (*Worker, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	conns := int(pool.Config().MaxConns)
	if conns < minConns {
		return nil, fmt.Errorf("the pool allows %d connections, a worker needs %d", conns, minConns)
	}
	config = config.withDefaults()
	return &Worker{
		config:   config,
		queue:    newQueue(pool, config.Schema),
		maxAlone: min(conns-minConns+1, 8),
		connect: func(ctx context.Context) (listener, error) {
			conn, err := pool.Acquire(ctx)
			if err != nil {
				return nil, err
			}
			return conn.Hijack(), nil
		},
		handlers: map[string]Handler{},
		abort:    make(chan struct{}),
	}, nil
}

// Handle sets the handler of a task, before Run. It panics for an empty task, a nil handler, a second handler
// of one task, or a worker that runs.
func (w *Worker) Handle(task string, handler Handler) {
	_, exists := w.handlers[task]
	switch {
	case w.started.Load():
		panic("worker: Handle after Run")
	case CheckTask(task) != nil:
		panic("worker: " + CheckTask(task).Error())
	case handler == nil || exists:
		panic(fmt.Sprintf("worker: task %q needs one handler", task))
	}
	w.handlers[task] = handler
}

// Abort cancels all handlers without waiting for the graceful timeout, and stops the worker. It returns at once;
// Run returns when the handlers have.
func (w *Worker) Abort() {
	w.abortOne.Do(func() { close(w.abort) })
}

// Run works until ctx ends or Abort is called, then stops gracefully: no more fetching, handlers get
// GracefulTimeout to return, then they are cancelled and their jobs given back. It returns nil after a clean
// stop; ErrSchema if the schema is missing or of another version; ErrStuck if handlers ignored their
// cancellation, which then still run; ErrUndelivered if the database did not take what was left to say.
// While the database is away it waits, and keeps what its handlers returned.
func (w *Worker) Run(ctx context.Context) error {
	if !w.started.CompareAndSwap(false, true) {
		return errors.New("worker runs or ran already")
	}
	if len(w.handlers) == 0 {
		return errors.New("worker has no handlers")
	}
	if err := w.checkSchema(ctx); err != nil {
		return w.unlessStopped(ctx, err)
	}
	for {
		id, at, err := w.register(ctx)
		if err != nil {
			return w.unlessStopped(ctx, err)
		}
		if err := w.runShift(ctx, id, at); !errors.Is(err, ErrNotRegistered) {
			return err
		}
		if w.isStopped(ctx) {
			return nil
		}
	}
}

func (w *Worker) isStopped(ctx context.Context) bool {
	select {
	case <-w.abort:
		return true
	default:
		return ctx.Err() != nil
	}
}

// unlessStopped: being told to stop before anything began is no fault.
func (w *Worker) unlessStopped(ctx context.Context, err error) error {
	if w.isStopped(ctx) {
		return nil
	}
	return err
}

// checkSchema is the first call. A database that does not answer it is most likely not the one that was meant.
func (w *Worker) checkSchema(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return CheckSchema(ctx, w.queue.db, w.config.Schema)
}

// register returns the registration and when it was asked for, which counts as the first beat.
func (w *Worker) register(ctx context.Context) (id int64, at time.Time, err error) {
	host, _ := os.Hostname() // for people only
	info := map[string]any{
		"version": Version, "host": host, "pid": os.Getpid(), "concurrency": w.config.Concurrency, "go": runtime.Version(),
	}
	tasks := slices.Sorted(maps.Keys(w.handlers))
	id, err = persist(ctx, w, "register", func(ctx context.Context) (int64, error) {
		at = time.Now()
		return w.queue.register(ctx, w.config, tasks, info)
	})
	if err != nil {
		return 0, at, fmt.Errorf("register worker: %w", err)
	}
	w.config.Logger.InfoContext(ctx, "worker registered",
		"worker", id, "name", w.config.Name, "queues", w.config.Queues, "tasks", tasks, "concurrency", w.config.Concurrency)
	return id, at, nil
}

// persist repeats a call while the database is away. A one-shot worker does not wait.
func persist[T any](ctx context.Context, w *Worker, name string, do func(context.Context) (T, error)) (T, error) {
	for tries := 1; ; tries++ {
		callCtx, cancelCall := context.WithTimeout(ctx, callTimeout)
		value, err := do(callCtx)
		cancelCall()
		if err == nil || w.config.OneShot || ctx.Err() != nil || !isTransient(err) {
			return value, err
		}
		wait := backoff(tries)
		w.config.Logger.WarnContext(ctx, "database call failed", "call", name, "err", err, "retry_in", wait)
		select {
		case <-ctx.Done():
			return value, ctx.Err()
		case <-w.abort:
			return value, context.Canceled
		case <-time.After(wait):
		}
	}
}

// runShift works under one registration.
func (w *Worker) runShift(ctx context.Context, id int64, at time.Time) error {
	stop := ctx.Done()
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	s := newShift(w.config, w.queue, w.handlers, id, w.maxAlone, at)
	var background sync.WaitGroup
	background.Go(func() { s.beats(ctx) })
	background.Go(func() { s.ticks(ctx) })
	if !w.config.DisableListen {
		background.Go(func() { s.listens(ctx, w.connect) })
	}
	err := s.run(ctx, stop, w.abort)
	close(s.closed)
	end()
	s.calls.Wait()
	background.Wait()
	if err == nil {
		w.unregister(context.WithoutCancel(ctx), id)
	}
	return err
}

func newShift(
	config Config, queue protocol, handlers map[string]Handler, id int64, maxAlone int, registered time.Time,
) *shift {
	return &shift{
		config: config, queue: queue, log: config.Logger.With("worker", id), handlers: handlers,
		unknown: map[string]bool{}, worker: id, maxAlone: maxAlone,
		mailbox: make(chan func(), 1024), executions: make(chan *execution), closed: make(chan struct{}), beatNow: make(chan struct{}, 1),
		held: map[int64]*held{}, locks: map[string]bool{}, usual: maxReadyAge,
		hungry: true, pause: config.PollInterval, lookAt: registered, beatAt: registered,
	}
}

// unregister says goodbye. If that fails, the database finds out by itself after StalledAfter.
func (w *Worker) unregister(ctx context.Context, id int64) {
	ctx, cancel := context.WithTimeout(ctx, w.config.GracefulTimeout)
	defer cancel()
	err := w.queue.unregister(ctx, id)
	if err != nil && !errors.Is(err, ErrNotRegistered) {
		w.config.Logger.WarnContext(ctx, "database call failed", "call", "unregister", "err", err)
	} else {
		w.config.Logger.InfoContext(ctx, "worker stopped", "worker", id)
	}
}
