//go:build integration

package migrate_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	tern "github.com/jackc/tern/v2/migrate"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/sql"
	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

func look(t *testing.T, conn *pgx.Conn) migrate.Status {
	t.Helper()
	status, err := migrate.Look(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// state is all that a migration could change: the catalog's rows of the schema, and when it was installed.
func state(t *testing.T, conn *pgx.Conn, schema string) (state string) {
	t.Helper()
	err := conn.QueryRow(t.Context(), `
		select concat_ws(' | ',
		    (select string_agg(c.oid || ':' || c.xmin::text, ',' order by c.oid) from pg_class c where c.relnamespace = n.oid),
		    (select string_agg(p.oid || ':' || p.xmin::text, ',' order by p.oid) from pg_proc p where p.pronamespace = n.oid),
		    (select i::text from procrastinate_install i))
		from pg_namespace n where n.nspname = $1`, schema).Scan(&state)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestSecondUpChangesNothing(t *testing.T) {
	schema := testdb.Schema(t, "test_")
	conn := testdb.Connect(t, schema)
	if status := look(t, conn); status.Current() || status.Installed != 0 {
		t.Errorf("before: %+v", status)
	}
	report, err := migrate.Up(t.Context(), conn, schema)
	if err != nil {
		t.Fatal(err)
	}
	status := look(t, conn)
	if !report.CreatedSchema || !report.Functions || len(report.Migrations) != status.Available || report.Nothing() {
		t.Errorf("first: %+v", report)
	}
	if !status.Current() || status.Schema != schema || status.Version != worker.Version {
		t.Errorf("after: %+v", status)
	}
	before := state(t, conn, schema)
	if report, err = migrate.Up(t.Context(), conn, schema); err != nil || !report.Nothing() {
		t.Errorf("second: %+v, %v", report, err)
	}
	if after := state(t, conn, schema); after != before {
		t.Errorf("the second changed %s to %s", before, after)
	}
}

func TestSchemaWhoseNameNeedsQuotes(t *testing.T) {
	schema := testdb.Schema(t, `we"ird `)
	conn := testdb.Connect(t, schema)
	if _, err := migrate.Up(t.Context(), conn, schema); err != nil {
		t.Fatal(err)
	}
	if status := look(t, conn); !status.Current() || status.Schema != schema {
		t.Errorf("got %+v", status)
	}
}

func TestChangedFunctionsAreInstalledAgain(t *testing.T) {
	schema := testdb.Schema(t, "test_")
	conn := testdb.Connect(t, schema)
	if _, err := migrate.Up(t.Context(), conn, schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `update procrastinate_install set digest = 'other'`); err != nil {
		t.Fatal(err)
	}
	if status := look(t, conn); status.Current() || status.Functions {
		t.Errorf("status: %+v", status)
	}
	report, err := migrate.Up(t.Context(), conn, schema)
	if err != nil || !report.Functions || len(report.Migrations) != 0 {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestFunctionsInstalledByHandAreInstalledOnceMore(t *testing.T) {
	schema := testdb.Schema(t, "test_")
	conn := testdb.Connect(t, schema)
	if _, err := migrate.Up(t.Context(), conn, schema); err != nil {
		t.Fatal(err)
	}
	if status := look(t, conn); status.Foreign {
		t.Errorf("installed by Up: %+v", status)
	}
	code, err := tern.LoadCodePackage(sql.Functions())
	if err != nil {
		t.Fatal(err)
	}
	if err := tern.InstallCodePackage(t.Context(), conn, map[string]any{}, code); err != nil {
		t.Fatal(err)
	}
	if status := look(t, conn); status.Current() || !status.Foreign || status.Version != worker.Version {
		t.Errorf("installed by tern: %+v", status)
	}
	if report, err := migrate.Up(t.Context(), conn, schema); err != nil || !report.Functions {
		t.Errorf("got %+v, %v", report, err)
	}
	if status := look(t, conn); !status.Current() || status.Foreign {
		t.Errorf("installed once more: %+v", status)
	}
}

func TestTwoAtOnce(t *testing.T) {
	schema := testdb.Schema(t, "test_")
	var wait sync.WaitGroup
	reports := make([]migrate.Report, 4)
	for i := range reports {
		conn := testdb.Connect(t, schema)
		wait.Go(func() {
			var err error
			if reports[i], err = migrate.Up(t.Context(), conn, schema); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	worked := 0
	for _, report := range reports {
		if !report.Nothing() {
			worked++
		}
	}
	if worked != 1 {
		t.Errorf("%d of them found something to do, want one: %+v", worked, reports)
	}
}

func TestNewerSchemaIsLeftAlone(t *testing.T) {
	schema := testdb.Schema(t, "test_")
	conn := testdb.Connect(t, schema)
	if _, err := migrate.Up(t.Context(), conn, schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `update procrastinate_schema_version set version = 999`); err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.Up(t.Context(), conn, schema); err == nil || !strings.Contains(err.Error(), "newer than this program") {
		t.Errorf("got %v", err)
	}
}

func TestNewerFunctionsAreLeftAlone(t *testing.T) {
	schema := testdb.Installed(t)
	conn := testdb.Connect(t, schema)
	if _, err := conn.Exec(t.Context(), `update procrastinate_install set version = '0.10.0', digest = 'theirs'`); err != nil {
		t.Fatal(err)
	}
	before := state(t, conn, schema)
	_, err := migrate.Up(t.Context(), conn, schema)
	if !errors.Is(err, worker.ErrSchema) || !strings.Contains(err.Error(), "0.10.0, newer than this program's "+worker.Version) {
		t.Errorf("got %v, want that they are newer", err)
	}
	if after := state(t, conn, schema); after != before {
		t.Errorf("it was changed:\n%s\n%s", before, after)
	}
}
