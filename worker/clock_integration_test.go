//go:build integration

package worker_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func TestDueJobDoesNotWaitForThePoll(t *testing.T) {
	s := newSite(t)
	s.run(worker.Config{PollInterval: time.Hour, DisableListen: true}, map[string]worker.Handler{"sum": sum})
	s.waitRow(s.deferJob("sum", `, '{"a": 1}', schedule_in => '1.5 s'`), `succeeded 1 {"sum": 1}`)
}

// Each job but the first is deferred right after a tick, and due long before the next one that is planned.
func TestClockIsToldOfAJobThatIsDueSoon(t *testing.T) {
	s := newSite(t)
	s.run(worker.Config{}, map[string]worker.Handler{"sum": sum})
	var late []float64
	for range 6 {
		id := s.deferJob("sum", `, '{"a": 1}', schedule_in => '0.2 s'`)
		s.waitRow(id, `succeeded 1 {"sum": 1}`)
		seconds := s.query(`select extract(epoch from j.started_at - j.scheduled_at) from procrastinate_jobs j where j.id = $1`, id)
		span, err := strconv.ParseFloat(seconds, 64)
		if err != nil {
			t.Fatal(err)
		}
		late = append(late, span)
	}
	if slices.Min(late[1:]) > 0.4 {
		t.Errorf("started %.3f s after their time", late)
	}
}
