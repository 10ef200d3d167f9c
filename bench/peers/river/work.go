package main

import (
	"bufio"
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// work is a worker process. A fetch fills all free places, so many places make
// large fetches; all completions are persisted in batches by default.
func (p *peer) work(ctx context.Context) error {
	// Collecting garbage as often as Go does by default costs a tenth of all CPU time.
	debug.SetGCPercent(400)
	if err := p.connect(ctx, 10); err != nil {
		return err
	}
	var done atomic.Int64
	handler := func(context.Context, *river.Job[noop]) error {
		done.Add(1)
		return nil
	}
	if slices.Contains(p.options, "latency") {
		var mu sync.Mutex
		handler = func(_ context.Context, job *river.Job[noop]) error {
			at := time.Now().UnixMicro()
			mu.Lock()
			defer mu.Unlock()
			return p.out.Encode(values{"n": job.Args.N, "at": at})
		}
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(handler))
	client, err := river.NewClient(riverpgxv5.New(p.pool), &river.Config{
		FetchCooldown:     2 * time.Millisecond,  // 100 ms by default, which limits throughput
		FetchPollInterval: 20 * time.Millisecond, // 1 s by default
		JobTimeout:        -1,                    // no timer for each job
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
		Workers:           workers,
	})
	if err != nil {
		return err
	}
	if err := p.out.Encode(values{"ready": true}); err != nil {
		return err
	}
	lines := bufio.NewScanner(p.stdin)
	if !lines.Scan() || lines.Text() != "go" {
		return nil
	}
	if err := client.Start(ctx); err != nil {
		return err
	}

	stop := make(chan struct{})
	go func() {
		for lines.Scan() && lines.Text() != "stop" {
		}
		close(stop)
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	told := int64(0)
	for stopped := false; !stopped; {
		select {
		case <-tick.C:
		case <-stop:
			if err := client.Stop(ctx); err != nil {
				return err
			}
			stopped = true
		}
		if n := done.Load(); n != told {
			told = n
			if err := p.out.Encode(values{"done": n}); err != nil {
				return err
			}
		}
	}
	return nil
}
