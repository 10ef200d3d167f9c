//go:build integration

package sql_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Everything at once for some seconds, then a drain, then the verdict of a history that was kept outside the queue: no
// lock was held twice, the order inside locks was kept, nothing was lost or ended by the wrong one, no hint is left.
//
// MIXED_SEED repeats the dice, if not what the server makes of them; MIXED_TIME makes the load longer.
func TestMixedLoad(t *testing.T) {
	m := newMixed(t)
	var fetchers []*fetcher
	for _, serves := range []struct{ queues, tasks []string }{
		{}, {queues: []string{"a"}}, {queues: []string{"b"}}, {tasks: []string{"t0", "t1"}}, {tasks: []string{"t2"}}, {[]string{"a"}, []string{"t2"}},
	} {
		f := &fetcher{actor: m.actor(), queues: serves.queues, tasks: serves.tasks}
		fetchers = append(fetchers, f)
		m.start(f.step)
	}
	for range 4 {
		m.start(m.actor().defers)
	}
	for range 2 {
		m.start(m.actor().ticks)
	}
	for _, step := range []func(*actor){
		(*actor).cancels, (*actor).changes, (*actor).movesHeads, (*actor).retries, (*actor).deletes, (*actor).pauses, (*actor).murders,
		(*actor).ages, (*actor).checks, (*actor).writesForLong, (*actor).readsForLong,
	} {
		a := m.actor()
		m.start(func() { step(a) })
	}
	last := m.actor()
	m.began = time.Now()
	close(m.begin)
	m.group.Wait()

	if !t.Failed() {
		drain(last, fetchers)
		m.verdict(m.db)
		last.wantNothingLeft()
	}
	t.Logf("%v", m.counts)
	if t.Failed() {
		t.Logf("the dice were those of MIXED_SEED=%d", m.seed)
	}
}

type mixed struct {
	*history
	db    *session
	seed  uint64
	dice  uint64 // how many were made
	span  time.Duration
	begin chan struct{}
	began time.Time
	group sync.WaitGroup
}

