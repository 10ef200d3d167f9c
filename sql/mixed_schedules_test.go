//go:build integration

package sql_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

// Ten tickers for some seconds, fifty schedules that run every second, and all that may go wrong: ticks that roll back, that stay open,
// that are killed, definitions that are made anew and changed, and in the middle the server crashes. Each instant of a schedule
// makes one job; and of those whose runs are all made up for, and whose definition stays the same, each instant does.
func TestEachInstantOfAScheduleMakesOneJob(t *testing.T) {
	server := testdb.OwnServer(t)
	m := &clockworks{t: t, schema: testdb.Installed(t), span: 8 * time.Second, counts: map[string]int{}}
	db := connect(t, m.schema)
	db.do(`select procrastinate_define_schedule(kind || n, '* * * * * *', 't', catch_up => case kind when 'last' then 'last' else 'all' end)
	       from unnest('{steady,same,last,other}'::text[], '{20,10,10,10}'::integer[]) k(kind, many), generate_series(1, many) n`)
	db.do(`create table first as select s.schedule_name, s.next_at from procrastinate_schedules s`)

	ctx, cancel := context.WithTimeout(t.Context(), m.span)
	defer cancel()
	for range 8 {
		m.start(ctx, m.tick)
	}
	m.start(ctx, m.tickForLong)
	m.start(ctx, m.tickForLong)
	m.start(ctx, m.startUp)
	m.start(ctx, m.change)
	m.start(ctx, m.kill)
	<-time.After(m.span / 2) // of load
	server.Stop()
	server.Start()
	m.group.Wait()
	t.Logf("%v", m.counts)
	for _, what := range []string{"ticks", "rolled back", "open for long", "defined anew", "changed", "killed", "lost"} {
		if m.counts[what] == 0 {
			t.Errorf("%s: never", what)
		}
	}

	db = connect(t, m.schema)
	now := db.value(`select clock_timestamp()`)
	for deadline := time.Now().Add(20 * time.Second); db.value(`select count(*) from procrastinate_schedules s where s.next_at <= $1::text::timestamptz`, now) != "0"; {
		if time.Now().After(deadline) {
			t.Fatal("the clockwork stands still")
		}
		db.do(`select procrastinate_tick()`)
		db.do(`update procrastinate_agenda a set at = now() where a.id < 0 and a.at between now() and now() + interval '1 s'`)
	}
	db.do(`create table run as select j.metadata ->> 'schedule' as schedule_name, (j.metadata ->> 'scheduled_for')::timestamptz as at from procrastinate_jobs j`)
	db.want(``, `select string_agg(concat_ws(' ', r.schedule_name, r.at, r.n), ', ') from (select r.schedule_name, r.at, count(*) as n from run r group by 1, 2) r where r.n > 1`)
	const missing = `
		select string_agg(concat_ws(' ', f.schedule_name, i), ', ')
		from first f
		join procrastinate_schedules s using (schedule_name)
		cross join generate_series(f.next_at, s.next_at - interval '1 s', '1 s') i
		where f.schedule_name ~ '^(steady|same)' and not exists (select from run r where r.schedule_name = f.schedule_name and r.at = i)`
	db.want(``, missing)
	db.want(`0`, `select count(*) from run r join procrastinate_schedules s using (schedule_name) join first f using (schedule_name)
	              where (r.at >= s.next_at or r.at < f.next_at or r.at <> date_trunc('second', r.at)) and s.schedule_name !~ '^other'`)
	db.want(`true`, `select count(*) > 30 * 6 and count(distinct r.schedule_name) = 40 from run r where r.schedule_name !~ '^other'`)
	db.wantHealthy()
}

// clockworks are all those who tick, and those who change what they tick for.
type clockworks struct {
	t      *testing.T
	schema string
	span   time.Duration
	group  sync.WaitGroup
	mu     sync.Mutex
	counts map[string]int
}

func (m *clockworks) count(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[what]++
}

// start one that takes step after step, each until the end of ctx, on a new connection when the last one was killed.
func (m *clockworks) start(ctx context.Context, step func(context.Context, *pgx.Conn) error) {
	config, err := pgx.ParseConfig(testdb.URL(m.t))
	if err != nil {
		m.t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = m.schema
	config.RuntimeParams["statement_timeout"] = "20s"
	config.RuntimeParams["application_name"] = "clockworks"
	m.group.Go(func() {
		for ctx.Err() == nil {
			conn, err := pgx.ConnectConfig(context.Background(), config)
			if err != nil {
				<-time.After(10 * time.Millisecond) // the server is away
				continue
			}
			for ctx.Err() == nil && err == nil {
				err = step(ctx, conn)
			}
			if code := sqlstate(err); code != "" && code != "57P01" {
				m.t.Error(err)
			}
			if err != nil {
				m.count("lost")
			}
			_ = conn.Close(context.Background())
		}
	})
}

func do(conn *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			return err
		}
	}
	return nil
}

func (m *clockworks) tick(ctx context.Context, conn *pgx.Conn) error {
	m.count("ticks")
	select { // at most ten times what a worker would do
	case <-ctx.Done():
	case <-time.After(rand.N(50 * time.Millisecond)):
	}
	if rand.IntN(4) > 0 {
		return do(conn, `select procrastinate_tick()`)
	}
	m.count("rolled back")
	return do(conn, `begin`, `select procrastinate_tick()`, `rollback`)
}

func (m *clockworks) tickForLong(ctx context.Context, conn *pgx.Conn) error {
	m.count("open for long")
	if err := do(conn, `begin`, `select procrastinate_tick()`); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(m.span * 3 / 8):
	}
	return do(conn, []string{`commit`, `rollback`}[rand.IntN(2)])
}

// startUp is what workers do that declare their schedules.
func (m *clockworks) startUp(_ context.Context, conn *pgx.Conn) error {
	m.count("defined anew")
	return do(conn, `select procrastinate_define_schedule('same' || n, '* * * * * *', 't', catch_up => 'all') from generate_series(1, 10) n`)
}

func (m *clockworks) change(_ context.Context, conn *pgx.Conn) error {
	m.count("changed")
	changes := []string{
		`select procrastinate_define_schedule($, '*/2 * * * * *', 't', catch_up => 'all')`,
		`select procrastinate_define_schedule($, '* * * * * *', 't', timezone => 'Asia/Kolkata', catch_up => 'all')`,
		`select procrastinate_disable_schedule($); select procrastinate_enable_schedule($)`,
		`select procrastinate_drop_schedule($); select procrastinate_define_schedule($, '* * * * * *', 't', catch_up => 'all')`,
	}
	sql := strings.ReplaceAll(changes[rand.IntN(len(changes))], "$", "'other"+itoa(rand.Int64N(10)+1)+"'")
	if rand.IntN(10) > 0 {
		return do(conn, sql)
	}
	return do(conn, `begin`, sql, `select pg_sleep(1.5)`, `commit`)
}

// kill those who are in the middle of something.
func (m *clockworks) kill(ctx context.Context, conn *pgx.Conn) error {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
	rows, err := conn.Query(ctx, `select pg_terminate_backend(a.pid) from pg_stat_activity a
		where a.application_name = 'clockworks' and a.state = 'active' and a.pid <> pg_backend_pid() limit 1`)
	if err != nil {
		return err
	}
	if killed, err := pgx.CollectRows(rows, pgx.RowTo[bool]); err != nil {
		return err
	} else if len(killed) > 0 {
		m.count("killed")
	}
	return nil
}
