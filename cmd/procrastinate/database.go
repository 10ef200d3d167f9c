package main

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// database is a connection to a schema that fits this program. Its statements name what they call without the schema,
// which is put before each procrastinate_: so they need no search_path, which a transaction pooler would not keep.
type database struct {
	conn   *pgx.Conn
	prefix string // the quoted schema with its dot, or nothing
}

// withDatabase connects, checks that the schema fits, and closes the connection in the end.
func withDatabase(ctx context.Context, options *options, do func(context.Context, *database) error) error {
	if err := joinUsage(options.wrong()); err != nil {
		return err
	}
	config, err := options.connConfig()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	if err := worker.CheckSchema(ctx, conn, options.schema); err != nil {
		return err
	}
	db := &database{conn: conn}
	if options.schema != "" {
		db.prefix = pgx.Identifier{options.schema}.Sanitize() + "."
	}
	return do(ctx, db)
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is lost with it
	select {
	case <-conn.PgConn().CleanupDone(): // an interrupted statement was cancelled on the server too
	case <-ctx.Done():
	}
}

func (d *database) qualified(sql string) string {
	return strings.ReplaceAll(sql, "procrastinate_", d.prefix+"procrastinate_")
}
