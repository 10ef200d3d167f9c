package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Worker runs the jobs of its tasks. Make one with New, give it handlers, then Run it once.
type Worker struct {
	config   Config
	queue    *queue
	maxHot   int
	maxAlone int
	ear      *ear
	handlers map[string]Handler
	wrappers []func(Handler) Handler
	started  atomic.Bool
	abort    chan struct{}
	abortOne sync.Once
}

// sharedConns is what a worker needs at once, to fetch, to fail and to beat; and each of its groups one more, to wait for a busy
// row. With another for each, finishes go beside fetches. It listens on another connection, which it takes out of the pool.
const sharedConns = 3

// New makes a worker. The pool must allow at least 4 connections, and one more for each task in Config.TaskConcurrency, however
// many handlers run; with one more yet, and for each task, fetches and finishes go side by side. If handlers use it too, give it
// so many more that they never leave the worker without one, or it cannot beat.
func New(pool *pgxpool.Pool, config Config) (*Worker, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	conns := int(pool.Config().MaxConns)
	groups := 1 + len(config.TaskConcurrency)
	need := sharedConns + groups
	if conns < need {
		return nil, fmt.Errorf("the pool allows %d connections, this worker needs %d", conns, need)
	}
	config = config.withDefaults()
	return &Worker{
		config:   config,
		queue:    newQueue(pool, config.Schema),
		maxHot:   1 + min((conns-need)/groups, 1),
		maxAlone: min((conns-sharedConns)/groups, 8),
		ear:      &ear{config: config, connect: connector(pool, config.ListenConfig), shifts: map[*shift]bool{}},
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

// Use wraps all handlers in the given functions, before Run, also those that are set later. The first is the outermost: it is
// called first and sees last what is returned.
func (w *Worker) Use(wrap ...func(Handler) Handler) {
	if w.started.Load() {
		panic("worker: Use after Run")
	}
	w.wrappers = append(w.wrappers, wrap...)
}

// Abort cancels all handlers without waiting for the graceful timeout, and stops the worker. It returns at once;
// Run returns when the handlers have.
func (w *Worker) Abort() {
	w.abortOne.Do(func() { close(w.abort) })
}

// Run works until ctx ends or Abort is called, then stops gracefully: no more fetching, handlers get
// GracefulTimeout to return, then they are cancelled and their jobs given back. It returns nil after a clean
// stop; ErrSchema if the schema is missing or of another version; ErrCron for a schedule that the database does not
// understand; ErrStuck if handlers ignored their cancellation, which then still run; ErrUndelivered if the database did
// not take what was left to say.
// A database that does not answer in the beginning is an error. When it goes away later the worker waits, and keeps what its
// handlers returned.
func (w *Worker) Run(ctx context.Context) error {
	if !w.started.CompareAndSwap(false, true) {
		return errors.New("worker runs or ran already")
	}
	groups, err := w.groups()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	watching.Go(func() { // Abort ends also the calls that come before there is a handler to cancel
		select {
		case <-w.abort:
			stop()
		case <-ctx.Done():
		}
	})
	if err := w.checkSchema(ctx); err != nil {
		return w.unlessStopped(ctx, err)
	}
	if err := w.declareSchedules(ctx); err != nil {
		return w.unlessStopped(ctx, err)
	}
	return w.runGroups(ctx, groups)
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

// persist repeats a call while the database is away. A one-shot worker does not wait.
func persist[T any](ctx context.Context, w *Worker, name string, do func(context.Context) (T, error)) (T, error) {
	var trouble complaint
	for {
		callCtx, cancelCall := context.WithTimeout(ctx, callTimeout)
		value, err := do(callCtx)
		cancelCall()
		if err == nil {
			trouble.worked(w.config.Logger, name)
		}
		if err == nil || w.config.OneShot || ctx.Err() != nil || !isTransient(err) {
			return value, err
		}
		trouble.failed(w.config.Logger, name, err)
		select {
		case <-ctx.Done():
			return value, ctx.Err()
		case <-w.abort:
			return value, context.Canceled
		case <-time.After(backoff(trouble.failures)):
		}
	}
}
