package migrate

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// Extension is the control file and the script of Procrastinate as an extension of PostgreSQL.
func Extension() (control, script string, err error) {
	body, err := assemble()
	if err != nil {
		return "", "", err
	}
	control = fmt.Sprintf(extensionControl, worker.Version)
	script = extensionHead + body.migrations + "\n" + body.functions + fmt.Sprintf(noteDigest, body.digest) + extensionTail
	return control, script, nil
}

// Not for superusers only, nor trusted: both would make a superuser the owner of the functions, with whose rights they run.
const extensionControl = `comment = 'task queue: jobs are deferred in SQL and run by any program'
default_version = '%s'
relocatable = false
superuser = false
`

const extensionHead = `\echo Use "create extension procrastinate" to load this file. \quit

`

// The catalog lists what a dump takes along beside "create extension", which fills some tables itself.
const extensionTail = `
-- A dump brings all rows but those that create extension makes anew. Floors and ticks speak of one cluster's
-- transactions; without them all tokens and all of the agenda are looked at.
do $block$
declare
    v_table regclass;
begin
    -- one by one: each call writes the same row of pg_extension
    for v_table in
        select d.objid
        from pg_depend d
        join pg_class c on c.oid = d.objid
        join pg_extension e on e.oid = d.refobjid
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
          and e.extname = 'procrastinate' and c.relkind in ('r', 'S') and c.relname !~ '^procrastinate_(install|floors|ticks)'
        order by c.relname
    loop
        perform pg_extension_config_dump(v_table, case v_table when 'procrastinate_lanes'::regclass then 'where lane <> 0' else '' end);
    end loop;
end;
$block$;

-- Jobs may come from a dump of another cluster: the first worker looks after their hints.
update procrastinate_install i set system_identifier = null;
`

func refuseExtension(ctx context.Context, conn *pgx.Conn) error {
	version, err := extensionVersion(ctx, conn)
	if err != nil {
		return err
	}
	if version != "" {
		return fmt.Errorf(`%w: it belongs to the extension procrastinate %s; run "alter extension procrastinate update" in the database`,
			worker.ErrSchema, version)
	}
	return nil
}

// extensionVersion is that of the extension to which the tables in search_path belong; empty if they are not there, or
// were installed otherwise.
func extensionVersion(ctx context.Context, conn *pgx.Conn) (version string, err error) {
	err = conn.QueryRow(ctx, `
		select coalesce(max(e.extversion), '')
		from pg_depend d
		join pg_extension e on e.oid = d.refobjid
		where d.classid = 'pg_class'::regclass and d.objid = to_regclass('procrastinate_install')
		  and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'`).Scan(&version)
	if err != nil {
		return "", fmt.Errorf("look for the extension: %w", err)
	}
	return version, nil
}
