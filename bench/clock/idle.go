package main

import (
	"context"
	"fmt"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// idleWorkers: what worker processes cost that have nothing to do: none, one, and many.
func idleWorkers(ctx context.Context, r *room) error {
	for _, count := range []int{0, 1, r.plan.Workers} {
		for range count - len(r.workers) {
			if _, err := r.start(spec{Queue: oneQueue}); err != nil {
				return err
			}
			if _, err := r.await(ctx, began, 0, patience); err != nil {
				return err
			}
		}
		// autovacuum and the last register have ended, lanes and caches are warm
		if err := wait(ctx, r.plan.Window/3); err != nil {
			return err
		}
		if err := r.watchIdle(ctx, count); err != nil {
			return err
		}
	}
	return nil
}

// watchIdle counts calls in a window of its own, for counting costs something.
func (r *room) watchIdle(ctx context.Context, count int) error {
	server, workers, err := r.cpu(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := wait(ctx, r.plan.Window); err != nil {
		return err
	}
	serverAfter, workersAfter, err := r.cpu(ctx)
	if err != nil {
		return err
	}
	percent := 100 / time.Since(begin).Seconds()
	name := fmt.Sprintf("%d idle worker processes: ", count)
	r.figure(name+"CPU of PostgreSQL", lab.None("% of a core"), (serverAfter-server).Seconds()*percent)
	r.figure(name+"CPU of the workers", lab.None("% of a core"), (workersAfter-workers).Seconds()*percent)

	if err := r.countCalls(ctx, "all"); err != nil {
		return err
	}
	if err := wait(ctx, 1500*time.Millisecond); err != nil { // until all sessions do, and reported their first
		return err
	}
	calls, err := r.ticks(ctx)
	if err != nil {
		return err
	}
	begin = time.Now()
	if err := wait(ctx, r.plan.Window); err != nil {
		return err
	}
	callsAfter, err := r.ticks(ctx)
	if err != nil {
		return err
	}
	r.figure(name+"ticks", lab.None("calls/s"), float64(callsAfter-calls)/time.Since(begin).Seconds())
	return r.countCalls(ctx, "none")
}

func (r *room) countCalls(ctx context.Context, functions string) error {
	if err := r.exec(ctx, "alter system set track_functions = '"+functions+"'"); err != nil {
		return err
	}
	return r.exec(ctx, "select pg_reload_conf()")
}

func (r *room) ticks(ctx context.Context) (int64, error) {
	return r.number(ctx, `select coalesce(sum(calls), 0) from pg_stat_user_functions where funcname = 'procrastinate_tick'`)
}

// cpu is what the processes of the server used since it started, and those of the workers.
func (r *room) cpu(ctx context.Context) (server, workers time.Duration, err error) {
	backend, err := r.number(ctx, `select pg_backend_pid()`)
	if err != nil {
		return 0, 0, err
	}
	processes, err := lab.ReadProcesses()
	if err != nil {
		return 0, 0, err
	}
	for _, w := range r.workers {
		workers += processes.Tree(w.PID())
	}
	return processes.Tree(processes.Parent(int(backend))), workers, nil
}
