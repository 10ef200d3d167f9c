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
	last int // n of the job before; of one that runs alone
	fail chan error
}

// tell says every 50 ms how many handlers have run, if more have. It returns what a handler complains of.
func (h *handler) tell(ctx context.Context) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for told := int64(0); ; {
		if done := h.done.Load(); done > told {
			told = done
			if err := h.say(line{Done: done}); err != nil {
				return err
			}
		}
		select {
		case <-ticks.C:
		case err := <-h.fail:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *handler) count(context.Context, *worker.Job) (any, error) {
	h.done.Add(1)
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
func (h *handler) insist(_ context.Context, job *worker.Job) (any, error) {
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
	h.done.Add(1)
	return nil, nil
}

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
