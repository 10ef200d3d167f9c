package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	batchSize  = 10_000
	maxPreview = 1_000_000
	sampleSize = 5
)

// bulk is an act on all jobs of a filter, in batches, after a look at what it would meet.
type bulk struct {
	filter      filter
	verb, past  string // retry, retried
	function    string
	arguments   map[string]any // those that the filter does not have
	yes, dryRun bool
}

func (b *bulk) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&b.yes, "yes", false, "do not ask")
	flags.BoolVar(&b.dryRun, "dry-run", false, "only show the jobs")
}

// preview is what an act would meet.
type preview struct {
	at     time.Time // of the database's clock
	Jobs   int64     `json:"jobs"`
	More   bool      `json:"more"`
	Sample []int64   `json:"sample"`
}

// total is for a progress bar: -1 if nobody knows.
func (p preview) total() int64 {
	if p.More {
		return -1
	}
	return p.Jobs
}

func (b *bulk) run(cmd *cobra.Command, options *options) error {
	asks := !b.yes && !b.dryRun
	if asks && !(isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr())) {
		return usageError{fmt.Errorf("nobody to ask whether to %s all these jobs: add --yes to do it, --dry-run to see which", b.verb)}
	}
	return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
		seen := preview{Jobs: -1} // not counted: that may take as long as the act
		if b.dryRun || asks {
			var err error
			if seen, err = b.look(ctx, db); err != nil {
				return err
			}
			if b.dryRun {
				return b.show(ctx, db, options, cmd.OutOrStdout(), seen)
			}
			asking := *options
			asking.json = false
			if err := b.show(ctx, db, &asking, cmd.ErrOrStderr(), seen); err != nil {
				return err
			}
			if seen.Jobs > 0 {
				if err := confirm(ctx, cmd.InOrStdin(), cmd.ErrOrStderr(), b.verb+" them?"); err != nil {
					return err
				}
			}
		} else if err := db.conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&seen.at); err != nil {
			return err
		}
		done, err := b.act(ctx, db, cmd.ErrOrStderr(), seen)
		if err != nil {
			return fmt.Errorf("%s %s: %w", jobCount(done), b.past, err)
		}
		if options.json {
			return printJSON(cmd.OutOrStdout(), map[string]int64{"jobs": done})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", jobCount(done), b.past)
		return err
	})
}

// look counts the jobs, up to a limit.
func (b *bulk) look(ctx context.Context, db *database) (seen preview, err error) {
	var args arguments
	from, err := b.filter.from(ctx, db, &args)
	if err != nil {
		return seen, err
	}
	sql := `select clock_timestamp(), count(*), coalesce((array_agg(m.id))[1:` + args.add(sampleSize) + `::integer], '{}')
		from (select j.id` + from + ` and not j.abort_requested limit ` + args.add(maxPreview+1) + `::integer) m`
	err = db.conn.QueryRow(ctx, db.qualified(sql), args...).Scan(&seen.at, &seen.Jobs, &seen.Sample)
	if seen.Jobs > maxPreview {
		seen.Jobs, seen.More = maxPreview, true
	}
	return seen, told(err)
}

func (b *bulk) show(ctx context.Context, db *database, options *options, out io.Writer, seen preview) error {
	if options.json {
		return printJSON(out, seen)
	}
	many := jobCount(seen.Jobs)
	if seen.More {
		many = "more than " + many
	}
	fmt.Fprintf(out, "%s would be %s: %s\n", many, b.past, b.filter.words())
	if seen.Jobs == 0 {
		return nil
	}
	if seen.Jobs > int64(len(seen.Sample)) {
		fmt.Fprintf(out, "%d of them:\n", len(seen.Sample))
	}
	_, err := db.show(ctx, out, options, jobRow()+` from procrastinate_jobs j where j.id = any ($1) order by j.id`, seen.Sample)
	return err
}

var errInterrupted = errors.New("interrupted")

// act calls the function until it finds no more. An interrupt is heeded between two batches.
//
// Only what was there when it began: a job that was retried may fail again meanwhile, and be met again and again.
func (b *bulk) act(ctx context.Context, db *database, stderr io.Writer, seen preview) (done int64, err error) {
	var args arguments
	named := []string{
		"statuses => " + args.add(b.filter.statuses()) + "::text[]",
		"older_than => coalesce(" + args.add(b.filter.olderThan.interval()) + "::interval, '0') + (clock_timestamp() - " + args.add(seen.at) + "::timestamptz)",
		"max_jobs => " + args.add(batchSize),
	}
	if b.filter.task != "" {
		named = append(named, "task => "+args.add(b.filter.task))
	}
	if b.filter.queue != "" {
		named = append(named, "queue => "+args.add(b.filter.queue))
	}
	for name, value := range b.arguments {
		named = append(named, name+" => "+args.add(value))
	}
	sql := db.qualified("select " + b.function + "(" + strings.Join(named, ", ") + ")")

	bar := newProgress(stderr, b.past, "jobs", seen.total())
	defer bar.end()
	for ctx.Err() == nil {
		var count int64
		if err := db.conn.QueryRow(context.WithoutCancel(ctx), sql, args...).Scan(&count); err != nil {
			return done, told(err)
		}
		done += count
		bar.add(int(count))
		if count < batchSize {
			return done, nil
		}
	}
	return done, errInterrupted
}
