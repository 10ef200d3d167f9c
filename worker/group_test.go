//go:build integration

package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func TestATaskKeepsToItsConcurrencyAndHoldsUpNoOther(t *testing.T) {
	s := newSite(t)
	s.query(`select count(procrastinate_defer('slow')) from generate_series(1, 50)`)
	s.query(`select count(procrastinate_defer('quick')) from generate_series(1, 20)`)
	var running, most atomic.Int64
	free := make(chan struct{})
	stop := s.run(worker.Config{Concurrency: 5, TaskConcurrency: map[string]int{"slow": 2}}, map[string]worker.Handler{
		"slow": func(context.Context, *worker.Job) (any, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-free
			return nil, nil
		},
		"quick": func(context.Context, *worker.Job) (any, error) { return nil, nil },
	}, func(config *pgxpool.Config) { config.MaxConns = 5 })
	ended := func(task string) string {
		return s.query(`select count(*) from procrastinate_jobs j where j.task_name = $1 and j.status = 'succeeded'`, task)
	}
	if !eventually(func() bool { return ended("quick") == "20" && running.Load() == 2 }) {
		t.Errorf("%s quick jobs ended and %d slow ones run, want 20 and 2", ended("quick"), running.Load())
	}
	close(free)
	if !eventually(func() bool { return ended("slow") == "50" }) {
		t.Errorf("%s slow jobs ended, want 50", ended("slow"))
	}
	if most.Load() > 2 {
		t.Errorf("%d slow jobs ran at once, want at most 2", most.Load())
	}
	if got := s.query(`select string_agg(concat(w.worker_name, ': ', w.tasks::text, ' ', w.info->>'concurrency'), ', ' order by w.worker_name) from procrastinate_workers w`); !strings.HasSuffix(got, "slow: {slow} 2") || !strings.Contains(got, ": {quick} 5, ") {
		t.Errorf("registered as %s", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	s.wantHealthy()
}

func TestOneShotGoesOnWhileGroupsDeferJobsOfEachOther(t *testing.T) {
	s := newSite(t)
	chain := func(next string) worker.Handler {
		return worker.Typed(func(ctx context.Context, args struct{ N int }) (any, error) {
			if args.N == 0 {
				return nil, nil
			}
			_, err := s.pool.Exec(ctx, "select procrastinate_defer($1, jsonb_build_object('n', $2::integer))", next, args.N-1)
			return nil, err
		})
	}
	s.deferJob("ping", `, '{"n": 6}'`)
	err := s.run(worker.Config{OneShot: true, TaskConcurrency: map[string]int{"ping": 1}},
		map[string]worker.Handler{"ping": chain("pong"), "pong": chain("ping")},
		func(config *pgxpool.Config) { config.MaxConns = 5 })()
	if err != nil {
		t.Error(err)
	}
	if got := s.query(`select count(*) from procrastinate_jobs j where j.status = 'succeeded'`); got != "7" {
		t.Errorf("%s jobs ended, want all 7", got)
	}
}

func TestTheFirstWrapperIsTheOutermost(t *testing.T) {
	s := newSite(t)
	id := s.deferJob("a", "")
	var one sync.Mutex
	var calls []string
	note := func(what string) {
		one.Lock()
		defer one.Unlock()
		calls = append(calls, what)
	}
	wrap := func(name string) func(worker.Handler) worker.Handler {
		return func(next worker.Handler) worker.Handler {
			return func(ctx context.Context, job *worker.Job) (any, error) {
				note(name + " before")
				result, err := next(ctx, job)
				note(fmt.Sprint(name, " after ", err))
				if err != nil {
					err = fmt.Errorf("%s: %w", name, err)
				}
				return result, err
			}
		}
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), poolConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w, err := worker.New(pool, worker.Config{Schema: s.schema, OneShot: true})
	if err != nil {
		t.Fatal(err)
	}
	w.Use(wrap("outer"), wrap("inner"))
	w.Handle("a", func(context.Context, *worker.Job) (any, error) { return nil, errors.New("boom") })
	if err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(calls, ", "), "outer before, inner before, inner after boom, outer after inner: boom"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.wantRow(id, "failed 1 outer: inner: boom")
}

func TestAConcurrencyOfATaskWithoutHandlerIsRefused(t *testing.T) {
	s := newSite(t)
	pool, err := pgxpool.NewWithConfig(t.Context(), poolConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := worker.New(pool, worker.Config{TaskConcurrency: map[string]int{"a": 1, "b": 1}}); err == nil || !strings.Contains(err.Error(), "needs 6") {
		t.Errorf("a pool of 4: got %v, want how many it needs", err)
	}
	larger := poolConfig(t)
	larger.MaxConns = 5
	if pool, err = pgxpool.NewWithConfig(t.Context(), larger); err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w, err := worker.New(pool, worker.Config{Schema: s.schema, TaskConcurrency: map[string]int{"typo": 1}})
	if err != nil {
		t.Fatal(err)
	}
	w.Handle("type", func(context.Context, *worker.Job) (any, error) { return nil, nil })
	if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `"typo"`) {
		t.Errorf("got %v, want that typo has no handler", err)
	}
}

func TestAWrapperMustMakeAHandler(t *testing.T) {
	s := newSite(t)
	pool, err := pgxpool.NewWithConfig(t.Context(), poolConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w, err := worker.New(pool, worker.Config{Schema: s.schema})
	if err != nil {
		t.Fatal(err)
	}
	w.Use(func(worker.Handler) worker.Handler { return nil })
	w.Handle("a", func(context.Context, *worker.Job) (any, error) { return nil, nil })
	if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `no handler for task "a"`) {
		t.Errorf("got %v, want that there is no handler", err)
	}
}
