//go:build integration

package worker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
)

// ledger counts, for each lock, the handlers that run now and all that ever did; where there is no lock, for each job.
type ledger struct {
	mu       sync.Mutex
	now      map[string]int
	runs     map[int64]int
	overlaps []string
	goOn     chan struct{}
}

// handle runs until all may go on, or the worker cancels it.
func (l *ledger) handle(ctx context.Context, job *worker.Job) (any, error) {
	l.mu.Lock()
	l.runs[job.ID]++
	if job.Lock != nil {
		if l.now[*job.Lock]++; l.now[*job.Lock] > 1 {
			l.overlaps = append(l.overlaps, *job.Lock)
		}
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if job.Lock != nil {
			l.now[*job.Lock]--
		}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.goOn:
		return "done", nil
	}
}

// The server is away for longer than anybody may be silent. Whoever ticks first when it is back finds all others silent.
func TestNobodyAliveIsBuriedAfterAnOutage(t *testing.T) {
	server := testdb.OwnServer(t)
	s := newSite(t)
	const workers, stalledAfter = 6, 2 * time.Second
	ledger := &ledger{now: map[string]int{}, runs: map[int64]int{}, goOn: make(chan struct{})}
	log := make(lines, 10_000)
	for range workers {
		config := worker.Config{
			Concurrency: 4, BeatInterval: stalledAfter / 4, StalledAfter: stalledAfter, PollInterval: time.Hour, Logger: log.logger(),
		}
		s.run(config, map[string]worker.Handler{"long": ledger.handle})
	}
	s.query(`select count(procrastinate_defer('long', lock => case when n % 2 = 0 then 'lock ' || n % 8 end)) from generate_series(1, 30) n`)
	const running = `select count(*) from procrastinate_jobs j where j.status = 'doing'`
	if got := ""; !eventually(func() bool { got = s.query(running); return got == "19" }) {
		t.Fatalf("%s jobs run, want 15 without locks and 4 with", got)
	}
	const registrations = `select string_agg(w.id::text, ',' order by w.id) from procrastinate_workers w`
	alive := s.query(registrations)

	server.Stop()
	for range workers {
		log.wait(t, "worker out of touch")
	}
	<-time.After(stalledAfter) // the outage is what takes so long
	server.Start()
	s.pool.Reset()
	s.query(`select procrastinate_tick()`) // before most of them have beaten
	if !eventually(func() bool {
		return s.query(`select count(*) from procrastinate_workers w where w.spared = 0 and w.last_heartbeat > pg_postmaster_start_time()`) == "6"
	}) {
		t.Error("not all workers beat again")
	}
	if got := s.query(registrations); got != alive {
		t.Errorf("registered: got %s, want %s as before", got, alive)
	}

	close(ledger.goOn)
	const ends = `select string_agg(distinct concat_ws(' ', j.status, j.attempts, j.rescues), ', ') from procrastinate_jobs j`
	if got := ""; !eventually(func() bool { got = s.query(ends); return got == "succeeded 1 0" }) {
		t.Errorf("got %s, want succeeded 1 0", got)
	}
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	if len(ledger.overlaps) > 0 {
		t.Errorf("locks held twice at once: %v", ledger.overlaps)
	}
	for id, runs := range ledger.runs {
		if id%2 == 1 && runs != 1 {
			t.Errorf("job %d, without a lock, ran %d times", id, runs)
		}
	}
	s.wantHealthy()
}
