package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// workerArg makes this program a worker process; the other argument is its spec as JSON.
const workerArg = "worker"

type spec struct {
	URL         string
	Queue       string
	Quiet       bool // it does not listen
	OneShot     bool
	Concurrency int
}

// A note is a line that a worker process writes: what happened, to which job, when, and when the job was due (zero: at once).
type note struct {
	what    string
	job     int64
	at, due time.Time
}

// What notes tell.
const (
	began   = "began"   // the worker
	ended   = "ended"   // the worker
	started = "started" // the handler
	left    = "left"    // the handler
)

func (n note) write(w io.Writer) error {
	due := int64(0)
	if !n.due.IsZero() {
		due = n.due.UnixNano()
	}
	_, err := fmt.Fprintf(w, "%s %d %d %d\n", n.what, n.job, n.at.UnixNano(), due)
	return err
}

func readNote(line string) (n note, err error) {
	var at, due int64
	if _, err := fmt.Sscanf(line, "%s %d %d %d", &n.what, &n.job, &at, &due); err != nil {
		return n, fmt.Errorf("a worker wrote %q: %w", line, err)
	}
	n.at = time.Unix(0, at)
	if due != 0 {
		n.due = time.Unix(0, due)
	}
	return n, nil
}

// runWorker works until its standard input ends, so it does not outlive who started it.
func runWorker(ctx context.Context, arg string, stdin io.Reader, stdout, stderr io.Writer) error {
	var s spec
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return fmt.Errorf("read spec: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		stop()
	}()

	config, err := pgxpool.ParseConfig(s.URL)
	if err != nil {
		return err
	}
	config.MaxConns = 5
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	w, err := worker.New(pool, worker.Config{
		Queues: []string{s.Queue}, DisableListen: s.Quiet, OneShot: s.OneShot, Concurrency: s.Concurrency, PollInterval: quietPoll,
		// jobs that fail or are lost are part of what is measured
		Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	handlers{stdout}.register(w)
	tell := func(what string) error { return note{what: what, at: time.Now()}.write(stdout) }
	return errors.Join(tell(began), w.Run(ctx), tell(ended))
}

// handlers write notes. A note is one short write, so handlers need not take turns.
type handlers struct{ out io.Writer }

func (h handlers) register(w *worker.Worker) {
	w.Handle("nothing", func(context.Context, *worker.Job) (any, error) { return nil, nil })
	w.Handle("note", h.note)
	w.Handle("again", h.again)
	w.Handle("hold", h.hold)
	w.Handle("hold or fail", h.hold)
}

func (h handlers) note(_ context.Context, job *worker.Job) (any, error) {
	n := note{what: started, job: job.ID, at: time.Now(), due: job.ScheduledAt}
	var metadata struct {
		ScheduledFor time.Time `json:"scheduled_for"`
	}
	if len(job.Metadata) > 0 {
		if err := json.Unmarshal(job.Metadata, &metadata); err != nil {
			return nil, err
		}
	}
	if !metadata.ScheduledFor.IsZero() {
		n.due = metadata.ScheduledFor
	}
	return nil, n.write(h.out)
}

// again fails each time, to be called again soon.
func (h handlers) again(ctx context.Context, job *worker.Job) (any, error) {
	if _, err := h.note(ctx, job); err != nil {
		return nil, err
	}
	return nil, worker.RetryIn(errors.New("not yet"), between(100*time.Millisecond, 400*time.Millisecond))
}

// hold keeps the job for the span, or until it is cancelled.
func (h handlers) hold(ctx context.Context, job *worker.Job) (any, error) {
	if _, err := h.note(ctx, job); err != nil {
		return nil, err
	}
	var args struct{ Span time.Duration }
	if err := json.Unmarshal(job.Args, &args); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(args.Span):
		return nil, note{what: left, job: job.ID, at: time.Now()}.write(h.out)
	}
}
