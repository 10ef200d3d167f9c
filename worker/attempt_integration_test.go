//go:build integration

package worker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func TestEffectsAndFinishCommitTogetherOrNotAtAll(t *testing.T) {
	s := newSite(t)
	if _, err := s.pool.Exec(t.Context(), "create table effect (id bigint, task text)"); err != nil {
		t.Fatal(err)
	}
	inTx := func(end func(context.Context, pgx.Tx) error) worker.Handler {
		return func(ctx context.Context, job *worker.Job) (any, error) {
			tx, err := s.pool.Begin(ctx)
			if err != nil {
				return nil, err
			}
			defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // says only that it was committed
			if _, err := tx.Exec(ctx, "insert into effect values ($1, $2)", job.ID, job.Task); err != nil {
				return nil, err
			}
			if err := worker.FinishTx(ctx, tx, map[string]string{"told": "here"}); err != nil {
				return nil, err
			}
			return "not stored", end(ctx, tx)
		}
	}
	commit, forgets, fails := s.deferJob("commit", ""), s.deferJob("forgets", ""), s.deferJob("fails", "")
	removed := s.deferJob("removed", "")
	err := s.run(worker.Config{OneShot: true}, map[string]worker.Handler{
		"commit":  inTx(func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) }),
		"forgets": inTx(func(context.Context, pgx.Tx) error { return nil }),
		"fails":   inTx(func(context.Context, pgx.Tx) error { return errors.New("after all") }),
		"removed": func(ctx context.Context, job *worker.Job) (any, error) {
			if _, err := s.pool.Exec(ctx, "delete from procrastinate_jobs j where j.id = $1", job.ID); err != nil {
				return nil, err
			}
			_, err := inTx(func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) })(ctx, job)
			if !errors.Is(err, worker.ErrNotHeld) {
				t.Errorf("a job that is gone: got %v, want ErrNotHeld", err)
			}
			return nil, err
		},
	})()
	if err != nil {
		t.Fatal(err)
	}
	s.wantRow(commit, `succeeded 1 {"told": "here"}`)
	s.wantRow(forgets, "failed 1 the transaction in which the job was finished was not committed")
	s.wantRow(fails, "failed 1 after all")
	if got := s.query("select count(*) from procrastinate_jobs j where j.id = $1", removed); got != "0" {
		t.Errorf("the removed job is there %s times", got)
	}
	if got := s.query("select string_agg(e.task, ' ') from effect e"); got != "commit" {
		t.Errorf("effects of %q, want only those of commit", got)
	}
	s.wantHealthy()
}

func TestACommitAfterTheWorkerWasRemovedStands(t *testing.T) {
	s := newSite(t)
	var runs atomic.Int64
	s.run(worker.Config{BeatInterval: 20 * time.Millisecond, StalledAfter: 2 * time.Second}, map[string]worker.Handler{
		"next": func(context.Context, *worker.Job) (any, error) { return nil, nil },
		"late": func(ctx context.Context, _ *worker.Job) (any, error) {
			runs.Add(1)
			uncancelled := context.WithoutCancel(ctx)
			tx, err := s.pool.Begin(uncancelled)
			if err != nil {
				return nil, err
			}
			defer func() { _ = tx.Rollback(uncancelled) }() // says only that it was committed
			if err := worker.FinishTx(ctx, tx, "late"); err != nil {
				return nil, err
			}
			if _, err := s.pool.Exec(uncancelled, "delete from procrastinate_workers"); err != nil {
				return nil, err
			}
			<-ctx.Done()
			if _, err := s.pool.Exec(uncancelled, "select procrastinate_tick()"); err != nil { // which would rescue the job
				return nil, err
			}
			return nil, tx.Commit(uncancelled)
		},
	})
	late, next := s.deferJob("late", ", lock => 'a'"), s.deferJob("next", ", lock => 'a'")
	s.waitRow(next, "succeeded 1")
	s.wantRow(late, `succeeded 1 "late"`)
	if runs.Load() != 1 {
		t.Errorf("it ran %d times, want once", runs.Load())
	}
	s.wantHealthy()
}
