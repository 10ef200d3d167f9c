// Package migrate installs Procrastinate in a database, and brings what is installed up to date: first the
// migrations (tables, types, indexes), then all functions in one transaction.
package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/tern/v2/migrate"

	"github.com/procrastinate-pg/procrastinate/sql"
	"github.com/procrastinate-pg/procrastinate/worker"
)

// versionTable lies in the first schema of search_path. It has no schema in its name because tern does not quote.
const versionTable = "procrastinate_schema_version"

// lockNumber is tern's own session lock: whoever migrates, with this package or with tern, does so alone.
const lockNumber = int64(9628173550095224)

// Connect opens the one direct connection that migrating needs, with the schema first in search_path. Tern resets
// all settings after each migration, so search_path must be a start-up parameter. An empty schema leaves
// search_path alone. The config is not changed.
func Connect(ctx context.Context, config *pgx.ConnConfig, schema string) (*pgx.Conn, error) {
	config = config.Copy()
	if schema != "" {
		config.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	var pgErr *pgconn.PgError
	switch {
	case schema != "" && errors.As(err, &pgErr) && pgErr.Code == protocolViolation:
		return nil, fmt.Errorf("connect: %w (a pooler's answer; %w)", err, errPooler)
	case err != nil:
		return nil, fmt.Errorf("connect: %w", err)
	default:
		return conn, nil
	}
}

// errPooler: the lock and the settings of a migration belong to a session.
var errPooler = errors.New("migrating needs a direct connection, not one through a transaction pooler")

// protocolViolation is how PgBouncer refuses a start-up parameter that it does not know, such as search_path.
const protocolViolation = "08P01"

// refusePooler looks for a pooler that shares sessions. Only a pooler makes up the process id that it tells. Through one
// in transaction mode a second connection gets the session that was used last: ours, unless others are at work too.
// What it cannot find out it takes for fine.
func refusePooler(ctx context.Context, conn *pgx.Conn) error {
	ours, err := backend(ctx, conn)
	if err != nil || ours == conn.PgConn().PID() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second) // there may be no session left for it
	defer cancel()
	second, err := pgx.ConnectConfig(ctx, conn.Config())
	if err != nil {
		return nil
	}
	defer func() { _ = second.Close(ctx) }() // nothing is lost with it
	if theirs, err := backend(ctx, second); err == nil && theirs == ours {
		return errPooler
	}
	return nil
}

func backend(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	if err = conn.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return 0, fmt.Errorf("ask for process id: %w", err)
	}
	return pid, nil
}

// Report says what Up did.
type Report struct {
	CreatedSchema bool
	Migrations    []string // the files that were run
	Functions     bool     // whether they were installed
}

// Nothing says that all was current.
func (r Report) Nothing() bool {
	return !r.CreatedSchema && len(r.Migrations) == 0 && !r.Functions
}

// Up brings the schema that is first in search_path up to date, on a connection made by Connect. It creates the
// schema if it has a name and is missing. Two at once are safe: the second waits, then finds nothing to do. An
// error leaves what was committed before it; the next Up goes on from there. It is worker.ErrSchema if the schema
// belongs to the extension, which PostgreSQL updates, or if its functions are newer than this program's.
func Up(ctx context.Context, conn *pgx.Conn, schema string) (report Report, err error) {
	if err := refusePooler(ctx, conn); err != nil {
		return report, err
	}
	if _, err := conn.Exec(ctx, `select pg_advisory_lock($1)`, lockNumber); err != nil {
		return report, fmt.Errorf("lock: %w", err)
	}
	defer func() {
		_, unlockErr := conn.Exec(context.WithoutCancel(ctx), `select pg_advisory_unlock($1)`, lockNumber)
		if err == nil && unlockErr != nil {
			err = fmt.Errorf("unlock: %w", unlockErr)
		}
	}()
	if report.CreatedSchema, err = createSchema(ctx, conn, schema); err != nil {
		return report, err
	}
	if err := refuseExtension(ctx, conn); err != nil {
		return report, err
	}
	if err := refuseNewer(ctx, conn); err != nil {
		return report, err
	}
	if report.Migrations, err = runMigrations(ctx, conn); err != nil {
		return report, err
	}
	report.Functions, err = installFunctions(ctx, conn)
	return report, err
}

