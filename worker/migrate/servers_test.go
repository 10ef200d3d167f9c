//go:build integration

package migrate_test

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

// servers are two throw-away clusters of one PostgreSQL that has the extension installed. It is a copy: the machine's own stays
// as it is.
type servers struct {
	bindir     string
	one, other string // URLs
}

// start starts them, until the end of the test. DATABASE_URL is left out of it: a dump needs a second cluster, and the
// extension a server whose files are ours.
func start(t *testing.T) servers {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "../../scripts/pg-bindir").Run(); err != nil {
		t.Skip("there is no PostgreSQL server here to start two clusters of, which dump and restore needs")
	}
	lines := testdb.Started(t, 3, "../../scripts/with-extension", "scripts/with-postgres", "bash", "-c",
		`echo "$PG_BINDIR"; echo "$DATABASE_URL"; unset DATABASE_URL; exec scripts/with-postgres bash -c 'echo "$DATABASE_URL"; cat'`)
	return servers{bindir: lines[0], one: lines[1], other: lines[2]}
}

// program runs one of PostgreSQL's, which must succeed and have nothing to say on stderr.
func (s servers) program(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(s.bindir, name), args...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%s: %v\n%s", name, err, &errs)
	}
	return out
}

// database is one on a server of ours, and a connection to it.
type database struct {
	t    *testing.T
	url  string
	conn *pgx.Conn
}

// create makes a database with an empty schema. What is in it need not be dropped: the server goes.
func create(t *testing.T, server, name, schema string) database {
	t.Helper()
	admin := database{t: t, url: server}.session("")
	admin.do(`create database ` + pgx.Identifier{name}.Sanitize())
	url := strings.Replace(server, "/postgres?", "/"+name+"?", 1)
	db := database{t: t, url: url}.session(schema)
	return db
}

// session is another connection.
func (db database) session(schema string) database {
	db.t.Helper()
	config, err := pgx.ParseConfig(db.url)
	if err != nil {
		db.t.Fatal(err)
	}
	db.conn, err = migrate.Connect(context.Background(), config, schema)
	if err != nil {
		db.t.Fatal(err)
	}
	db.t.Cleanup(func() { _ = db.conn.Close(context.Background()) })
	return db
}

func (db database) do(sql string, args ...any) {
	db.t.Helper()
	if _, err := db.conn.Exec(db.t.Context(), sql, args...); err != nil {
		db.t.Fatalf("%s: %v", sql, err)
	}
}

// list is the one column of a query.
func list[T any](db database, sql string, args ...any) []T {
	db.t.Helper()
	rows, err := db.conn.Query(db.t.Context(), sql, args...)
	if err != nil {
		db.t.Fatalf("%s: %v", sql, err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		db.t.Fatalf("%s: %v", sql, err)
	}
	return values
}

// value is the one value of a query.
func value[T any](db database, sql string, args ...any) T {
	db.t.Helper()
	values := list[T](db, sql, args...)
	if len(values) != 1 {
		db.t.Fatalf("%s: %d rows", sql, len(values))
	}
	return values[0]
}
