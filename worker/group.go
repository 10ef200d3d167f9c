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
)

// group is a part of the worker's tasks, with handlers that run in slots of their own. The database knows it as a worker of its
// own, so a fetch for one group never brings what only another could start.
type group struct {
	config   Config
	handlers map[string]Handler
}

// groups are one for each task that has a concurrency of its own, and one for all others, if there are any.
func (w *Worker) groups() ([]group, error) {
	if len(w.handlers) == 0 {
		return nil, errors.New("worker has no handlers")
	}
	config := w.config
	if config.OnEvent != nil {
		config.OnEvent = oneByOne(config.OnEvent)
	}
	rest := group{config: config, handlers: maps.Clone(w.handlers)}
	for task, handler := range rest.handlers {
		for _, wrap := range slices.Backward(w.wrappers) {
			handler = wrap(handler)
		}
		if handler == nil {
			return nil, fmt.Errorf("a wrapper made no handler for task %q", task)
		}
		rest.handlers[task] = handler
	}
	var groups []group
	for _, task := range slices.Sorted(maps.Keys(config.TaskConcurrency)) {
		handler := rest.handlers[task]
		if handler == nil {
			return nil, fmt.Errorf("task %q has a concurrency and no handler", task)
		}
		delete(rest.handlers, task)
		own := group{config: config, handlers: map[string]Handler{task: handler}}
		own.config.Concurrency = config.TaskConcurrency[task]
		own.config.Name = cutText(config.Name+" "+task, maxNameLength)
		groups = append(groups, own)
	}
	if len(rest.handlers) > 0 {
		groups = append(groups, rest)
	}
	return groups, nil
}

// oneByOne keeps the groups from calling it at once.
func oneByOne(tell func(Event)) func(Event) {
	var one sync.Mutex
	return func(event Event) {
		one.Lock()
		defer one.Unlock()
		tell(event)
	}
}

// runGroups runs all groups until they have stopped. The first that ends with an error stops the others. A one-shot worker goes
// round until no group found anything to do: a job of one may defer jobs of another that has ended.
func (w *Worker) runGroups(ctx context.Context, groups []group) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	beside, end := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	defer background.Wait()
	defer end()
	clock := newClock(w.queue, w.config.Logger, w.ear)
	w.ear.hint = clock.hint
	background.Go(func() { clock.ticks(beside) })
	if !w.config.DisableListen {
		background.Go(func() { w.ear.listens(beside) })
	}
	for {
		var began atomic.Bool
		var running sync.WaitGroup
		errs := make([]error, len(groups))
		for i, g := range groups {
			running.Go(func() {
				if errs[i] = w.runGroup(ctx, g, &began); errs[i] != nil {
					stop()
				}
			})
		}
		running.Wait()
		again := w.config.OneShot && len(groups) > 1 && began.Load() && !w.isStopped(ctx)
		if err := errors.Join(errs...); err != nil || !again {
			return err
		}
	}
}

// runGroup works under one registration after the other. began is set when it starts a job.
func (w *Worker) runGroup(ctx context.Context, g group, began *atomic.Bool) error {
	for {
		id, at, err := w.register(ctx, g)
		if err != nil {
			return w.unlessStopped(ctx, err)
		}
		if err := w.runShift(ctx, g, id, at, began); !errors.Is(err, ErrNotRegistered) {
			return err
		}
		if w.isStopped(ctx) {
			return nil
		}
	}
}

// register returns the registration and when it was asked for, which counts as the first beat.
func (w *Worker) register(ctx context.Context, g group) (id int64, at time.Time, err error) {
	host, _ := os.Hostname() // for people only
	info := map[string]any{
		"version": Version, "host": host, "pid": os.Getpid(), "concurrency": g.config.Concurrency, "go": runtime.Version(),
	}
	tasks := slices.Sorted(maps.Keys(g.handlers))
	id, err = persist(ctx, w, "register", func(ctx context.Context) (int64, error) {
		at = time.Now()
		return w.queue.register(ctx, g.config, tasks, info)
	})
	if err != nil {
		return 0, at, fmt.Errorf("register worker: %w", err)
	}
	w.config.Logger.InfoContext(ctx, "worker registered",
		"worker", id, "name", g.config.Name, "queues", w.config.Queues, "tasks", tasks, "concurrency", g.config.Concurrency)
	return id, at, nil
}

// runShift works under one registration.
func (w *Worker) runShift(ctx context.Context, g group, id int64, at time.Time, began *atomic.Bool) error {
	stop := ctx.Done()
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	s := newShift(g.config, w.queue, g.handlers, id, w.maxHot, w.maxAlone, at)
	s.postponed = w.ear.tickIfDeaf
	var background sync.WaitGroup
	background.Go(func() { s.beats(ctx) })
	defer w.ear.add(s)()
	err := s.run(ctx, stop, w.abort)
	if s.began {
		began.Store(true)
	}
	end()
	s.calls.Wait()
	background.Wait()
	if err == nil {
		w.unregister(context.WithoutCancel(ctx), id)
	}
	return err
}

func newShift(
	config Config, queue protocol, handlers map[string]Handler, id int64, maxHot, maxAlone int, registered time.Time,
) *shift {
	return &shift{
		config: config, queue: queue, log: config.Logger.With("worker", id), handlers: handlers,
		unknown: map[string]bool{}, worker: id, maxHot: maxHot, maxAlone: maxAlone, crowd: maxBatch / 2,
		mailbox: newMailbox(), idle: make(chan struct{}), beatNow: make(chan struct{}, 1),
		held: map[int64]*held{}, locks: map[string]bool{}, usual: maxReadyAge,
		hungry: true, pause: config.PollInterval, lookAt: registered, beatAt: registered,
	}
}

// unregister says goodbye. If that fails, the database finds out by itself after StalledAfter.
func (w *Worker) unregister(ctx context.Context, id int64) {
	ctx, cancel := context.WithTimeout(ctx, w.config.deliverFor())
	defer cancel()
	err := w.queue.unregister(ctx, id)
	if err != nil && !errors.Is(err, ErrNotRegistered) {
		w.config.Logger.WarnContext(ctx, "database call failed", "call", "unregister", "err", err)
	} else {
		w.config.Logger.InfoContext(ctx, "worker stopped", "worker", id)
	}
}
