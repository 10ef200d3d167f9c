package main

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// told makes an error of the database one for people: with the facts and the advice that came with it, and as wrong use
// if it takes an argument for invalid.
func told(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	isTime := pgErr.Code == "22007" || pgErr.Code == "22008"
	if !isTime && !strings.HasPrefix(pgErr.Code, "PJ") {
		return err
	}
	text := pgErr.Message
	if more := strings.TrimSpace(pgErr.Detail + " " + pgErr.Hint); more != "" {
		text += " (" + more + ")"
	}
	translated := plainError{text, worker.Translate(err)}
	if isTime || errors.Is(translated, worker.ErrInvalid) {
		return usageError{translated}
	}
	return translated
}

// plainError is an error in other words.
type plainError struct {
	text string
	error
}

func (e plainError) Error() string { return e.text }

func (e plainError) Unwrap() error { return e.error }
