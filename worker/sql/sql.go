// Package sql makes handlers of SQL functions. The function gets the job's args as its one argument, of type jsonb, and
// runs in the transaction that finishes the job: what it does in the database happens exactly once, however often
// the worker dies or the job is tried. What it returns is the result, unless that is void or null. When it raises, all
// that it did is undone, and the attempt fails with the error's message, SQLSTATE, detail, hint and context.
//
//	create function bill(args jsonb) returns numeric …
//
// The rest of the job is in current_setting('procrastinate.job')::jsonb, with the names that programs are given (see package
// exec). The function has the rights of the worker's role, and its search_path; write the name with its schema.
//
// A connection is taken for as long as the function runs. Many at once belong into a pool of their own (NewPool), so
// that the worker still gets to beat.
package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// How long a cancelled function may take to end, and a rollback, before the connection is given up. Both together are less
// than it takes a worker to call a handler stuck.
const (
	cancelWait   = 4 * time.Second
	rollbackWait = 3 * time.Second
)

// NewPool makes a pool for as many handlers as may run at once. The functions of cancelled handlers are cancelled in the
// database, and their connections used again.
func NewPool(ctx context.Context, config *pgxpool.Config, concurrency int) (*pgxpool.Pool, error) {
	config = config.Copy()
	config.MaxConns = int32(min(max(concurrency, 1), 10_000))
	config.MinConns = 0
	config.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelWait}
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// database is the part of *pgxpool.Pool that a handler needs.
type database interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

type function struct {
	db  database
	sql string
}

// Handler makes a handler of a function's name, with or without its schema, written as in SQL. It does not ask the
// database, for which there is Check.
func Handler(db database, name string) (worker.Handler, error) {
	identifier, err := parseName(name)
	if err != nil {
		return nil, err
	}
	// Void has no JSON, and a null is no result. Without the offset a stable function would be called for each mention.
	return (&function{db, `
		select case when pg_typeof(r.result) <> 'void'::regtype then nullif(to_jsonb(r) -> 'result', 'null') end
		from (select ` + identifier.Sanitize() + `($1::jsonb) as result offset 0) r`}).handle, nil
}

func (f *function) handle(ctx context.Context, job *worker.Job) (any, error) {
	err := f.run(ctx, job)
	cause := context.Cause(ctx)
	var raised *pgconn.PgError
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &raised) && !(cause != nil && raised.Code == canceled):
		return nil, &functionError{raised, err}
	case cause != nil:
		return nil, cause
	default:
		return nil, err
	}
}

const canceled = "57014"

// run commits the function's effects and the end of the job, or neither.
func (f *function) run(ctx context.Context, job *worker.Job) error {
	tx, err := f.db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackWait)
		defer cancel()
		_ = tx.Rollback(ctx) // says only that it was committed, or that the connection is closed, which rolls back as well
	}()
	result, err := f.call(ctx, tx, job)
	if err != nil {
		return err
	}
	if err := worker.FinishTx(ctx, tx, result); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// call returns the result as JSON, or an untyped nil.
func (f *function) call(ctx context.Context, tx pgx.Tx, job *worker.Job) (any, error) {
	rest := *job
	rest.Args = nil
	about, err := json.Marshal(&rest)
	if err != nil {
		return nil, fmt.Errorf("encode job: %w", err)
	}
	var result []byte
	batch := &pgx.Batch{}
	batch.Queue(`select set_config('procrastinate.job', $1::text, true)`, string(about))
	batch.Queue(f.sql, string(job.Args)).QueryRow(func(row pgx.Row) error { return row.Scan(&result) })
	if err := tx.SendBatch(ctx, batch).Close(); err != nil || result == nil {
		return nil, err
	}
	return json.RawMessage(result), nil
}

// maxContext bounds the lines that say where a function was, which a recursion makes many.
const maxContext = 2 << 10

// functionError has all that the database said in its text.
type functionError struct {
	raised *pgconn.PgError
	err    error
}

func (e *functionError) Unwrap() error { return e.err }

func (e *functionError) Error() string {
	text := fmt.Sprintf("%s (SQLSTATE %s)", e.raised.Message, e.raised.Code)
	where := e.raised.Where
	if len(where) > maxContext {
		where = where[:maxContext] + "…"
	}
	for _, part := range []struct{ name, text string }{{"DETAIL", e.raised.Detail}, {"HINT", e.raised.Hint}, {"CONTEXT", where}} {
		if part.text != "" {
			text += "\n" + part.name + ": " + part.text
		}
	}
	return text
}
