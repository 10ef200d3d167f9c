package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

// installed calls use with a new schema that has everything in it, and drops the schema.
func installed(ctx context.Context, url, schema string, use func(conn *pgx.Conn) error) (err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	conn, err := migrate.Connect(ctx, config, schema)
	if err != nil {
		return err
	}
	defer func() {
		// the connection may be gone, if ctx was cancelled
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
		err = errors.Join(err, dropSchema(ctx, config, schema))
	}()
	if _, err := migrate.Up(ctx, conn, schema); err != nil {
		return err
	}
	return use(conn)
}

func dropSchema(ctx context.Context, config *pgx.ConnConfig, schema string) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "drop schema if exists "+pgx.Identifier{schema}.Sanitize()+" cascade")
	return err
}

// psql's settings that show in what it prints; what comes after them is echoed.
const sessionSQL = `
set client_min_messages = warning;
set timezone = 'UTC';
set datestyle = 'ISO';
set intervalstyle = 'postgres';
set statement_timeout = '20s';
\set ECHO all
`

var (
	blanksAtEnd = regexp.MustCompile(`[ \t]+\n`)
	rowCount    = regexp.MustCompile(`(?m)^\([1-9][0-9]* rows?\)\n`) // that there are none is worth saying
	emptyLines  = regexp.MustCompile(`\n{3,}`)
	remark      = regexp.MustCompile(`\n+(-- )`) // psql does not echo the empty line before it
)

// session is what psql shows for the statements of a file, them included, in a new schema. An error in it is an error.
func session(ctx context.Context, url, schema, file string) (shown string, err error) {
	statements, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	err = installed(ctx, url, schema, func(*pgx.Conn) error {
		var out, errs bytes.Buffer
		psql := exec.CommandContext(ctx, "psql", "-Xq", "-v", "ON_ERROR_STOP=1", url)
		psql.Env = append(os.Environ(), "PGCLIENTENCODING=UTF8")
		psql.Stdin = strings.NewReader("set search_path = " + pgx.Identifier{schema}.Sanitize() + ";" + sessionSQL + string(statements))
		psql.Stdout, psql.Stderr = &out, &errs
		if err := psql.Run(); err != nil || errs.Len() > 0 {
			return fmt.Errorf("%s: psql: %v: %s", file, err, errs.String())
		}
		shown = blanksAtEnd.ReplaceAllString(out.String(), "\n")
		shown = rowCount.ReplaceAllString(shown, "")
		shown = remark.ReplaceAllString(shown, "\n\n$1")
		shown = strings.TrimSpace(emptyLines.ReplaceAllString(shown, "\n\n")) + "\n"
		return nil
	})
	return shown, err
}
