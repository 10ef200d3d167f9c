package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
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
	r.figure(name+"CPU of PostgreSQL", none("% of a core"), (serverAfter-server).Seconds()*percent)
	r.figure(name+"CPU of the workers", none("% of a core"), (workersAfter-workers).Seconds()*percent)

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
	r.figure(name+"ticks", none("calls/s"), float64(callsAfter-calls)/time.Since(begin).Seconds())
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
	processes, err := readProcesses()
	if err != nil {
		return 0, 0, err
	}
	postmaster := processes[int(backend)].parent
	server = processes[postmaster].own + processes[postmaster].reaped
	for _, p := range processes {
		if p.parent == postmaster {
			server += p.own
		}
	}
	for _, w := range r.workers {
		workers += processes[w.cmd.Process.Pid].own
	}
	return server, workers, nil
}

// usage is the CPU time of a process and of its children that ended.
type usage struct {
	parent      int
	own, reaped time.Duration
}

func readProcesses() (map[int]usage, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	result := map[int]usage{}
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if result[pid], err = parseStat(text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if len(result) == 0 {
		return nil, errors.New("CPU times are read from /proc, which is not here")
	}
	return result, nil
}

// parseStat reads a line of proc(5). The second field, in brackets, is a name that may hold anything.
func parseStat(text []byte) (u usage, err error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return u, fmt.Errorf("it has %d fields", len(fields))
	}
	var faults []error
	number := func(i int) int {
		n, err := strconv.Atoi(string(fields[i]))
		faults = append(faults, err)
		return n
	}
	u.parent = number(1)
	u.own = time.Duration(number(11)+number(12)) * tick
	u.reaped = time.Duration(number(13)+number(14)) * tick
	return u, errors.Join(faults...)
}
