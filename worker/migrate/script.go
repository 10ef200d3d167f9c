package migrate

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"

	"github.com/procrastinate-pg/procrastinate/sql"
	"github.com/procrastinate-pg/procrastinate/worker"
)

// Script is one plain SQL file that does what Up does in a schema without Procrastinate, for psql -1. An empty schema
// leaves search_path alone.
func Script(schema string) (string, error) {
	body, err := assemble()
	if err != nil {
		return "", err
	}
	var begin, end string
	if schema != "" {
		name := pgx.Identifier{schema}.Sanitize()
		begin = fmt.Sprintf("create schema if not exists %s;\nset search_path = %s;\n", name, name)
		end = "reset search_path;\n"
	}
	return fmt.Sprintf(scriptHead, worker.Version, begin, lockNumber, versionTable) +
		body.migrations +
		fmt.Sprintf(scriptVersion, versionTable, versionTable, body.count) +
		body.functions +
		fmt.Sprintf(noteDigest, body.digest) +
		end, nil
}

// The settings last until the end of the transaction: without one, which psql -1 begins, the guard finds its own gone.
const scriptHead = `-- Procrastinate %s, tables and functions. Install with: psql -1 -v ON_ERROR_STOP=1 -f FILE
-- It goes into the first schema of search_path. Refused where it is installed already, and changes nothing then:
-- "procrastinate migrate" brings up to date what there is.
set local client_min_messages = warning;
%sset local procrastinate.installing = 'yes';

do $block$
begin
    if current_setting('procrastinate.installing', true) is distinct from 'yes' then
        raise exception 'not in a transaction'
            using errcode = '25P01', hint = 'Run this file with psql -1 -v ON_ERROR_STOP=1.';
    end if;
    -- whoever migrates does so alone
    perform pg_advisory_xact_lock(%d);
    if exists (
        select from pg_class c
        where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relname in ('%s', 'procrastinate_install')
    ) then
        raise exception 'schema "%%" has Procrastinate already', current_schema()
            using errcode = 'PJ010', hint = 'Run "procrastinate migrate" without --print, or "alter extension procrastinate update" if it is one.';
    end if;
end;
$block$;

`

const scriptVersion = `
create table %s (version int4 not null);
insert into %s (version) values (%d);

`

const noteDigest = `
update procrastinate_install i set digest = '%s';
`

// body is what every way of installing has in common.
type body struct {
	migrations string
	count      int
	functions  string
	digest     string
}

func assemble() (body, error) {
	functions, digest, err := source()
	if err != nil {
		return body{}, err
	}
	migrations, err := loadMigrations()
	if err != nil {
		return body{}, err
	}
	var text strings.Builder
	for _, migration := range migrations {
		fmt.Fprintf(&text, "-- %s\n%s\n\n", migration.Name, migration.UpSQL)
	}
	return body{text.String(), len(migrations), functions, digest}, nil
}

// loadMigrations needs a migrator, but no connection.
func loadMigrations() ([]*migrate.Migration, error) {
	var migrator migrate.Migrator
	if err := migrator.LoadMigrations(sql.Migrations()); err != nil {
		return nil, fmt.Errorf("load migrations: %w", err)
	}
	return migrator.Migrations, nil
}
