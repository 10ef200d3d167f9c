//go:build integration

// Tests of the races that docs/ARCHITECTURE.md argues away, each with two sessions or more on a real server. A
// race is run where all guards stand, and must find no fault; and once for each of its guards where that one is
// taken out, and must find one. So no test passes for having missed the race, and no guard stands for nothing.
package sql_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/sql"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

// A race mostly waits, so there may be more at a time than processors.
const atOnce = 6

// schemas go from race to race, for to install one takes longer than most races. An empty name: not installed yet.
var schemas = make(chan string, atOnce)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
		panic(err)
	}
	for range atOnce {
		schemas <- ""
	}
	m.Run()
	for range atOnce {
		if schema := <-schemas; schema != "" {
			drop(schema)
		}
	}
}

func drop(schema string) {
	conn, err := pgx.Connect(context.Background(), os.Getenv("DATABASE_URL"))
	if err == nil {
		_, err = conn.Exec(context.Background(), "drop schema "+pgx.Identifier{schema}.Sanitize()+" cascade")
	}
	if err != nil {
		panic(err)
	}
}

type race struct {
	alone   bool   // not beside other tests
	windows []edit // gates where the race happens inside a statement, and settings; with and without guards
	run     func(db *session)
	guards  []guard
}

// guard is what the code must lack to be at fault.
type guard struct {
	what  string
	edits []edit
}

// edit is a change of a file of functions. The old text must be there exactly once, so a guard that is reworded is
// noticed.
type edit struct{ file, old, new string }

func without(what, file, old, new string) guard {
	return guard{what, []edit{{file, old, new}}}
}

// withoutSkip is without the words skip locked after these.
func withoutSkip(what, file, words string) guard {
	return without("skip locked of "+what, file, words+" skip locked", words)
}

func (g guard) and(file, old, new string) guard {
	g.edits = append(g.edits, edit{file, old, new})
	return g
}

func (r race) test(t *testing.T) {
	if !r.alone {
		t.Parallel()
	}
	schema := <-schemas
	defer func() { schemas <- schema }()
	if schema == "" {
		name := "test_" + strings.ToLower(rand.Text()[:10])
		if _, err := migrate.Up(t.Context(), testdb.Connect(t, name), name); err != nil {
			t.Fatal(err)
		}
		schema = name
	}
	for _, guard := range r.guards {
		t.Run("without "+guard.what, func(t *testing.T) {
			found := &faults{T: t}
			found.Go(func() { r.run(r.prepared(t, found, schema, time.Second, guard.edits)) })
			found.Wait()
			if len(found.list) == 0 {
				t.Error("no fault was found: no race, or no guard")
			}
			for _, fault := range found.list {
				t.Log(fault)
				if strings.Contains(fault, "SQLSTATE 42") {
					t.Error("a fault of the edit, not of the race")
				}
			}
		})
	}
	// last, so it would find what the others left behind
	t.Run("guarded", func(t *testing.T) { r.run(r.prepared(t, t, schema, 20*time.Second, nil)) })

	db := connect(t, schema)
	for _, text := range r.files(t) {
		db.script(text)
	}
}

// files are those that the race has edits for, unedited.
func (r race) files(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, g := range append(r.guards, guard{edits: r.windows}) {
		for _, e := range g.edits {
			text, err := fs.ReadFile(sql.Functions(), e.file)
			if err != nil {
				t.Fatal(err)
			}
			files[e.file] = string(text)
		}
	}
	return files
}

// prepared is the first session in the schema, which is as new but for the windows and these edits.
func (r race) prepared(t *testing.T, to reporter, schema string, patience time.Duration, edits []edit) *session {
	t.Helper()
	db := connect(t, schema)
	files := r.files(t)
	for _, e := range slices.Concat(edits, r.windows) {
		if n := strings.Count(files[e.file], e.old); n != 1 {
			t.Fatalf("%s has %d times %q, want it once", e.file, n, e.old)
		}
		files[e.file] = strings.Replace(files[e.file], e.old, e.new, 1)
	}
	db.script(gate)
	for _, text := range files {
		db.script(text)
	}
	db.script(anew)
	db.t, db.patience, db.watcher = to, patience, db
	return db.session()
}

// script runs statements as install.sql would.
func (s *session) script(text string) {
	s.t.Helper()
	text = `begin; select set_config('search_path', format('%I, pg_temp', current_schema()), true);` + text + `; commit`
	if _, err := s.conn.PgConn().Exec(s.test.Context(), text).ReadAll(); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

// anew takes away what was before; repair, which runs when jobs are truncated, takes away the hints.
const anew = `
drop trigger if exists gate on procrastinate_queueing_locks;
truncate procrastinate_workers restart identity;
truncate procrastinate_jobs restart identity;
delete from procrastinate_lanes l where l.lane > 0;
delete from procrastinate_tasks;
delete from procrastinate_queues;
delete from procrastinate_schedules;
`

// faults are wanted. A statement that hangs is one too, after the session's patience.
type faults struct {
	*testing.T
	sync.WaitGroup
	list []string
}

func (f *faults) Errorf(format string, args ...any) {
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

func (f *faults) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// A session that stops at gates waits there while another one has the gate shut.
const gate = `
create or replace function gate()
returns boolean
language plpgsql
as $function$
begin
    if current_setting('test.gate', true) = 'stop' then
        perform pg_advisory_xact_lock_shared('procrastinate_jobs'::regclass::oid::integer, 1);
    end if;
    return true;
end;
$function$;

create or replace function gate_trigger()
returns trigger
language plpgsql
as $function$
begin
    perform gate();
    return coalesce(new, old);
end;
$function$;
`

func (s *session) shut() {
	s.t.Helper()
	s.do(`select pg_advisory_lock('procrastinate_jobs'::regclass::oid::integer, 1)`)
}

func (s *session) open() {
	s.t.Helper()
	s.do(`select pg_advisory_unlock('procrastinate_jobs'::regclass::oid::integer, 1)`)
}

// stops starts a query, and returns when it waits at the gate.
func (s *session) stops(sql string, args ...any) *pending {
	s.t.Helper()
	s.do(`set test.gate = 'stop'`)
	return s.start(sql, args...).waits()
}
