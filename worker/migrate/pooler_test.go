//go:build integration

package migrate_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

const refusal = "migrating needs a direct connection"

func TestTransactionPoolerIsRefused(t *testing.T) {
	schema := testdb.Installed(t)
	for mode, want := range map[string]string{"transaction": refusal, "session": ""} {
		conn, err := pgx.Connect(t.Context(), testdb.Pooler(t, mode, 4))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(t.Context(), "set search_path = "+schema); err != nil {
			t.Fatal(err)
		}
		report, err := migrate.Up(t.Context(), conn, schema)
		if want == "" && (err != nil || !report.Nothing()) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("pool_mode = %s: got %+v, %v; want %q", mode, report, err, want)
		}
	}
}

func TestPoolerThatRefusesSearchPathIsNamed(t *testing.T) {
	config, err := pgx.ParseConfig(testdb.Pooler(t, "transaction", 4))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.Connect(t.Context(), config, "any"); err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("got %v, want %q", err, refusal)
	}
}
