//go:build integration

package sql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/sql"
)

// site is a schema with everything installed, a table for effects, and a pool for the worker and one for handlers.
type site struct {
	t        *testing.T
	schema   string
	config   *pgxpool.Config
	pool     *pgxpool.Pool
	handlers *pgxpool.Pool
}

func newSite(t *testing.T, functions string) *site {
	t.Helper()
	s := &site{t: t, schema: testdb.Installed(t)}
	var err error
	if s.config, err = pgxpool.ParseConfig(testdb.URL(t)); err != nil {
		t.Fatal(err)
	}
	s.config.MaxConns = 10
	s.config.ConnConfig.RuntimeParams["search_path"] = pgx.Identifier{s.schema}.Sanitize()
	if s.pool, err = pgxpool.NewWithConfig(t.Context(), s.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.pool.Close)
	if s.handlers, err = sql.NewPool(t.Context(), s.config, 2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.handlers.Close)
	s.exec("create table effect (args jsonb, unique (args) deferrable initially deferred)")
	s.exec(functions)
	return s
}

func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func (s *site) query(sql string, args ...any) (value string) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), "select coalesce(("+sql+")::text, '')", args...).Scan(&value); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func (s *site) deferJob(task, args string, options string) (id string) {
	s.t.Helper()
	return s.query("select procrastinate_defer($1, $2::jsonb"+options+")", task, args)
}

func (s *site) want(what, sql, want string) {
	s.t.Helper()
	if got := s.query(sql); got != want {
		s.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func (s *site) wantRow(id, want string) {
	s.t.Helper()
	s.want("job "+id, `select concat_ws(' ', j.status, j.attempts, j.result, case when j.status <> 'succeeded' then j.error end) from procrastinate_jobs j where j.id = `+id, want)
}

func (s *site) waitFor(sql string) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); s.query(sql) != "true"; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("never true: %s", sql)
		}
	}
}

// start runs a worker whose handlers are the functions of the same name as their tasks, and returns what waits for its end.
func (s *site) start(config worker.Config, names ...string) (wait func() error) {
	s.t.Helper()
	if err := sql.Check(s.t.Context(), s.handlers, names...); err != nil {
		s.t.Fatal(err)
	}
	w, err := worker.New(s.pool, config)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		handler, err := sql.Handler(s.handlers, name)
		if err != nil {
			s.t.Fatal(err)
		}
		w.Handle(name, handler)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	s.t.Cleanup(cancel)
	return func() error {
		if !config.OneShot {
			cancel()
		}
		return <-done
	}
}