// refuseNewer keeps a program from replacing functions that are newer than its own.
func refuseNewer(ctx context.Context, conn *pgx.Conn) error {
	var installed bool
	if err := conn.QueryRow(ctx, `select to_regclass('procrastinate_install') is not null`).Scan(&installed); err != nil {
		return fmt.Errorf("look for functions: %w", err)
	}
	if !installed {
		return nil
	}
	var version string
	if err := conn.QueryRow(ctx, `select coalesce(i.version, '') from procrastinate_install i`).Scan(&version); err != nil {
		return fmt.Errorf("read installed version: %w", err)
	}
	if worker.IsNewer(version) {
		return fmt.Errorf("%w: the functions are of version %s, newer than this program's %s: update the program", worker.ErrSchema, version, worker.Version)
	}
	return nil
}

func createSchema(ctx context.Context, conn *pgx.Conn, schema string) (bool, error) {
	if schema == "" {
		return false, nil
	}
	var exists bool
	err := conn.QueryRow(ctx, `select exists (select from pg_namespace n where n.nspname = $1)`, schema).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for schema: %w", err)
	}
	if exists {
		return false, nil
	}
	if _, err := conn.Exec(ctx, `create schema `+pgx.Identifier{schema}.Sanitize()); err != nil {
		return false, fmt.Errorf("create schema: %w", err)
	}
	return true, nil
}

func runMigrations(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	migrator, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	if err := migrator.LoadMigrations(sql.Migrations()); err != nil {
		return nil, fmt.Errorf("load migrations: %w", err)
	}
	version, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("read schema version: %w", err)
	}
	if available := len(migrator.Migrations); int(version) > available {
		return nil, fmt.Errorf("the schema is at version %d, newer than this program's %d", version, available)
	}
	var names []string
	migrator.OnStart = func(_ int32, name, _, _ string) { names = append(names, name) }
	if err := migrator.Migrate(ctx); err != nil {
		var failed migrate.MigrationPgError
		if errors.As(err, &failed) {
			return nil, located(err, failed.Sql, failed.PgError)
		}
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return names, nil
}

// source is what install.sql becomes with everything it includes, and the digest by which it is known.
func source() (text, digest string, err error) {
	code, err := migrate.LoadCodePackage(sql.Functions())
	if err != nil {
		return "", "", fmt.Errorf("load functions: %w", err)
	}
	if text, err = code.Eval(map[string]any{}); err != nil {
		return "", "", fmt.Errorf("assemble functions: %w", err)
	}
	sum := sha256.Sum256([]byte(worker.Version + "\n" + text))
	return text, hex.EncodeToString(sum[:]), nil
}

// installFunctions installs all functions, and says so in the same transaction, unless they are current.
func installFunctions(ctx context.Context, conn *pgx.Conn) (bool, error) {
	text, digest, err := source()
	if err != nil {
		return false, err
	}
	var current bool
	err = conn.QueryRow(ctx, `select coalesce(i.digest = $1, false) from procrastinate_install i`, digest).Scan(&current)
	if err != nil {
		return false, fmt.Errorf("read installed version: %w", err)
	}
	if current {
		return false, nil
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, text); err != nil {
			var pgErr *pgconn.PgError
			if errors.As(err, &pgErr) {
				return located(fmt.Errorf("install functions: %w", err), text, pgErr)
			}
			return fmt.Errorf("install functions: %w", err)
		}
		_, err := tx.Exec(ctx,
			`update procrastinate_install i set digest = $1`, digest)
		if err != nil {
			return fmt.Errorf("note installed version: %w", err)
		}
		return nil
	})
	return err == nil, err
}

// located adds the line that the database points at.
func located(err error, text string, pgErr *pgconn.PgError) error {
	if pgErr.Position == 0 {
		return err
	}
	line, lineErr := migrate.ExtractErrorLine(text, int(pgErr.Position))
	if lineErr != nil {
		return err
	}
	return fmt.Errorf("%w, at line %d: %s", err, line.LineNum, line.Text)
}
