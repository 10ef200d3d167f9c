// Package testdb gives integration tests the server of DATABASE_URL, and a schema of their own in it.
package testdb

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

// URL is where the server is. Without one the test fails: it must not pass for having done nothing.
func URL(t *testing.T) string {
	t.Helper()
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		t.Fatal("DATABASE_URL is not set; make test sets it")
	}
	return url
}

// Connect opens a connection with the schema first in search_path; an empty one leaves search_path alone. It is
// closed at the end, or before.
func Connect(t *testing.T, schema string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(URL(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := migrate.Connect(context.Background(), config, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Schema is a new name that begins with the prefix. What is made under it is dropped at the end, after the
// connections that were opened later are closed.
func Schema(t *testing.T, prefix string) string {
	t.Helper()
	schema := prefix + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		conn := Connect(t, "") // now: a test may restart the server
		if _, err := conn.Exec(context.Background(), "drop schema if exists "+pgx.Identifier{schema}.Sanitize()+" cascade"); err != nil {
			t.Error(err)
		}
	})
	return schema
}

// Installed is such a schema with everything in it.
func Installed(t *testing.T) string {
	t.Helper()
	schema := Schema(t, "test_")
	if _, err := migrate.Up(t.Context(), Connect(t, schema), schema); err != nil {
		t.Fatal(err)
	}
	return schema
}
