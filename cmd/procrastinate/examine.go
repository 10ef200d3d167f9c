package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// finding is what one check found. The number is for programs: seconds, or how many.
type finding struct {
	Check  string   `json:"check"`
	OK     bool     `json:"ok"`
	Text   string   `json:"text"`
	Number *float64 `json:"number"`
}

func found(check string, ok bool, number float64, text string, args ...any) finding {
	return finding{Check: check, OK: ok, Text: fmt.Sprintf(text, args...), Number: &number}
}

// examine makes the checks, up to the first that could not be made.
func examine(ctx context.Context, options *options, limits healthLimits) (findings []finding, err error) {
	began := time.Now()
	err = withDatabase(ctx, options, func(ctx context.Context, db *database) error {
		took := time.Since(began)
		findings = append(findings,
			found("database", true, took.Seconds(), "PostgreSQL %s, answered in %s",
				db.conn.PgConn().ParameterStatus("server_version"), took.Round(time.Millisecond)),
			finding{Check: "schema", OK: true, Text: "version " + worker.Version})
		for _, check := range []struct {
			name string
			make func(context.Context, *database, healthLimits) ([]finding, error)
		}{{"workers", examineWorkers}, {"waiting", examineWaiting}, {"clockwork", examineClockwork}, {"schedules", examineSchedules}} {
			more, err := check.make(ctx, db, limits)
			if err != nil {
				more = []finding{notMade(check.name, told(err))}
			}
			if findings = append(findings, more...); err != nil {
				break
			}
		}
		return nil
	})
	var usage usageError
	var noConnection *pgconn.ConnectError
	switch {
	case err == nil || errors.As(err, &usage):
		return findings, err
	case errors.As(err, &noConnection):
		return []finding{notMade("database", err)}, nil
	default:
		return []finding{found("database", true, time.Since(began).Seconds(), "it answers"), notMade("schema", err)}, nil
	}
}

// notMade is a check that could not be made; its error in one line.
func notMade(check string, err error) finding {
	return finding{Check: check, Text: strings.Join(tellLines(err), "; ")}
}

func examineWorkers(ctx context.Context, db *database, limits healthLimits) ([]finding, error) {
	var alive, all int
	err := db.conn.QueryRow(ctx, db.qualified(
		`select count(*) filter (where w.last_heartbeat > clock_timestamp() - w.stalled_after), count(*) from procrastinate_workers w`)).Scan(&alive, &all)
	text := fmt.Sprintf("%d alive", alive)
	if silent := all - alive; silent > 0 {
		text += fmt.Sprintf(", %d silent", silent)
	}
	if alive < limits.minWorkers {
		text += fmt.Sprintf("; want at least %d", limits.minWorkers)
	}
	return []finding{found("workers", alive >= limits.minWorkers, float64(alive), "%s", text)}, err
}

// firstWaiting is the first job of each lane that could start, and the first that are due and not promoted, each with
// how long it could have been started. What is stale (its job is cancelled, its lock held) is passed over up to a point,
// which bounds the work: a lane costs microseconds, however many jobs wait in it.
const firstWaiting = `
with hint as (
    select j.id, j.queue_name, j.task_name, j.scheduled_at, j.deferred_at
    from procrastinate_heads h
    cross join lateral (
        select x.*
        from (
            select t.id
            from procrastinate_tokens t
            where t.lane = h.lane and (t.xid, t.id) >= (h.first_xid, h.first_id) and t.xid <= h.last_xid
            order by t.xid, t.id
            limit 1000
        ) t
        cross join lateral (
            select t.id as job_id
            where h.kind in ('plain', 'returned')
            union all
            (
                select q.job_id
                from procrastinate_lock_queue q
                where q.key = t.id and h.kind in ('locked', 'handover')
                order by q.held desc, q.priority desc, q.job_id
                limit 1
            )
        ) first
        cross join lateral (select y.* from procrastinate_jobs y where y.id = first.job_id offset 0) x
        where x.status = 'todo' and coalesce(x.scheduled_at <= clock_timestamp(), true)
          and not exists (select from procrastinate_queues p where p.queue_name = x.queue_name)
        limit 1
    ) j
    union all
    select j.id, j.queue_name, j.task_name, j.scheduled_at, j.deferred_at
    from (
        select a.id
        from procrastinate_agenda a
        where a.at >= (select t.agenda_at from procrastinate_ticks t order by t.n desc limit 1) and a.at < clock_timestamp()
        order by a.at
        limit 1000
    ) a
    cross join lateral (select y.* from procrastinate_jobs y where y.id = a.id offset 0) j
    where j.status = 'todo' and j.scheduled_at <= clock_timestamp()
      and not exists (select from procrastinate_queues p where p.queue_name = j.queue_name)
)
select
    h.id, h.queue_name, h.task_name,
    extract(epoch from clock_timestamp() - greatest(h.scheduled_at, h.deferred_at))::double precision as waits,
    exists (
        select from procrastinate_workers w
        where w.last_heartbeat > clock_timestamp() - w.stalled_after
          and coalesce(h.queue_name = any (w.queues), true) and coalesce(h.task_name = any (w.tasks), true)) as served
from hint h
order by waits desc`

