package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/pflag"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// tell prints an error, each of its lines so that it can be found in a log.
func tell(out io.Writer, err error) {
	before := "procrastinate: "
	if usage := (usageError{}); errors.As(err, &usage) {
		before += "wrong use: "
	}
	for _, line := range tellLines(err) {
		fmt.Fprintln(out, before+line)
	}
}

// tellLines are the lines of an error. One that is indented goes on with the line before: that is how pgx tells each
// attempt to connect, also one with TLS and one without that failed alike.
func tellLines(err error) (lines []string) {
	var attempts []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		switch attempt, indented := strings.CutPrefix(line, "\t"); {
		case line == "":
		case !indented || len(lines) == 0:
			lines, attempts = append(lines, strings.TrimSpace(line)), nil
		case !slices.Contains(attempts, attempt):
			between := " "
			if len(attempts) > 0 {
				between = "; "
			}
			lines[len(lines)-1] += between + attempt
			attempts = append(attempts, attempt)
		}
	}
	return lines
}

// told makes an error of the database one for people: with the facts and the advice that came with it, and as wrong use
// if it takes an argument for invalid.
func told(err error) error {
	var pgErr *pgconn.PgError
	if before := (plainError{}); errors.As(err, &before) || !errors.As(err, &pgErr) {
		return err
	}
	isValue := strings.HasPrefix(pgErr.Code, "22")
	switch {
	case pgErr.Code == notAllowed:
		return lacking("select", err)
	case !isValue && !strings.HasPrefix(pgErr.Code, "PJ"):
		return err
	}
	text := pgErr.Message
	if more := strings.TrimSpace(pgErr.Detail + " " + commands.Replace(pgErr.Hint)); more != "" {
		text += " (" + more + ")"
	}
	translated := plainError{text, worker.Translate(err)}
	if isValue || errors.Is(translated, worker.ErrInvalid) || errors.Is(translated, worker.ErrArgs) {
		return usageError{translated}
	}
	return translated
}

// commands are what the database's advice is here.
var commands = strings.NewReplacer(
	"procrastinate_change_job", "procrastinate jobs change",
	"procrastinate_delete_jobs", "procrastinate jobs delete",
	"procrastinate_cancel_jobs", "procrastinate jobs cancel",
	"abort => true", "--abort",
	"The view procrastinate_schedule_status", "procrastinate schedules",
)

const notAllowed = "42501"

var deniedObject = regexp.MustCompile(`^permission denied for (function|schema|table|view) (\S+)$`)

// lacking says what a role must be granted. The privilege is that on a table, which the database does not tell.
func lacking(privilege string, err error) error {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) || pgErr.Code != notAllowed {
		return err
	}
	text := pgErr.Message
	if denied := deniedObject.FindStringSubmatch(text); denied != nil {
		object := denied[2]
		switch denied[1] {
		case "function":
			privilege, object = "execute", "function "+object
		case "schema":
			privilege, object = "usage", "schema "+object
		}
		text += fmt.Sprintf(" (needed: grant %s on %s)", privilege, object)
	}
	return plainError{text, err}
}

var invalidParameter = regexp.MustCompile(`^invalid (\w+): `)

// toldOf is told, with the flag at fault instead of the parameter.
func toldOf(flags *pflag.FlagSet, err error) error {
	err = told(err)
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return err
	}
	if at := flags.Lookup("at"); at != nil && at.Changed && (pgErr.Code == "22007" || pgErr.Code == "22008") {
		text := fmt.Sprintf("invalid value %q for --at: want a time, as in 2030-01-31T09:00Z or 'tomorrow 9:00'", at.Value)
		return usageError{plainError{text, err}}
	}
	if named := invalidParameter.FindStringSubmatch(err.Error()); named != nil {
		name := strings.ReplaceAll(strings.TrimPrefix(named[1], "schedule_"), "_", "-")
		if flag := flags.Lookup(name); flag != nil && flag.Changed {
			return usageError{plainError{"invalid --" + name + ": " + err.Error()[len(named[0]):], err}}
		}
	}
	return err
}

// plainError is an error in other words.
type plainError struct {
	text string
	error
}

func (e plainError) Error() string { return e.text }

func (e plainError) Unwrap() error { return e.error }
