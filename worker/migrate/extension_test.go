//go:build integration

package migrate_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tern "github.com/jackc/tern/v2/migrate"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/sql"
	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

func TestExtensionAndRestore(t *testing.T) {
	servers := start(t)
	t.Run("the extension is what migrate installs", func(t *testing.T) { extensionIsWhatMigrateInstalls(t, servers) })
	t.Run("migrate leaves the extension alone", func(t *testing.T) { migrateLeavesTheExtensionAlone(t, servers) })
	t.Run("an update keeps what users granted", func(t *testing.T) { updateKeepsGrants(t, servers) })
	t.Run("dump and restore of a live queue", func(t *testing.T) { dumpAndRestore(t, servers) })
}

// By a role that is no superuser, whose rights the functions run with.
func extensionIsWhatMigrateInstalls(t *testing.T, servers servers) {
	database{t: t, url: servers.one}.session("").do(`create role somebody login`)
	create(t, servers.one, "same", "").do(`grant create on database same to somebody`)
	server := strings.Replace(servers.one, "//postgres@", "//somebody@", 1)
	db := database{t: t, url: strings.Replace(server, "/postgres?", "/same?", 1)}.session(restoreSchema)
	install(db, byMigrate)
	want := slices.DeleteFunc(testdb.Catalog(t, db.conn), func(line string) bool { return strings.Contains(line, "procrastinate_schema_version") })
	db.do(`drop schema "Queue 1" cascade`)

	install(db, byExtension)
	for _, line := range testdb.Difference(testdb.Catalog(t, db.conn), want) {
		t.Error(line)
	}
	healthy(db)
	db.do(`select procrastinate_defer('t')`)
	db.do(`select procrastinate_register_worker('w')`)
	if ids := list[int64](db, `select f.id from procrastinate_fetch_jobs(1, 9) f`); !slices.Equal(ids, []int64{1}) {
		t.Errorf("fetched %v", ids)
	}
	healthy(db)

	db.do(`drop extension procrastinate`)
	if left := testdb.Catalog(t, db.conn); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func migrateLeavesTheExtensionAlone(t *testing.T, servers servers) {
	db := create(t, servers.one, "alone", restoreSchema)
	install(db, byExtension)
	before := state(t, db.conn, restoreSchema)
	_, err := migrate.Up(t.Context(), db.conn, restoreSchema)
	if !errors.Is(err, worker.ErrSchema) || !strings.Contains(err.Error(), `run "alter extension procrastinate update"`) {
		t.Errorf("migrate: got %v, want ErrSchema and what to run", err)
	}
	out, err := psql(t, db.url, script(t, restoreSchema))
	if err == nil || !strings.Contains(out, "has Procrastinate already") {
		t.Errorf("migrate --print: got %v, %s", err, out)
	}
	if after := state(t, db.conn, restoreSchema); after != before {
		t.Errorf("it changed %s to %s", before, after)
	}
	if status := look(t, db.conn); !status.Current() || status.Extension != worker.Version {
		t.Errorf("status: %+v", status)
	}
	db.do(`update procrastinate_install set digest = 'other'`)
	if status := look(t, db.conn); status.Current() {
		t.Errorf("other functions: %+v", status)
	}
}

// From a version of ours that never was, by a script as the next release will have: all functions anew.
func updateKeepsGrants(t *testing.T, servers servers) {
	_, old, err := migrate.Extension()
	if err != nil {
		t.Fatal(err)
	}
	code, err := tern.LoadCodePackage(sql.Functions())
	if err != nil {
		t.Fatal(err)
	}
	update, err := code.Eval(map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(strings.TrimSpace(string(servers.program(t, nil, "pg_config", "--sharedir"))), "extension")
	for name, text := range map[string]string{
		"procrastinate--0.0.1.sql":                         old,
		"procrastinate--0.0.1--" + worker.Version + ".sql": "alter function procrastinate_tick(bigint) set search_path = public;\n" + update,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	db := create(t, servers.one, "updated", restoreSchema)
	db.do(`create schema "Queue 1"`)
	db.do(`create role granted`)
	db.do(`create extension procrastinate schema "Queue 1" version '0.0.1'`)
	db.do(`grant execute on function procrastinate_defer to granted`)
	before, dump := testdb.Catalog(t, db.conn), servers.program(t, nil, "pg_dump", "-d", db.url)
	if !strings.Contains(string(dump), "GRANT ALL ON FUNCTION") {
		t.Fatalf("the dump grants nothing: %s", dump)
	}
	db.do(`alter extension procrastinate update`)
	if version := value[string](db, `select e.extversion from pg_extension e where e.extname = 'procrastinate'`); version != worker.Version {
		t.Errorf("it is of version %s", version)
	}
	for _, line := range testdb.Difference(testdb.Catalog(t, db.conn), before) {
		t.Error(line)
	}
	if dump := servers.program(t, nil, "pg_dump", "-d", db.url); !strings.Contains(string(dump), "GRANT ALL ON FUNCTION") {
		t.Error("a dump does not grant any more what users granted")
	}
}
