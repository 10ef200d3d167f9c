package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// deferParams are the parameters of procrastinate_defer that have a flag. What is not given is left to its default.
var deferParams = []struct{ flag, name, kind, usage string }{
	{"queue", "queue", "text", "`name` of its queue (default: the task's, else default)"},
	{"priority", "priority", "integer", "higher `number` runs first (default: the task's, else 0)"},
	{"lock", "lock", "text", "`name` of a lock: jobs sharing it run one at a time"},
	{"queueing-lock", "queueing_lock", "text", "`name` of a queueing lock: at most one waiting job has it"},
	{"at", "schedule_at", "timestamptz", "not before this `time`: 2030-01-31T09:00Z, or 'tomorrow 9:00'"},
	{"in", "schedule_in", "interval", "not before this span from now, as in 90s, 1h30m or 2d"},
	{"max-attempts", "max_attempts", "integer", "`number` of times it may run (default: the task's, else 1)"},
	{"timeout", "timeout", "interval", "bound of an attempt, as in 90s (default: the task's, else none)"},
	{"on-conflict", "on_conflict", "text", "`choice` when a job waits with it: error, skip, replace or update"},
	{"metadata", "metadata", "jsonb", "JSON `object`, handed to the worker as it is"},
}

// deferOptions are those of the command defer.
type deferOptions struct {
	file   string
	single bool
	skip   int
	given  map[string]string // the values of deferParams that were given, by name
}

func deferCommand(options *options) *cobra.Command {
	mine := &deferOptions{}
	cmd := &cobra.Command{
		Use:   "defer TASK [key=value… | JSON-OBJECT]",
		Short: "Defer a job, or many from a file",
		Long: "Defer a job and print its id. Its args are strings (key=value), JSON values (key:=3), or one JSON object.\n\n" +
			"With --from, each line of a file (- is stdin) is a job: a JSON object with the keys task, args, queue,\n" +
			"priority, lock, queueing_lock, schedule_at, schedule_in, max_attempts, timeout, on_conflict, metadata. TASK\n" +
			"and the flags are for lines that lack theirs. A thousand lines at most are one transaction. A bad line ends\n" +
			"it, is named, and those before it stay deferred: mend it, then go on with --skip-lines (--json prints their\n" +
			"number as last_line). A line that on_conflict spared counts as deferred.",
		Example: "  procrastinate defer send_email to=ada@example.org retries:=3 --in 10m\n" +
			"  procrastinate defer send_email '{\"to\": \"ada@example.org\"}' --queue mail\n" +
			"  procrastinate defer --from jobs.ndjson\n" +
			"  jq -c '{args: .}' people.ndjson | procrastinate defer send_email --from -",
		ValidArgsFunction: complete(options, taskNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			mine.readFlags(cmd)
			if mine.file != "" {
				return deferLines(cmd, options, mine, args)
			}
			return deferOne(cmd, options, mine, args)
		},
	}
	flags := cmd.Flags()
	for _, param := range deferParams {
		switch param.kind {
		case "integer":
			flags.Int32(param.flag, 0, param.usage)
			flags.Lookup(param.flag).DefValue = "0" // not shown
		case "interval":
			spanFlag(flags, param.flag, param.usage)
		default:
			flags.String(param.flag, "", param.usage)
		}
	}
	flags.StringVar(&mine.file, "from", "", "defer a job for each line of this `file`")
	flags.BoolVar(&mine.single, "single-transaction", false, "with --from: all lines or none")
	flags.IntVar(&mine.skip, "skip-lines", 0, "with --from: `number` of lines to leave out at the beginning")
	choices(cmd, "on-conflict", "error", "skip", "replace", "update")
	return cmd
}

func (o *deferOptions) readFlags(cmd *cobra.Command) {
	o.given = map[string]string{}
	for _, param := range deferParams {
		if flag := cmd.Flags().Lookup(param.flag); flag.Changed {
			o.given[param.name] = flag.Value.String()
			if length, isSpan := flag.Value.(*span); isSpan {
				o.given[param.name] = length.sql()
			}
		}
	}
}