type waitingJob struct {
	ID     int64
	Queue  string
	Task   string
	Waits  float64
	Served bool
}

func examineWaiting(ctx context.Context, db *database, limits healthLimits) ([]finding, error) {
	jobs, err := readWaiting(ctx, db)
	if err != nil {
		return nil, err
	}
	waiting := finding{Check: "waiting", OK: true, Text: "no job that could start"}
	if len(jobs) > 0 {
		first := jobs[0]
		waits := time.Duration(first.Waits * float64(time.Second))
		waiting = found("waiting", true, first.Waits, "%s, job %d, task %s, queue %s", people(waits), first.ID, first.Task, first.Queue)
		if limits.maxWait.given && waits > limits.maxWait.duration() {
			waiting.OK = false
			waiting.Text += "; want at most " + limits.maxWait.text
		}
	}
	var unserved []string
	for _, job := range jobs {
		if name := fmt.Sprintf("task %s in queue %s", job.Task, job.Queue); !job.Served && !slices.Contains(unserved, name) {
			unserved = append(unserved, name)
		}
	}
	served := found("served", true, 0, "what could start has a live worker")
	if count := len(unserved); count > 0 {
		served = found("served", false, float64(count), "no live worker for %s", strings.Join(unserved[:min(count, 3)], ", "))
		if count > 3 {
			served.Text += fmt.Sprintf(" and %d more", count-3)
		}
	}
	return []finding{waiting, served}, nil
}

// readWaiting keeps the planner from what takes long to begin or reads whole tables.
func readWaiting(ctx context.Context, db *database) ([]waitingJob, error) {
	tx, err := db.conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, `set local jit = off; set local enable_seqscan = off; set local enable_bitmapscan = off`); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, db.qualified(firstWaiting))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[waitingJob])
}

func examineClockwork(ctx context.Context, db *database, limits healthLimits) ([]finding, error) {
	var seconds float64
	err := db.conn.QueryRow(ctx, db.qualified(
		`select extract(epoch from clock_timestamp() - t.at)::double precision from procrastinate_ticks t order by t.n desc limit 1`)).Scan(&seconds)
	if errors.Is(err, pgx.ErrNoRows) {
		return []finding{{Check: "clockwork", Text: "nobody ever ticked"}}, nil
	}
	age := time.Duration(seconds * float64(time.Second))
	clockwork := found("clockwork", age <= limits.maxTick.duration(), seconds, "ticked %s ago", people(age))
	if !clockwork.OK {
		clockwork.Text += "; want at most " + limits.maxTick.text
	}
	return []finding{clockwork}, err
}

// examineSchedules looks for what is overdue although somebody ticks: an open transaction may have the schedule. A run that
// was skipped is none of its business: its queueing lock may be meant to do that.
func examineSchedules(ctx context.Context, db *database, limits healthLimits) ([]finding, error) {
	var name string
	var seconds float64
	err := db.conn.QueryRow(ctx, db.qualified(`
		select s.schedule_name, extract(epoch from clock_timestamp() - s.next_at)::double precision
		from procrastinate_schedules s
		where s.next_at <= clock_timestamp()
		order by s.next_at limit 1`)).Scan(&name, &seconds)
	if errors.Is(err, pgx.ErrNoRows) {
		return []finding{{Check: "schedules", OK: true, Text: "no run is overdue"}}, nil
	}
	age := time.Duration(seconds * float64(time.Second))
	schedules := found("schedules", !limits.maxWait.given || age <= limits.maxWait.duration(), seconds, "%s overdue, schedule %s", people(age), name)
	if !schedules.OK {
		schedules.Text += "; want at most " + limits.maxWait.text
	}
	return []finding{schedules}, err
}
