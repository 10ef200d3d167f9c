package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// What the database refuses, by SQLSTATE. Ask with errors.Is.
var (
	// ErrInvalid: an argument is not acceptable; the message names it (PJ001).
	ErrInvalid = errors.New("invalid argument")
	// ErrNotHeld: the job was cancelled, rescued or already finished (PJ002).
	ErrNotHeld = errors.New("job not held by worker")
	// ErrNotRegistered: the worker was silent for too long and was removed (PJ003).
	ErrNotRegistered = errors.New("worker not registered")
	// ErrNoJob: there is no such job, or no more (PJ004).
	ErrNoJob = errors.New("no such job")
	// ErrJobStatus: the job's status does not allow what was asked (PJ005).
	ErrJobStatus = errors.New("job status does not allow it")
	// ErrCron: a cron expression or time zone is not valid (PJ006).
	ErrCron = errors.New("invalid schedule")
	// ErrUnknownName: no such task or schedule (PJ007).
	ErrUnknownName = errors.New("unknown name")
	// ErrArgs: the job's args are not acceptable (PJ008).
	ErrArgs = errors.New("args not acceptable")
	// ErrIsolation: fetching needs READ COMMITTED (PJ009).
	ErrIsolation = errors.New("wrong isolation level")
	// ErrSchema: the schema is missing or of another version than this program (PJ010).
	ErrSchema = errors.New("schema does not fit this program")
)

// Why a handler's context was cancelled: context.Cause tells which.
var (
	// ErrAborted: somebody asked to abort the job.
	ErrAborted = errors.New("job aborted")
	// ErrTimeout: the attempt took longer than the job's timeout.
	ErrTimeout = errors.New("job timed out")
	// ErrShutdown: the worker stops and waits no longer; the job is given back.
	ErrShutdown = errors.New("worker is shutting down")
	// ErrLostRegistration: the database removed the worker; nothing the handler returns will count.
	ErrLostRegistration = errors.New("worker lost its registration")
	// ErrOutOfTouch: the worker could not beat for so long that another may soon run this locked job.
	ErrOutOfTouch = errors.New("worker is out of touch with the database")
)

var (
	// ErrStuck: handlers ignored their cancellation; their jobs were not given back. Run returns it, naming them.
	ErrStuck = errors.New("handlers are stuck")
	// ErrUndelivered: the worker stopped before the database had accepted the end of every job.
	ErrUndelivered = errors.New("ends of jobs not delivered")
)

// Translate joins to a database error the sentinel of its SQLSTATE, if it is one of ours, and the database's hint: for
// who calls the functions himself. Other errors stay as they are.
func Translate(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	sentinel := sentinelOf(pgErr.Code)
	switch {
	case sentinel == nil:
		return err
	case pgErr.Hint == "":
		return fmt.Errorf("%w: %w", sentinel, err)
	default:
		return fmt.Errorf("%w: %w (%s)", sentinel, err, pgErr.Hint)
	}
}

func sentinelOf(sqlstate string) error {
	switch sqlstate {
	case "PJ001":
		return ErrInvalid
	case "PJ002":
		return ErrNotHeld
	case "PJ003":
		return ErrNotRegistered
	case "PJ004":
		return ErrNoJob
	case "PJ005":
		return ErrJobStatus
	case "PJ006":
		return ErrCron
	case "PJ007":
		return ErrUnknownName
	case "PJ008":
		return ErrArgs
	case "PJ009":
		return ErrIsolation
	case "PJ010":
		return ErrSchema
	default:
		return nil
	}
}

// sqlstate returns the code of a database error, and "" for anything else.
func sqlstate(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

func hasClass(code string, classes ...string) bool {
	for _, class := range classes {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// isBadData: a value in the message is at fault, so the same message would fail again.
func isBadData(err error) bool {
	return hasClass(sqlstate(err), "22", "54", "PJ001", "PJ008")
}

// isUnanswered: the call may have been committed although its answer never came. A database that reports
// an error has rolled back, unless it reports that the session itself is ending.
func isUnanswered(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return true
	}
	return pgErr.Severity == "FATAL" || pgErr.Severity == "PANIC" || hasClass(pgErr.Code, "08", "57P")
}

// isTransient: the same call may succeed later without anybody changing anything.
func isTransient(err error) bool {
	code := sqlstate(err)
	if code == "" {
		return !errors.Is(err, context.Canceled)
	}
	return hasClass(code, "08", "40", "53", "55", "57")
}
