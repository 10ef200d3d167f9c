package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// A handler does nothing but what is measured.
type handler struct {
	adapter
	done atomic.Int64
	busy atomic.Bool
	last int           // n of the job before; of one that runs alone
	news chan struct{} // has one when more was done than was told
	fail chan error
}

// tell says how many handlers have run, every 50 ms while more do. It returns what a handler complains of.
func (h *handler) tell(ctx context.Context) error {
	for {
		select {
		case <-h.news:
			if err := h.say(line{Done: h.done.Load()}); err != nil {
				return err
			}
		case err := <-h.fail:
			return err
		case <-ctx.Done():
			return nil
		}
		if wait(ctx, 50*time.Millisecond) != nil {
			return nil
		}
	}
}

func (h *handler) count(context.Context, *worker.Job) (any, error) {
	h.done.Add(1)
	select {
	case h.news <- struct{}{}:
	default: // it will be told with what was done before
	}
	return nil, nil
}

func (h *handler) time(_ context.Context, job *worker.Job) (any, error) {
	at := now()
	n, err := number(job)
	if err != nil {
		return nil, err
	}
	return nil, h.say(line{N: &n, At: at})
}

// insist complains, and so ends the process, unless n counts up from the first job it sees.
func (h *handler) insist(ctx context.Context, job *worker.Job) (any, error) {
	if !h.busy.CompareAndSwap(false, true) {
		return nil, h.complain(fmt.Errorf("job %d of a lock runs beside another", job.ID))
	}
	defer h.busy.Store(false)
	n, err := number(job)
	if err != nil {
		return nil, h.complain(err)
	}
	if h.done.Load() > 0 && n != h.last+1 {
		return nil, h.complain(fmt.Errorf("after job %d of a lock came %d", h.last, n))
	}
	h.last = n
	return h.count(ctx, job)
}

// now is in microseconds, as adapters say it.
func now() float64 { return float64(time.Now().UnixMicro()) }

func (h *handler) complain(err error) error {
	select {
	case h.fail <- err:
	default: // the first is enough
	}
	return err
}

func number(job *worker.Job) (int, error) {
	var a args
	err := json.Unmarshal(job.Args, &a)
	return a.N, err
}
