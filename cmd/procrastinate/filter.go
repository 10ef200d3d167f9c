package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var (
	endedStatuses = []string{"succeeded", "failed", "cancelled", "aborted"}
	allStatuses   = []string{"todo", "doing", "succeeded", "failed", "cancelled", "aborted"}
)

// filter says by flags which jobs are meant. What is not given does not matter.
type filter struct {
	task, queue, lock string
	named             []string // --status
	short             []string // --failed and the like
	allowed, usual    []string // usual: when no status was asked for
	olderThan         span
	before            int
}

func (f *filter) addNames(flags *pflag.FlagSet) {
	flags.StringVar(&f.task, "task", "", "only of this `task`")
	flags.StringVar(&f.queue, "queue", "", "only of this `queue`")
}

// addStatuses adds --status and a short form of each of its values.
func (f *filter) addStatuses(cmd *cobra.Command, allowed []string, usage string) {
	flags := cmd.Flags()
	f.allowed = allowed
	flags.StringSliceVar(&f.named, "status", nil, usage+": "+strings.Join(allowed, ", "))
	for _, status := range allowed {
		flags.BoolFunc(status, "short for --status "+status, func(text string) error {
			on, err := strconv.ParseBool(text)
			if on {
				f.short = append(f.short, status)
			}
			return err
		})
	}
	choices(cmd, "status", allowed...)
}

func (f *filter) addOlderThan(flags *pflag.FlagSet, usage string) {
	flags.Var(&f.olderThan, "older-than", usage+", as in 90m, 12h or 30d")
}

func (f *filter) statuses() []string {
	statuses := slices.Concat(f.named, f.short)
	if len(statuses) == 0 {
		return f.usual
	}
	slices.Sort(statuses)
	return slices.Compact(statuses)
}

// given: some flag says which jobs.
func (f *filter) given() bool {
	return len(f.named)+len(f.short) > 0 || f.task != "" || f.queue != "" || f.olderThan.given
}

// check names what is wrong with the flags, those of the command itself.
func (f *filter) check(flags *pflag.FlagSet) error {
	faults := []error{emptyFlags(flags)}
	for _, status := range f.named {
		if !slices.Contains(f.allowed, status) {
			faults = append(faults, fmt.Errorf("invalid value %q for --status: want %s", status, strings.Join(f.allowed, ", ")))
		}
	}
	return errors.Join(faults...)
}

// emptyFlags refuses an empty value. It is a shell's unset variable, and to take it for a flag that was not given would
// let a command loose on all jobs there are.
func emptyFlags(flags *pflag.FlagSet) error {
	var faults []error
	flags.VisitAll(func(flag *pflag.Flag) {
		text := flag.Value.String()
		switch flag.Value.Type() {
		case "string":
			text = strings.TrimSpace(text)
		case "stringSlice":
			text = strings.Trim(text, "[]")
		default:
			return
		}
		if flag.Changed && text == "" {
			faults = append(faults, fmt.Errorf("empty --%s", flag.Name))
		}
	})
	return errors.Join(faults...)
}

// words describe the filter to a person.
func (f *filter) words() string {
	var words []string
	if f.task != "" {
		words = append(words, "task "+f.task)
	}
	if f.queue != "" {
		words = append(words, "queue "+f.queue)
	}
	words = append(words, strings.Join(f.statuses(), " or "))
	if f.olderThan.given {
		words = append(words, "older than "+f.olderThan.text)
	}
	return strings.Join(words, ", ")
}

// arguments are those of a statement, which names them by number.
type arguments []any

func (a *arguments) add(value any) string {
	*a = append(*a, value)
	return "$" + strconv.Itoa(len(*a))
}

// hint is a query for the ids among which all jobs of a status are. What waits is in the hints and what runs in the
// leases, so the jobs that ended need not be read, which may be millions: no index knows a status.
func (f *filter) hint(status string, args *arguments) string {
	switch status {
	case "todo":
		lanes := "l.kind in ('plain', 'returned')"
		if f.queue != "" {
			lanes += " and l.queue_name = " + args.add(f.queue)
		}
		if f.task != "" {
			lanes += " and l.task_name = " + args.add(f.task)
		}
		return `select t.id from procrastinate_lanes l
			cross join lateral (select x.id from procrastinate_tokens x where x.lane = l.lane offset 0) t where ` + lanes + `
			union all select a.id from procrastinate_agenda a
			union all select q.job_id from procrastinate_lock_queue q where not q.held`
	case "doing":
		return `select unnest(l.job_ids) from procrastinate_leases l`
	default:
		return ""
	}
}

// maxHints is how many hints are looked up one by one. Of more, the jobs themselves are quicker to read.
const maxHints = 10_000

// hinted are the ids among which all jobs of the filter are, if that is known of few.
func (f *filter) hinted(ctx context.Context, db *database) (ids []int64, few bool, err error) {
	var args arguments
	var sources []string
	for _, status := range f.statuses() {
		source := f.hint(status, &args)
		if source == "" {
			return nil, false, nil
		}
		sources = append(sources, source)
	}
	if len(sources) == 0 {
		return nil, false, nil
	}
	sql := "select h.id from (" + strings.Join(sources, " union all ") + ") h(id) limit " + args.add(maxHints+1)
	rows, err := db.conn.Query(ctx, db.qualified(sql), args...)
	if err == nil {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	return ids, len(ids) <= maxHints, told(err)
}

// from is the from clause and the where clause that give the jobs as j.
func (f *filter) from(ctx context.Context, db *database, args *arguments) (string, error) {
	wanted := []string{"true"}
	want := func(condition string, value any) {
		wanted = append(wanted, strings.ReplaceAll(condition, "?", args.add(value)))
	}
	ids, few, err := f.hinted(ctx, db)
	if err != nil {
		return "", err
	}
	if few {
		want("j.id = any (?::bigint[])", ids)
	}
	if f.before > 0 {
		want("j.id < ?", f.before)
	}
	statuses := f.statuses()
	if len(statuses) > 0 {
		want("j.status = any (?::text[]::procrastinate_job_status[])", statuses)
	}
	if slices.Equal(statuses, []string{"failed"}) {
		wanted = append(wanted, "j.error is not null") // has an index
	}
	if f.task != "" {
		want("j.task_name = ?", f.task)
	}
	if f.queue != "" {
		want("j.queue_name = ?", f.queue)
	}
	if f.lock != "" {
		want("j.lock = ?", f.lock)
	}
	if f.olderThan.given {
		want("case j.status when 'todo' then j.deferred_at when 'doing' then j.started_at else j.finished_at end < clock_timestamp() - ?::interval",
			f.olderThan.interval())
	}
	return " from procrastinate_jobs j where " + strings.Join(wanted, " and "), nil
}
