package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func deferLines(cmd *cobra.Command, options *options, mine *deferOptions, words []string) error {
	faults := []error{options.wrong(), mine.check()}
	if mine.skip < 0 {
		faults = append(faults, fmt.Errorf("--skip-lines %d is below 0", mine.skip))
	}
	if len(words) > 0 {
		mine.given["task"] = words[0]
		faults = append(faults, worker.CheckTask(words[0]))
	}
	if len(words) > 1 {
		faults = append(faults, fmt.Errorf("%q is too much: with --from, args are in the lines", words[1]))
	}
	if err := joinUsage(faults...); err != nil {
		return err
	}
	in, size, err := openLines(mine.file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer in.Close()
	return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
		d := &lineDeferrer{
			lines:    newLineReader(in, mine.skip, mine.defaults()),
			size:     size,
			sql:      db.qualified(`select count(*) from procrastinate_defer_many($1::text::jsonb)`),
			last:     mine.skip,
			progress: newProgress(cmd.ErrOrStderr(), "deferring", "jobs", -1),
		}
		run := d.run
		if mine.single {
			run = d.runWhole
		}
		err := run(ctx, db.conn)
		d.progress.end()
		return errors.Join(d.report(cmd.OutOrStdout(), options), err)
	})
}

// openLines opens a file, whose size is known if it is a regular one, or stdin.
func openLines(name string, stdin io.Reader) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(stdin), 0, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		_ = file.Close()
		return nil, 0, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	if !info.Mode().IsRegular() {
		return file, 0, nil
	}
	return file, info.Size(), nil
}

// defaults is the beginning of a JSON object that holds what was given; empty if nothing was.
func (o *deferOptions) defaults() string {
	if len(o.given) == 0 {
		return ""
	}
	values := map[string]any{}
	for name, value := range o.given {
		values[name] = value
		if name == "metadata" {
			values[name] = json.RawMessage(value)
		}
	}
	text, _ := json.Marshal(values) // metadata was checked
	return strings.TrimSuffix(string(text), "}")
}

// lineDeferrer defers what a lineReader reads.
type lineDeferrer struct {
	lines    *lineReader
	size     int64 // of the file; 0: not known
	sql      string
	deferred int // jobs
	last     int // number of the last line that is deferred, or was left out
	progress *progress
}

// run defers batch after batch, each in a transaction, and tells how to go on after an error.
func (d *lineDeferrer) run(ctx context.Context, conn *pgx.Conn) error {
	err := d.work(ctx, func(ctx context.Context, jobs string) error {
		_, err := conn.Exec(ctx, d.sql, jobs)
		return err
	})
	fault, broken, skip := new(lineFault), new(brokenError), new(skipError)
	if errors.As(err, &fault) {
		d.last = fault.number - 1
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &skip):
		d.last = skip.lines
		return err
	case d.last == 0 && !errors.As(err, &broken):
		return err
	case errors.As(err, &fault):
		return fmt.Errorf("%w; those before it are deferred: mend it, then go on with --skip-lines %d", err, d.last)
	case errors.As(err, &broken):
		return fmt.Errorf("%w; go on with --skip-lines %d if they are not deferred, else with --skip-lines %d", err, d.last, broken.to)
	default:
		return fmt.Errorf("after line %d: %w; go on with --skip-lines %d", d.last, err, d.last)
	}
}

// runWhole defers all in one transaction, or nothing. Each batch has a savepoint, so that the line at fault can be found.
func (d *lineDeferrer) runWhole(ctx context.Context, conn *pgx.Conn) error {
	before, worked := d.last, false
	err := pgx.BeginFunc(context.WithoutCancel(ctx), conn, func(tx pgx.Tx) error {
		err := d.work(ctx, func(ctx context.Context, jobs string) error {
			return pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
				_, err := savepoint.Exec(ctx, d.sql, jobs)
				return err
			})
		})
		worked = err == nil
		return err
	})
	if err == nil {
		return nil
	}
	d.deferred, d.last = 0, before
	if broken := new(brokenError); errors.As(err, &broken) {
		err = fmt.Errorf("the connection broke: %w", broken.err)
	}
	if worked && !isAnswer(err) {
		return fmt.Errorf("the connection broke at the end: all jobs are deferred, or none: %w", err)
	}
	return fmt.Errorf("nothing was deferred: %w", err)
}

