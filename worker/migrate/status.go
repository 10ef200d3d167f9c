package migrate

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"

	"github.com/procrastinate-pg/procrastinate/sql"
)

// Status is what is installed, against what this program carries.
type Status struct {
	Schema    string // the first in search_path; empty if there is none
	Installed int    // migrations that were run
	Available int    // migrations there are
	Version   string // of the installed functions; empty if there are none
	Functions bool   // whether they are the ones of this program, as far as Up can know
	Extension string // version of the extension that all of it belongs to; empty if it was installed otherwise
	Foreign   bool   // whether they were installed by other means than Up, which will install them once more
}

// Current says that there is nothing to do: for Up, or for "alter extension procrastinate update".
func (s Status) Current() bool {
	return (s.Installed == s.Available || s.Extension != "") && s.Functions
}

// Look reads the status and changes nothing.
func Look(ctx context.Context, conn *pgx.Conn) (status Status, err error) {
	paths, err := migrate.FindMigrations(sql.Migrations())
	if err != nil {
		return status, fmt.Errorf("find migrations: %w", err)
	}
	status.Available = len(paths)
	if status.Extension, err = extensionVersion(ctx, conn); err != nil {
		return status, err
	}
	var versions, install bool
	err = conn.QueryRow(ctx, `
		select coalesce(current_schema(), ''),
		       to_regclass('`+versionTable+`') is not null,
		       to_regclass('procrastinate_install') is not null`).Scan(&status.Schema, &versions, &install)
	if err != nil {
		return status, fmt.Errorf("look for the schema: %w", err)
	}
	if versions {
		err = conn.QueryRow(ctx, `select v.version from `+versionTable+` v`).Scan(&status.Installed)
		if err != nil {
			return status, fmt.Errorf("read schema version: %w", err)
		}
	}
	if install {
		_, digest, err := source()
		if err != nil {
			return status, err
		}
		err = conn.QueryRow(ctx,
			`select coalesce(i.version, ''), coalesce(i.digest = $1, false), i.version is not null and i.digest is null
			 from procrastinate_install i`, digest,
		).Scan(&status.Version, &status.Functions, &status.Foreign)
		if err != nil {
			return status, fmt.Errorf("read installed version: %w", err)
		}
	}
	return status, nil
}
