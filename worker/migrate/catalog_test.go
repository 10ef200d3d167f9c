//go:build integration

package migrate_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	tern "github.com/jackc/tern/v2/migrate"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/sql"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

// installed is the catalog of a schema in which all was installed by a way of the test's; the schema is gone afterwards.
func installed(t *testing.T, schema string, install func(conn *pgx.Conn) error) []string {
	t.Helper()
	conn := testdb.Connect(t, schema)
	if err := install(conn); err != nil {
		t.Fatal(err)
	}
	lines := testdb.Catalog(t, conn)
	if _, err := conn.Exec(t.Context(), "drop schema "+pgx.Identifier{schema}.Sanitize()+" cascade"); err != nil {
		t.Fatal(err)
	}
	return lines
}

// psql installs a script as its first lines say.
func psql(t *testing.T, url, script string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "psql", url, "-Xq1", "-v", "ON_ERROR_STOP=1", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func script(t *testing.T, schema string) string {
	t.Helper()
	text, err := migrate.Script(schema)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAllWaysInstallTheSame(t *testing.T) {
	schema := testdb.Schema(t, `we"ird `)
	want := installed(t, schema, func(conn *pgx.Conn) error {
		_, err := migrate.Up(t.Context(), conn, schema)
		return err
	})
	if len(want) < 500 {
		t.Errorf("the catalog has %d lines", len(want))
	}

	printed := installed(t, schema, func(conn *pgx.Conn) error {
		out, err := psql(t, testdb.URL(t), script(t, schema))
		if err != nil || out != "" {
			t.Errorf("psql says %v, %s", err, out)
			return err
		}
		if report, err := migrate.Up(t.Context(), conn, schema); err != nil || !report.Nothing() {
			t.Errorf("migrate afterwards: got %+v, %v; want nothing to do", report, err)
		}
		return nil
	})
	byHand := installed(t, schema, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(t.Context(), "create schema "+pgx.Identifier{schema}.Sanitize()); err != nil {
			return err
		}
		migrator, err := tern.NewMigrator(t.Context(), conn, "procrastinate_schema_version")
		if err != nil {
			return err
		}
		if err := migrator.LoadMigrations(sql.Migrations()); err != nil {
			return err
		}
		if err := migrator.Migrate(t.Context()); err != nil {
			return err
		}
		code, err := tern.LoadCodePackage(sql.Functions())
		if err != nil {
			return err
		}
		return tern.InstallCodePackage(t.Context(), conn, map[string]any{}, code)
	})
	for name, got := range map[string][]string{"migrate --print": printed, "tern": byHand} {
		for _, line := range testdb.Difference(got, want) {
			t.Errorf("%s: %s", name, line)
		}
	}
}

func TestCatalogTellsInstallationsApart(t *testing.T) {
	schema := testdb.Installed(t)
	conn := testdb.Connect(t, schema)
	before := testdb.Catalog(t, conn)
	for _, change := range []string{
		`comment on function procrastinate_tick(bigint) is 'other'`,
		`comment on column procrastinate_jobs.lock is null`,
		`grant execute on function procrastinate_tick(bigint) to public`,
		`grant select (id) on procrastinate_jobs to public`,
		`grant usage on sequence procrastinate_jobs_id_seq to public`,
		`alter function procrastinate_tick(bigint) set work_mem = '8MB'`,
		`alter function procrastinate_tick(bigint) stable`,
		`alter table procrastinate_jobs set (fillfactor = 36)`,
		`alter table procrastinate_jobs alter error set not null`,
		`alter table procrastinate_jobs alter priority set default 1`,
		`alter table procrastinate_jobs disable trigger procrastinate_jobs_deleted`,
		`alter table procrastinate_jobs drop constraint procrastinate_jobs_finished_at`,
		`alter sequence procrastinate_jobs_id_seq cache 2`,
		`drop index procrastinate_jobs_task_name_idx`,
		`drop view procrastinate_heads cascade`,
		`alter type procrastinate_job_status add value 'other'`,
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), change); err != nil {
			t.Errorf("%s: %v", change, err)
		} else if len(testdb.Difference(testdb.Catalog(t, conn), before)) == 0 {
			t.Errorf("%s: not seen", change)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestScriptIsRefusedAndChangesNothing(t *testing.T) {
	schema := testdb.Installed(t)
	conn := testdb.Connect(t, schema)
	empty := testdb.Schema(t, "test_")
	if _, err := conn.Exec(t.Context(), "create schema "+empty); err != nil {
		t.Fatal(err)
	}
	before := state(t, conn, schema)
	out, err := psql(t, testdb.URL(t), script(t, schema))
	if err == nil || !strings.Contains(out, `has Procrastinate already`) || !strings.Contains(out, `HINT:  Run "procrastinate migrate"`) {
		t.Errorf("installed already: got %v, %s", err, out)
	}
	if after := state(t, conn, schema); after != before {
		t.Errorf("it changed %s to %s", before, after)
	}

	// a statement at a time, so in no transaction
	out, err = psql(t, testdb.URL(t), "commit;\n"+script(t, empty))
	if err == nil || !strings.Contains(out, "HINT:  Run this file with psql -1") {
		t.Errorf("without a transaction: got %v, %s", err, out)
	}
	lines := testdb.Catalog(t, testdb.Connect(t, empty))
	if len(lines) != 0 {
		t.Errorf("without a transaction it made %d things", len(lines))
	}
}
