package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

// errNotCurrent ends migrate --status, which has said already what is missing.
var errNotCurrent = fmt.Errorf("%w: not current", errSaid)

func migrateCommand(options *options) *cobra.Command {
	var status, script bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Install the tables and functions, or bring them up to date",
		Long: "Install the tables and functions in a database, or bring them up to date. Safe to run twice, also at once.\n" +
			"Needs a direct connection, not one through a transaction pooler, and a role that may create tables.",
		Example: "  procrastinate migrate --database-url postgres://app@localhost/app\n" +
			"  procrastinate migrate --status\n" +
			"  procrastinate migrate --print > install.sql && psql \"$DATABASE_URL\" -1 -v ON_ERROR_STOP=1 -f install.sql",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if status && script {
				return usageError{errors.New("--status asks a database, --print needs none: one of them")}
			}
			if script {
				return printScript(options, cmd.OutOrStdout())
			}
			if options.pooler {
				return usageError{errors.New("migrate needs a direct connection, not one through a --pooler; if PROCRASTINATE_POOLER is set: --pooler=false --database-url URL")}
			}
			return withConn(cmd.Context(), options, func(ctx context.Context, conn *pgx.Conn) error {
				if status {
					return printStatus(ctx, conn, options, cmd.OutOrStdout())
				}
				return migrateUp(ctx, conn, options, cmd.OutOrStdout())
			})
		},
	}
	cmd.Flags().BoolVar(&status, "status", false, "print what is installed and change nothing; exit 1 if it is not current")
	cmd.Flags().BoolVar(&script, "print", false, "print SQL that installs the same; needs no database")
	return cmd
}

func printScript(options *options, out io.Writer) error {
	if options.json {
		return usageError{errors.New("--print prints SQL, not JSON")}
	}
	if err := joinUsage(options.wrong()); err != nil {
		return err
	}
	script, err := migrate.Script(options.schema)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, script)
	return err
}

func withConn(ctx context.Context, options *options, do func(context.Context, *pgx.Conn) error) error {
	if err := joinUsage(options.wrong()); err != nil {
		return err
	}
	config, err := options.connConfig()
	if err != nil {
		return err
	}
	conn, err := migrate.Connect(ctx, config, options.schema)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	return do(ctx, conn)
}

func migrateUp(ctx context.Context, conn *pgx.Conn, options *options, out io.Writer) error {
	report, err := migrate.Up(ctx, conn, options.schema)
	if err != nil {
		return err
	}
	if options.json {
		return printJSON(out, map[string]any{
			"created_schema": report.CreatedSchema, "migrations": append([]string{}, report.Migrations...),
			"functions": report.Functions, "version": worker.Version,
		})
	}
	var lines strings.Builder
	if report.CreatedSchema {
		fmt.Fprintf(&lines, "created schema %s\n", options.schema)
	}
	for _, name := range report.Migrations {
		fmt.Fprintf(&lines, "migrated %s\n", name)
	}
	if report.Functions {
		fmt.Fprintf(&lines, "installed functions %s\n", worker.Version)
	}
	if report.Nothing() {
		fmt.Fprintln(&lines, "nothing to do")
	}
	_, err = io.WriteString(out, lines.String())
	return err
}

func printStatus(ctx context.Context, conn *pgx.Conn, options *options, out io.Writer) error {
	status, err := migrate.Look(ctx, conn)
	if err != nil {
		return err
	}
	schema := cmp.Or(options.schema, status.Schema)
	if options.json {
		err = printJSON(out, map[string]any{
			"schema": schema, "migrations": status.Installed, "available": status.Available, "extension": orNull(status.Extension),
			"functions": orNull(status.Version), "current": status.Current(),
		})
	} else {
		_, err = io.WriteString(out, statusText(schema, status))
	}
	if err == nil && !status.Current() {
		err = errNotCurrent
	}
	return err
}

func statusText(schema string, status migrate.Status) string {
	tables := fmt.Sprintf("migrations %d of %d", status.Installed, status.Available)
	if status.Extension != "" {
		tables = "extension  " + status.Extension
	}
	functions := "missing"
	switch {
	case status.Functions:
		functions = status.Version + ", current"
	case status.Foreign && status.Version == worker.Version:
		functions = status.Version + ", installed by other means; migrate will install them once more"
	case status.Version != "":
		functions = status.Version + ", not current"
	}
	return fmt.Sprintf("schema     %s\n%s\nfunctions  %s\n", schema, tables, functions)
}

// orNull is JSON's null for nothing.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