type sender func(ctx context.Context, jobs string) error

// work sends batch after batch. An interruption comes between two of them, so that it is known what is deferred.
func (d *lineDeferrer) work(ctx context.Context, send sender) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	batches := d.lines.start(reading)
	for {
		select {
		case <-ctx.Done():
			return errors.New("interrupted")
		case batch := <-batches:
			if err := d.deferBatch(context.WithoutCancel(ctx), send, batch.lines); err != nil {
				return err
			}
			if batch.end == io.EOF {
				return nil
			}
			if batch.end != nil {
				return batch.end
			}
			if d.size > 0 {
				d.progress.expect(1 + int64(float64(d.deferred)*float64(d.size)/float64(batch.offset)))
			}
			d.progress.add(len(batch.lines))
		}
	}
}

// deferBatch defers lines in one statement. If one of them is at fault, they go one by one up to it.
func (d *lineDeferrer) deferBatch(ctx context.Context, send sender, lines []line) error {
	if len(lines) == 0 {
		return nil
	}
	err := send(ctx, joinLines(lines))
	switch {
	case err == nil:
		d.deferred, d.last = d.deferred+len(lines), lines[len(lines)-1].number
		return nil
	case !isAnswer(err):
		return &brokenError{lines[0].number, lines[len(lines)-1].number, err}
	case !isOfLine(err):
		return told(err)
	case len(lines) == 1:
		return &lineFault{lines[0].number, errors.New(lineText(lines[0], err))}
	}
	for i := range lines {
		if err := d.deferBatch(ctx, send, lines[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func joinLines(lines []line) string {
	texts := make([][]byte, len(lines))
	for i, line := range lines {
		texts[i] = line.text
	}
	return "[" + string(bytes.Join(texts, []byte(","))) + "]"
}

// brokenError: the lines from … to were sent, and no answer came.
type brokenError struct {
	from, to int
	err      error
}

func (e *brokenError) Error() string {
	return fmt.Sprintf("the connection broke: lines %d to %d are deferred, or none of them: %v", e.from, e.to, e.err)
}

// isAnswer: the database refused, and rolled back. One that is shut down may have committed before.
func isAnswer(err error) bool {
	pgErr := new(pgconn.PgError)
	return errors.As(err, &pgErr) && pgErr.Severity != "FATAL" && pgErr.Severity != "PANIC"
}

// isOfLine: a value is at fault (22, 54, PJ), or a constraint (23).
func isOfLine(err error) bool {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return false
	}
	switch pgErr.Code[:2] {
	case "22", "23", "54", "PJ":
		return pgErr.Code != "PJ010"
	default:
		return false
	}
}

// elementNumber is how an error of procrastinate_defer_many says which of its jobs it means.
var elementNumber = regexp.MustCompile(`^invalid jobs: (element \d+[,:]? )?`)

// lineText is what the database says of a line, without its hint, which speaks of the array.
func lineText(one line, err error) string {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return err.Error()
	}
	var job map[string]json.RawMessage
	_ = json.Unmarshal(one.text, &job) // it is an object
	switch {
	case isConflict(err):
		return fmt.Sprintf("a job waits with queueing lock %s; see --on-conflict", job["queueing_lock"])
	case job["task"] == nil && strings.HasSuffix(pgErr.Message, "has no task"):
		return "no task, neither on the line nor as TASK"
	}
	text := elementNumber.ReplaceAllString(pgErr.Message, "")
	if pgErr.Detail != "" && pgErr.Detail != "Nothing was deferred." { // true of the array, here one line
		text += " (" + pgErr.Detail + ")"
	}
	return text
}

func (d *lineDeferrer) report(out io.Writer, options *options) error {
	if options.json {
		return printJSON(out, map[string]int{"deferred": d.deferred, "last_line": d.last})
	}
	_, err := fmt.Fprintf(out, "deferred %d jobs\n", d.deferred)
	return err
}