func deferOne(cmd *cobra.Command, options *options, mine *deferOptions, words []string) error {
	faults := []error{options.wrong(), mine.check()}
	if mine.single || mine.skip != 0 {
		faults = append(faults, errors.New("--single-transaction and --skip-lines are for --from"))
	}
	if len(words) == 0 {
		return joinUsage(append(faults, errors.New("which task? Name it, or --from a file"))...)
	}
	args, err := parseArgs(words[1:])
	if err := joinUsage(append(faults, worker.CheckTask(words[0]), err)...); err != nil {
		return err
	}
	sql, values := `task => $1::text, args => $2::text::jsonb`, []any{words[0], args}
	for _, param := range deferParams {
		if value, given := mine.given[param.name]; given {
			values = append(values, value)
			sql += fmt.Sprintf(", %s => $%d::text::%s", param.name, len(values), param.kind)
		}
	}
	return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
		var id int64
		err := db.conn.QueryRow(ctx, db.qualified(`select procrastinate_defer(`)+sql+`)`, values...).Scan(&id)
		if err != nil {
			return toldOf(cmd.Flags(), mine.conflict(ctx, db, err))
		}
		return printID(cmd.OutOrStdout(), options, id)
	})
}

func printID(out io.Writer, options *options, id int64) error {
	if options.json {
		return printJSON(out, map[string]int64{"id": id})
	}
	_, err := fmt.Fprintln(out, id)
	return err
}

// check finds what the database would word in terms of its own types.
func (o *deferOptions) check() error {
	if metadata, given := o.given["metadata"]; given && !isObject(metadata) {
		return fmt.Errorf("--metadata %q is not a JSON object", metadata)
	}
	_, at := o.given["schedule_at"]
	if _, in := o.given["schedule_in"]; at && in {
		return errors.New("--at and --in: one of them")
	}
	return nil
}

// conflict names the job that has the queueing lock already.
func (o *deferOptions) conflict(ctx context.Context, db *database, err error) error {
	if !isConflict(err) {
		return err
	}
	return plainError{whoWaits(ctx, db, o.given["queueing_lock"]) + "; see --on-conflict", err}
}

// whoWaits names the job that has a queueing lock.
func whoWaits(ctx context.Context, db *database, lock string) string {
	who := "a job"
	var id int64
	if db.conn.QueryRow(ctx, db.qualified(`select q.job_id from procrastinate_queueing_locks q where q.queueing_lock = $1`), lock).Scan(&id) == nil {
		who = fmt.Sprintf("job %d", id) // may be gone by now, or not ours to see
	}
	return who + " waits with queueing lock " + lock
}

func isConflict(err error) bool {
	pgErr := new(pgconn.PgError)
	return errors.As(err, &pgErr) && pgErr.Code == "23505" && strings.Contains(pgErr.ConstraintName, "queueing_lock")
}

// parseArgs makes a JSON object of one, or of key=value and key:=json words.
func parseArgs(words []string) (string, error) {
	if len(words) == 1 && strings.HasPrefix(strings.TrimSpace(words[0]), "{") {
		if !isObject(words[0]) {
			return "", fmt.Errorf("args %q are not a JSON object", words[0])
		}
		return words[0], nil
	}
	args := map[string]json.RawMessage{}
	for _, word := range words {
		key, value, found := strings.Cut(word, "=")
		name, isJSON := strings.CutSuffix(key, ":")
		switch {
		case !found || name == "" || !utf8.ValidString(word):
			return "", fmt.Errorf("argument %q is neither key=value, key:=json nor the one JSON object", word)
		case args[name] != nil:
			return "", fmt.Errorf("argument %q is given twice", name)
		case !isJSON:
			args[name], _ = json.Marshal(value) // a string always can be
		case !json.Valid([]byte(value)):
			return "", fmt.Errorf("argument %q: %q is not JSON (a string is %s=%s)", name, value, name, value)
		default:
			args[name] = json.RawMessage(value)
		}
	}
	text, err := json.Marshal(args)
	return string(text), err
}

func isObject(text string) bool {
	return strings.HasPrefix(strings.TrimSpace(text), "{") && json.Valid([]byte(text)) && utf8.ValidString(text)
}
