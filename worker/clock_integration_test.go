//go:build integration

package worker_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
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

func TestSchedulesOfAWorkerRun(t *testing.T) {
	s := newSite(t)
	schedules := []worker.Schedule{
		{Name: "often", Task: "sum", Cron: "* * * * * *", Args: map[string]int{"a": 3, "b": 5}},
		{Name: "paused", Task: "sum", Cron: "* * * * * *"},
		{
			Task: "sum", Cron: "30 7 * * mon-fri", Timezone: "Europe/Berlin", Queue: "mail", Priority: 5, Lock: "l", QueueingLock: "q",
			CatchUp: "all", MaxLateness: time.Hour, PassTimestamp: true,
		},
	}
	s.query(`select procrastinate_define_schedule('paused', '@daily', enabled => false)`)
	s.query(`select procrastinate_define_schedule('others', '@yearly')`)
	s.run(worker.Config{Schedules: schedules}, map[string]worker.Handler{"sum": sum})
	ran := func() bool {
		return s.query(`select count(*) >= 2 from procrastinate_jobs j
			where j.metadata ->> 'schedule' = 'often' and j.result = '{"sum": 8}'`) == "true"
	}
	if !eventually(ran) {
		t.Error("the schedule did not run twice")
	}
	if got, want := s.query(`select string_agg(concat_ws(' ', s.schedule_name, s.cron, s.enabled), ', ' order by s.schedule_name)
		from procrastinate_schedules s`), "often * * * * * * t, others @yearly t, paused * * * * * * f, sum 30 7 * * mon-fri t"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := s.query(`select concat_ws(' ', s.task_name, s.args, s.timezone, s.queue_name, s.priority, s.lock, s.queueing_lock, s.catch_up, s.max_lateness, s.pass_timestamp)
		from procrastinate_schedules s where s.schedule_name = 'sum'`), "sum {} Europe/Berlin mail 5 l q all 01:00:00 t"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := s.query(`select concat_ws(' ', s.task_name, s.args, s.timezone, s.queue_name, s.priority, s.lock, s.queueing_lock, s.catch_up, s.max_lateness, s.pass_timestamp)
		from procrastinate_schedules s where s.schedule_name = 'paused'`), "sum {} UTC last 00:10:00 f"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.wantHealthy()
}

func TestWorkerWithABadScheduleDoesNotStart(t *testing.T) {
	s := newSite(t)
	for cron, want := range map[string]error{"61 * * * *": worker.ErrCron, "@daily": worker.ErrInvalid} {
		w, err := worker.New(s.pool, worker.Config{Schema: s.schema, Schedules: []worker.Schedule{
			{Name: "good", Task: "sum", Cron: "@daily"},
			{Task: "sum", Cron: cron, CatchUp: map[bool]string{true: "some"}[cron == "@daily"]},
		}})
		if err != nil {
			t.Fatal(err)
		}
		w.Handle("sum", sum)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := w.Run(ctx); !errors.Is(err, want) || !strings.Contains(err.Error(), `schedule "sum"`) {
			t.Errorf("got %v, want %v and the schedule's name", err, want)
		}
	}
	if got := s.query(`select count(*) from procrastinate_schedules`); got != "0" {
		t.Errorf("%s schedules are defined, want none", got)
	}
}