func newMixed(t *testing.T) *mixed {
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("MIXED_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	span, err := time.ParseDuration(cmp.Or(os.Getenv("MIXED_TIME"), "6s"))
	if err != nil {
		t.Fatal(err)
	}
	db := install(t)
	db.do(`select procrastinate_define_task('*', max_attempts => 3)`)
	db.do(`select procrastinate_define_task('t2', on_stall => 'fail')`)
	m := &mixed{history: newHistory(t), db: db, seed: seed, span: span, begin: make(chan struct{})}
	late := time.AfterFunc(5*span, func() { m.over.Store(true) }) // on a slow machine it takes longer until all was seen
	t.Cleanup(func() { late.Stop() })
	return m
}

// start a goroutine that takes one step after the other, once all are there.
func (m *mixed) start(step func()) {
	m.group.Go(func() {
		for <-m.begin; !m.over.Load(); {
			step()
		}
	})
}

// actor is one of those who use the queue at the same time: a connection, and dice of its own.
type actor struct {
	*mixed
	*rand.Rand
	conn      *pgx.Conn
	isolation string // of the open transaction
}

func (m *mixed) actor() *actor {
	m.dice++
	s := m.db.session()
	s.do(`set statement_timeout = '20s'`)
	return &actor{mixed: m, Rand: rand.New(rand.NewPCG(m.seed, m.dice)), conn: s.conn, isolation: "read committed"}
}

// ask is a query. allowed: the SQLSTATEs that it may be refused with; any other error is a fault. Not under READ COMMITTED
// 40001 is part of the game.
func ask[T any](a *actor, allowed string, scan pgx.RowToFunc[T], sql string, args ...any) (got []T, refusal string) {
	rows, err := a.conn.Query(a.t.Context(), sql, args...)
	if err == nil {
		got, err = pgx.CollectRows(rows, scan)
	}
	if err == nil {
		return got, ""
	}
	if refusal = sqlstate(err); refusal == "" || !strings.Contains(allowed, refusal) && (refusal != "40001" || a.isolation == "read committed") {
		a.fault("%s %v: %v", sql, args, err)
		refusal += "!"
	}
	return nil, refusal
}

// do is a statement of which only the success counts.
func (a *actor) do(allowed, sql string, args ...any) bool {
	_, refusal := ask(a, allowed, func(pgx.CollectableRow) (any, error) { return nil, nil }, sql, args...)
	return refusal == ""
}

// transact does something in a transaction, and reports whether it was committed.
func (a *actor) transact(isolation string, commit bool, something func() bool) bool {
	a.do("", "begin isolation level "+isolation)
	a.isolation = isolation
	defer func() { a.isolation = "read committed" }()
	if !something() || !commit {
		a.do("", "rollback")
		return false
	}
	return a.do("", "commit")
}

// naps takes up to that long, as a handler that works or a user who thinks, and returns the database's time at the end.
func (a *actor) naps(most time.Duration) time.Time {
	at, _ := ask(a, "", pgx.RowTo[time.Time], `select clock_timestamp() from pg_sleep($1)`, a.Float64()*most.Seconds())
	if len(at) == 0 {
		return time.Time{}
	}
	return at[0]
}

func (a *actor) clock() time.Time { return a.naps(0) }

func (a *actor) oneOf(values ...string) string { return values[a.IntN(len(values))] }

func (a *actor) anyIsolation() string {
	return a.oneOf("read committed", "read committed", "read committed", "repeatable read", "serializable")
}

type newJob struct {
	Task         string `json:"task"`
	Queue        string `json:"queue"`
	Priority     int    `json:"priority"`
	Lock         string `json:"lock,omitempty"`
	QueueingLock string `json:"queueing_lock,omitempty"`
	OnConflict   string `json:"on_conflict,omitempty"`
	ScheduleIn   string `json:"schedule_in,omitempty"`
}

// A queueing lock stands for one task, queue and lock, else it could not be replaced.
func (a *actor) newJob(queueing bool) newJob {
	j := newJob{Task: "t" + strconv.Itoa(a.IntN(3)), Queue: a.oneOf("a", "b"), Priority: a.IntN(2)}
	switch n := a.IntN(10); {
	case n < 2:
		j.Lock = "hot" + strconv.Itoa(a.IntN(3))
	case n < 5:
		j.Lock = "warm" + strconv.Itoa(a.IntN(40))
	case n < 6:
		j.Lock = "cold" + strconv.Itoa(a.IntN(1000))
	}
	if queueing && a.IntN(3) == 0 {
		n := a.IntN(12)
		j.QueueingLock, j.OnConflict = "q"+strconv.Itoa(n), a.oneOf("error", "skip", "replace", "update")
		j.Task, j.Queue, j.Lock = fmt.Sprint("t", n%3), string("aba"[n%3]), []string{"", "hot0", "warm0"}[n%3]
	}
	if a.IntN(6) == 0 {
		j.ScheduleIn = fmt.Sprint(10+a.IntN(290), " ms")
	}
	return j
}

const (
	deferOne = `
		select procrastinate_defer(r.task, queue => r.queue, priority => r.priority, lock => r.lock, queueing_lock => r.queueing_lock,
			schedule_in => r.schedule_in, on_conflict => r.on_conflict)
		from jsonb_to_recordset($1::jsonb) as r(task text, queue text, priority integer, lock text, queueing_lock text, schedule_in interval, on_conflict text)`
	deferMany = `select procrastinate_defer_many($1::jsonb)`
)

// defers some jobs in a transaction. Only its first call has queueing locks: those of two could be the other way
// round for somebody else, and that deadlock would be the users' own. Now and then the queue is left to run empty.
func (a *actor) defers() {
	a.mu.Lock()
	crowded := a.open > []int{40, 500}[int(time.Since(a.began).Seconds())%2]
	a.mu.Unlock()
	if crowded {
		a.naps(10 * time.Millisecond)
		return
	}
	var jobs []newJob
	var ids []int64
	committed := a.transact(a.anyIsolation(), a.IntN(8) > 0, func() bool {
		if a.IntN(25) == 0 {
			a.growsOld()
		}
		for call := range 1 + a.IntN(3) {
			sql, batch := deferOne, []newJob{a.newJob(call == 0)}
			if a.IntN(3) == 0 {
				sql = deferMany
				for range a.IntN(20) {
					batch = append(batch, a.newJob(call == 0))
				}
			}
			list, _ := json.Marshal(batch)
			got, refusal := ask(a, "23505 PJ001", pgx.RowTo[int64], sql, string(list))
			if refusal != "" {
				a.count("defers refused with "+refusal, 1)
				return false
			}
			if call == 0 {
				a.maySeeTooLittle(got...) // of the jobs that were replaced
			}
			jobs, ids = append(jobs, batch...), append(ids, got...)
		}
		return true
	})
	if !committed {
		a.count("defers rolled back", 1)
		return
	}
	a.deferred(jobs, ids)
}

// growsOld returns when the open transaction is hundreds of transactions old, or its snapshot perhaps so old that a lane was
// parked since.
func (a *actor) growsOld() {
	if a.isolation != "read committed" { // and cannot see it
		a.naps(2 * time.Second)
		return
	}
	for old := false; !old && !a.over.Load(); {
		a.naps(50 * time.Millisecond)
		got, _ := ask(a, "", pgx.RowTo[bool], `select pg_snapshot_xmax(pg_current_snapshot())::text::bigint > pg_current_xact_id()::text::bigint + 300`)
		old = !slices.Equal(got, []bool{false})
	}
}

func (a *actor) deferred(jobs []newJob, ids []int64) {
	at := a.clock()
	a.note(ids, func(i int, j *job) {
		j.committed = true
		if jobs[i].QueueingLock == "" && jobs[i].ScheduleIn == "" {
			j.ready = at
		}
	})
	a.remember(&a.newest, ids, 100)
	a.count("deferred", len(ids))
}
