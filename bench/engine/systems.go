package main

import (
	"context"
	_ "embed"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

//go:embed testdata/prototype.sql
var prototypeSQL string

//go:embed testdata/prototype-first.sql
var firstSQL string

// A system is one of those that are compared. Its scripts are pgbench's and do the same work for each: default queue,
// one task, empty args, history kept.
type system struct {
	name    string
	install func(context.Context, *pgx.Conn) error
	perLock bool // whether a fetch can take several jobs of one lock

	register  string // a worker; run once for each client
	batch     string // the columns of bench.batches, made from bench.jobs
	scripts   map[string]string
	fetch     string // of $1 worker: ids of at most a thousand jobs
	finish    string // of $1 worker, $2 ids
	jobsTable string
	lanes     string   // how many a fetch has to read
	park      []string // what parks the idle ones as if they had been idle for an hour, each in a transaction of its own
}

const (
	ours      = "ours"
	prototype = "prototype"
	first     = "first"
)

func (s system) can(c cell) bool {
	return (c.perLock <= 1 || s.perLock) && (c.prepare != "parked" || s.park != nil)
}

// The client's number is the worker's id, for workers are registered before all else.
const asWorker = `\set w :client_id + 1` + "\n"

// A client goes through the rows of a batch in turn; pgbench keeps its variables from one transaction to the next.
const nextRow = `\set row (:row + 1) % :rows` + "\n"

var systems = []system{
	{
		name: ours,
		install: func(ctx context.Context, conn *pgx.Conn) error {
			_, err := migrate.Up(ctx, conn, "public")
			return err
		},
		perLock:  true,
		register: `select procrastinate_register_worker('bench')`,
		batch: `jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
			'task', 't', 'args', '{}'::jsonb, 'queue', nullif(queue, 'default'), 'lock', lock)) order by i) as jobs`,
		scripts: map[string]string{
			"defer":      `select procrastinate_defer('t');`,
			"defer many": nextRow + `select count(*) from procrastinate_defer_many((select jobs from bench.batches where batch = :batch and row = :row));`,
			"cycle":      asWorker + `select count(*) from procrastinate_finish_jobs(:w, array(select id from procrastinate_fetch_jobs(:w, :n, :per_lock)));`,
			"exchange": asWorker + `select coalesce(array_agg(id) filter (where outcome is null), '{}') as ids
				from procrastinate_exchange_jobs(:w, :ids, null, :n, :per_lock) \gset`,
		},
		fetch:     `select id from procrastinate_fetch_jobs($1, 1000, 1000)`,
		finish:    `select procrastinate_finish_jobs($1, $2)`,
		jobsTable: `procrastinate_jobs`,
		lanes:     `select count(*) from procrastinate_lanes where state <> 'parked'`,
		// a lane is closed, then noted as settled, then parked
		park: []string{
			`update procrastinate_lanes set opened_at = opened_at - interval '1 hour'`,
			`update procrastinate_floors set at = at - interval '1 hour'`,
			`select procrastinate_park_lanes()`,
			`select procrastinate_park_lanes()`,
			`select procrastinate_park_lanes()`,
		},
	},
	{
		name:     prototype,
		install:  execute(prototypeSQL + stepSQL),
		perLock:  true,
		register: `insert into q.workers default values`,
		batch:    prototypeBatch,
		scripts: map[string]string{
			"defer":      prototypeDefer,
			"defer many": prototypeDeferMany,
			"cycle":      asWorker + `select count(*) from q.finish(:w, array(select id from q.fetch(:w, :n, :per_lock)));`,
			"exchange":   asWorker + `select coalesce(array_agg(id), '{}') as ids from q.step(:w, :ids, :n) \gset`,
		},
		fetch:     `select id from q.fetch($1, 1000, 1000)`,
		finish:    `select q.finish($1, $2)`,
		jobsTable: `q.jobs`,
		lanes:     `select count(*) from q.lanes where not parked`,
		park:      []string{`select q.tidy(p_park => '0 s')`},
	},
	{
		name:     first,
		install:  execute(firstSQL),
		register: `insert into q.workers default values`,
		batch:    prototypeBatch,
		scripts: map[string]string{
			"defer":      prototypeDefer,
			"defer many": prototypeDeferMany,
			"cycle":      asWorker + `select q.finish(array(select id from q.fetch(:w, null, :n)), 'succeeded', :w);`,
			"exchange":   asWorker + `select coalesce(array_agg(id), '{}') as ids from q.step(:w, :ids, 'succeeded', null, :n) \gset`,
		},
		fetch:     `select id from q.fetch($1, null, 1000)`,
		finish:    `select q.finish($2, 'succeeded', $1)`,
		jobsTable: `q.jobs`,
		lanes:     `select count(*) from q.lanes`,
	},
}

const (
	prototypeBatch = `
		array_agg(queue order by i) as queues, array_agg('t'::text) as tasks, array_agg(0) as priorities, array_agg(lock order by i) as locks,
		array_agg(null::text) as queueing_locks, array_agg('{}'::jsonb) as args, array_agg(null::timestamptz) as times`
	prototypeDefer     = `select q.defer1('default', 't', 0, null, null, '{}', null);`
	prototypeDeferMany = nextRow + `select q.defer(queues, tasks, priorities, locks, queueing_locks, args, times)
		from bench.batches where batch = :batch and row = :row;`
)

// stepSQL is for the prototype what the first one has: an end and a fetch in one call.
const stepSQL = `
create function q.step(p_worker bigint, p_done bigint[], p_n int) returns setof q.jobs language plpgsql as $$
begin
    if p_done <> '{}' then perform q.finish(p_worker, p_done); end if;
    return query select * from q.fetch(p_worker, p_n);
end $$;`

// batchesSQL prepares what is deferred in bulk, so that in a timed piece nobody pays for building it. A batch has
// rows of a thousand jobs.
const batchesSQL = `
create schema bench;
create table bench.batches as
with job (batch, row, i, queue, lock) as (
    select 'plain', 0, i, 'default', null from generate_series(0, 999) i
    union all
    select 'locks', i / 1000, i, 'default', 'lock ' || i from generate_series(0, 9999) i
    union all
    select 'one lock', 0, i, 'default', 'lock' from generate_series(0, 999) i
    union all
    select 'all lanes', 0, i, 'queue ' || i, null from generate_series(0, 999) i
    union all
    select 'ten lanes', 0, i, 'queue ' || i % 10, null from generate_series(0, 999) i
)
select batch, row, <columns>
from job
group by batch, row;
alter table bench.batches add primary key (batch, row);`

func (s system) batches() string { return strings.Replace(batchesSQL, "<columns>", s.batch, 1) }

// rowsOf a batch.
func rowsOf(batch string) int {
	if batch == "locks" {
		return 10
	}
	return 1
}

func execute(script string) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, script).ReadAll()
		return err
	}
}
