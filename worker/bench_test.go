package worker

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// backlog is a database with nothing but jobs to run, at no cost of its own. Whatever else is asked of it is a fault.
type backlog struct {
	protocol
	left int64
}

func (b *backlog) claim(limit int) []*Job {
	jobs := make([]*Job, min(int64(limit), b.left))
	for i := range jobs {
		jobs[i] = job(b.left)
		b.left--
	}
	return jobs
}

func (b *backlog) fetch(_ context.Context, _ int64, limit, _ int) ([]*Job, error) {
	return b.claim(limit), nil
}

func (b *backlog) exchange(_ context.Context, _ int64, _ []int64, _ []*string, limit, _ int) ([]*Job, []outcome, error) {
	return b.claim(limit), nil, nil
}

func (b *backlog) finish(context.Context, int64, []int64, []*string) ([]outcome, error) {
	return nil, nil
}

func (b *backlog) tick(context.Context, *int64) (time.Duration, error) { return time.Second, nil }

// BenchmarkDrain is what the worker itself costs for a job that does nothing.
func BenchmarkDrain(b *testing.B) {
	for _, concurrency := range []int{10, 100} {
		b.Run(fmt.Sprintf("handlers=%d", concurrency), func(b *testing.B) {
			b.ReportAllocs()
			config := Config{Concurrency: concurrency, OneShot: true, StalledAfter: time.Hour}
			s := newShift(config.withDefaults(), &backlog{left: int64(b.N)}, map[string]Handler{"task": done}, 1, 2, 1, time.Now())
			if err := s.run(b.Context(), nil, nil); err != nil {
				b.Error(err)
			}
		})
	}
}
