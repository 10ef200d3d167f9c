package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
)

func repairCommand(options *options) *cobra.Command {
	lockTimeout := 10 * time.Second
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Give all jobs their place in the queue anew",
		Long: "Give all jobs their place in the queue anew, from what the jobs themselves say: after check found something.\n" +
			"No job is lost, and none runs twice. It asks no question, but it locks the table of jobs: while it runs,\n" +
			"nobody can defer, fetch or finish; they wait and then go on. It first waits for the transactions that are at\n" +
			"work on jobs, for --lock-timeout at most. Prints how much check finds before and after; exit status 1 if\n" +
			"something is left. A restored dump needs no repair: the first worker does it.",
		Example: "  procrastinate repair\n  procrastinate repair --lock-timeout 1m",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := joinUsage(options.wrong(), checkPositive(cmd.Flags())); err != nil {
				return err
			}
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				return repair(ctx, db, options, lockTimeout, cmd.OutOrStdout())
			})
		},
	}
	addDuration(cmd.Flags(), &lockTimeout, "lock-timeout", "how long to wait for the lock, and so hold up all others")
	return cmd
}

func repair(ctx context.Context, db *database, options *options, lockTimeout time.Duration, out io.Writer) error {
	found, err := db.broken(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	err = pgx.BeginFunc(ctx, db.conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `select set_config('lock_timeout', $1::text, true)`, fmt.Sprintf("%dms", max(1, lockTimeout.Milliseconds())))
		if err == nil {
			_, err = tx.Exec(ctx, db.qualified(`select procrastinate_repair()`))
		}
		return err
	})
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) && pgErr.Code == "55P03" {
		return fmt.Errorf("repaired nothing: some transaction kept the table of jobs for longer than %s (longer: --lock-timeout)", lockTimeout)
	}
	if err != nil {
		return told(err)
	}
	took := time.Since(begin)
	left, err := db.broken(ctx)
	if err != nil {
		return err
	}
	if options.json {
		err = printJSON(out, map[string]any{"found": found, "left": left, "seconds": took.Seconds()})
	} else {
		_, err = fmt.Fprintf(out, "found   %d\nrepair  %s\nleft    %d\n", found, took.Round(time.Millisecond), left)
	}
	if err == nil && left > 0 {
		err = errBroken
	}
	return err
}

// broken counts what check finds.
func (d *database) broken(ctx context.Context) (count int, err error) {
	err = d.conn.QueryRow(ctx, d.qualified(`select count(*) from procrastinate_check()`)).Scan(&count)
	return count, told(err)
}