func (s *site) runAll(names ...string) {
	s.t.Helper()
	if err := s.start(worker.Config{OneShot: true}, names...)(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) wantHealthy() {
	s.t.Helper()
	s.want("broken invariants", "select string_agg(c::text, '; ') from procrastinate_check() c", "")
}

func TestResults(t *testing.T) {
	s := newSite(t, `
		create function of_jsonb(args jsonb) returns jsonb language sql as $$ select args || '{"seen": true}' $$;
		create function of_void(args jsonb) returns void language plpgsql as $$ begin insert into effect values (args); end $$;
		create function of_numeric(args jsonb) returns numeric language sql stable as $$ select (args->>'n')::numeric * 2 $$;
		create function of_text(args jsonb) returns text language sql as $$ select 'it''s "done"'::text $$;
		create function of_null(args jsonb) returns date language sql as $$ select null::date $$;
		create function of_record(args jsonb, out a int, out b text[]) language sql as $$ select 1, '{x,y}'::text[] $$;
		create function "Of the job"(args jsonb) returns text language sql as $$
			select string_agg(value, ' ' order by key) from jsonb_each_text(current_setting('procrastinate.job')::jsonb)
			where key in ('task', 'attempt', 'priority', 'args') $$;`)
	tests := []struct{ name, args, want string }{
		{"of_jsonb", `{"n": 1}`, `succeeded 1 {"n": 1, "seen": true}`},
		{"of_void", `{"n": 2}`, `succeeded 1`},
		{"of_numeric", `{"n": 1e40}`, `succeeded 1 20000000000000000000000000000000000000000`},
		{"of_text", `{}`, `succeeded 1 "it's \"done\""`},
		{"of_null", `{}`, `succeeded 1`},
		{"of_record", `{}`, `succeeded 1 {"a": 1, "b": ["x", "y"]}`},
		{`"Of the job"`, `{}`, `succeeded 1 "1 7 \"Of the job\""`},
	}
	var names, ids []string
	for _, test := range tests {
		names = append(names, test.name)
		ids = append(ids, s.deferJob(test.name, test.args, ", priority => 7"))
	}
	s.runAll(names...)
	for i, test := range tests {
		s.wantRow(ids[i], test.want)
	}
	s.want("effects", "select string_agg(e.args::text, ' ') from effect e", `{"n": 2}`)
	s.wantHealthy()
}

func TestFailureUndoesEffectsAndIsRecorded(t *testing.T) {
	s := newSite(t, `
		create function raises(args jsonb) returns void language plpgsql as $$
		begin
			insert into effect values (args);
			raise exception 'no stock' using detail = 'Shelf 7 is empty.', hint = 'Order some.', errcode = 'AB123';
		end $$;
		create function at_commit(args jsonb) returns void language sql as $$ insert into effect values (args), (args) $$;
		create function recursing(args jsonb) returns void language plpgsql as $$
		begin
			if (args->>'n')::int = 0 then raise 'deep'; end if;
			perform recursing(jsonb_build_object('n', (args->>'n')::int - 1));
		end $$;
		create function dies(args jsonb) returns void language sql as $$
			insert into effect values (args);
			select pg_terminate_backend(pg_backend_pid()); $$;
		create function works(args jsonb) returns void language sql as $$ insert into effect values (args) $$;`)
	raises, atCommit, recursing := s.deferJob("raises", "{}", ""), s.deferJob("at_commit", "{}", ""), s.deferJob("recursing", `{"n": 100}`, "")
	dies, works := s.deferJob("dies", "{}", ""), s.deferJob("works", `{"n": 1}`, "")
	s.runAll("raises", "at_commit", "recursing", "dies", "works")
	s.wantRow(raises, "failed 1 no stock (SQLSTATE AB123)\nDETAIL: Shelf 7 is empty.\nHINT: Order some.\n"+
		"CONTEXT: PL/pgSQL function raises(jsonb) line 4 at RAISE")
	s.wantRow(atCommit, "failed 1 duplicate key value violates unique constraint \"effect_args_key\" (SQLSTATE 23505)\nDETAIL: Key (args)=({}) already exists.")
	s.want("a long context", "select length(j.error) between 1000 and 3000 and j.error like 'deep (SQLSTATE P0001)%…' from procrastinate_jobs j where j.id = "+recursing, "true")
	s.want("a connection that ends", "select j.status || ' ' || (j.error like '%administrator command%') from procrastinate_jobs j where j.id = "+dies, "failed true")
	s.wantRow(works, "succeeded 1")
	s.want("effects", "select string_agg(e.args::text, ' ') from effect e", `{"n": 1}`)
	s.wantHealthy()
}

func TestTimeoutCancelsTheFunctionAndKeepsTheConnection(t *testing.T) {
	s := newSite(t, `
		create function slow_handler(args jsonb) returns void language plpgsql as $$
		begin
			insert into effect values (args);
			perform pg_sleep(1000);
		end $$;
		create function own_limit(args jsonb) returns void language plpgsql set statement_timeout = '1h' as $$
		begin
			raise query_canceled using message = 'of its own';
		end $$;`)
	slow, own := s.deferJob("slow_handler", "{}", ", timeout => '200 ms'"), s.deferJob("own_limit", "{}", "")
	s.runAll("slow_handler", "own_limit")
	s.wantRow(slow, "failed 1 timed out after 200ms")
	s.want("a cancel of its own", "select j.error like 'of its own (SQLSTATE 57014)%' from procrastinate_jobs j where j.id = "+own, "true")
	s.want("effects", "select count(*) from effect", "0")
	s.want("functions that still run", "select count(*) from pg_stat_activity a where a.query like '%slow_handler%' and a.state = 'active' and a.pid <> pg_backend_pid()", "0")
	if stat := s.handlers.Stat(); stat.NewConnsCount() > 2 || stat.TotalConns() != int32(stat.NewConnsCount()) {
		t.Errorf("%d connections were made, %d are left", stat.NewConnsCount(), stat.TotalConns())
	}
	s.deferJob("slow_handler", "{}", "")
	stop := s.start(worker.Config{GracefulTimeout: time.Millisecond}, "slow_handler")
	s.waitFor("select count(*) = 1 from pg_stat_activity a where a.wait_event = 'PgSleep' and a.datname = current_database() and a.query like '%slow_handler%'")
	if err := stop(); err != nil {
		t.Error(err)
	}
	s.want("a job whose worker stops", "select string_agg(concat_ws(' ', j.status, j.attempts), '; ' order by j.id) from procrastinate_jobs j where j.task_name = 'slow_handler'", "failed 1; todo 0")
	s.wantHealthy()
}

// A pool that is not from NewPool closes the connection of a cancelled function instead.
func TestTimeoutInAPlainPool(t *testing.T) {
	s := newSite(t, `create function slow_handler(args jsonb) returns void language sql as $$ insert into effect values (args); select pg_sleep(1000) $$;`)
	s.handlers = s.pool
	slow := s.deferJob("slow_handler", "{}", ", timeout => '200 ms'")
	s.runAll("slow_handler")
	s.wantRow(slow, "failed 1 timed out after 200ms")
	s.waitFor("select count(*) = 0 from pg_stat_activity a where a.wait_event = 'PgSleep' and a.query like '%slow_handler%' and a.datname = current_database()")
	s.want("effects", "select count(*) from effect", "0")
}

// The worker is removed while the function runs, which it or FinishTx notices first. The function's effects are undone, and
// those of the next attempt are the only ones.
func TestEffectsOnceWhenTheRegistrationIsLost(t *testing.T) {
	for _, first := range []string{"worker", "FinishTx"} {
		t.Run(first, func(t *testing.T) {
			s := newSite(t, `
				create function waits(args jsonb) returns int language plpgsql as $$
				begin
					insert into effect values (to_jsonb(pg_current_xact_id()::text));
					perform pg_advisory_xact_lock((args->>'lock')::int);
					return 1;
				end $$;`)
			gate := testdb.Connect(t, s.schema)
			atGate := func(sql string) {
				if _, err := gate.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			lock := fmt.Sprint(time.Now().UnixNano() % 1_000_000_000)
			atGate("select pg_advisory_lock(" + lock + ")")
			job := s.deferJob("waits", `{"lock": `+lock+`}`, "")
			stop := s.start(worker.Config{}, "waits")
			waiting := "from pg_locks l where l.locktype = 'advisory' and l.objid = " + lock + " and not l.granted"
			s.waitFor("select count(*) = 1 " + waiting)
			cancelled := s.query("select l.virtualtransaction " + waiting)
			if first == "worker" {
				atGate("delete from procrastinate_workers")
				s.deferJob("waits", `{"lock": `+lock+`}`, ", queueing_lock => 'wake it'")
				s.waitFor("select count(*) > 0 " + waiting + " and l.virtualtransaction <> '" + cancelled + "'")
				atGate("select pg_advisory_unlock(" + lock + ")")
			} else { // the worker is told seconds later, and the function returns at once
				atGate("delete from procrastinate_workers")
				atGate("select pg_advisory_unlock(" + lock + ")")
			}
			s.waitFor("select bool_and(j.status = 'succeeded') from procrastinate_jobs j")
			if err := stop(); err != nil {
				t.Error(err)
			}
			s.wantRow(job, "succeeded 1 1")
			s.want("rescues", "select j.rescues from procrastinate_jobs j where j.id = "+job, "1")
			s.want("effects", "select (select count(*) from effect) = (select count(*) from procrastinate_jobs)", "true")
			s.wantHealthy()
		})
	}
}

// The job is deleted while its function runs, which nothing else notices.
func TestEffectsOfAJobThatIsGoneAreUndone(t *testing.T) {
	s := newSite(t, `
		create function deletes_itself(args jsonb) returns void language plpgsql as $$
		begin
			insert into effect values (args);
			delete from procrastinate_jobs j where j.id = (current_setting('procrastinate.job')::jsonb->>'id')::bigint;
		end $$;`)
	job := s.deferJob("deletes_itself", "{}", "")
	s.runAll("deletes_itself")
	s.want("effects", "select count(*) from effect", "0")
	s.want("the job", "select concat_ws(' ', j.status, j.error) like 'failed finish job % in transaction: job not held by worker' from procrastinate_jobs j where j.id = "+job, "true")
	s.wantHealthy()
}

func TestCheckNamesWhatCannotBeCalled(t *testing.T) {
	s := newSite(t, `
		create function good(args jsonb) returns void language sql as 'select';
		create function other_type(args json) returns void language sql as 'select';
		create function many(args jsonb) returns setof int language sql as 'values (1), (2)';
		create procedure process(args jsonb) language sql as 'select';
		create function forbidden(args jsonb) returns void language sql as 'select';
		revoke execute on function forbidden from public;`)
	role := "role_" + s.schema
	s.exec("create role " + role)
	t.Cleanup(func() {
		conn := testdb.Connect(t, "")
		_, err := conn.Exec(context.Background(), "drop owned by "+role+"; drop role "+role)
		if err != nil {
			t.Error(err)
		}
	})
	s.exec("grant usage on schema " + pgx.Identifier{s.schema}.Sanitize() + " to " + role)
	conn := testdb.Connect(t, s.schema)
	if _, err := conn.Exec(t.Context(), "set role "+role); err != nil {
		t.Fatal(err)
	}
	if err := sql.Check(t.Context(), conn, "good", s.schema+".good"); err != nil {
		t.Errorf("good: %v", err)
	}
	err := sql.Check(t.Context(), conn, "good", "missing", "no_schema.missing", "other_type", "many", "process", "forbidden", "a b")
	if !errors.Is(err, sql.ErrFunction) {
		t.Fatalf("got %v, want ErrFunction", err)
	}
	for _, want := range []string{
		`"missing"(jsonb) does not exist with search_path`, `"no_schema"."missing"(jsonb) does not exist`, `"other_type"(jsonb) does not exist`,
		`"many"(jsonb) returns a set`, `"process"(jsonb) is no plain function`, `"forbidden"(jsonb) may not be executed by ` + role,
		`"a b" is not the name of a function`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), `"good"`) {
		t.Errorf("it complains about good:\n%v", err)
	}
	closed := testdb.Connect(t, s.schema)
	if err := closed.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sql.Check(t.Context(), closed, "good"); err == nil || errors.Is(err, sql.ErrFunction) {
		t.Errorf("without a database: got %v", err)
	}
}

func TestHandlerRefusesWhatIsNoName(t *testing.T) {
	if _, err := sql.Handler(nil, "bill(); drop table x"); err == nil {
		t.Error("no error")
	}
}
