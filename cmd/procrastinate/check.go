package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// errBroken ends check and repair, which have said already what they found.
var errBroken = fmt.Errorf("%w: invariants are broken", errSaid)

func checkCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Look for jobs whose place in the queue is not what it should be",
		Long: "Look for jobs whose place in the queue is not what it should be: a runnable job that nobody would find,\n" +
			"a lock that nobody holds and nobody is offered, and the like. Prints a row for each, and nothing when all\n" +
			"is well. Exit status 1 if there is any: procrastinate repair mends them. Reads all jobs, locks nothing.",
		Example: "  procrastinate check\n  procrastinate check --json | jq length",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				rows, err := db.show(ctx, cmd.OutOrStdout(), options,
					`select c.invariant, c.job_id, c.detail from procrastinate_check() c`)
				if err == nil && rows > 0 {
					err = errBroken
				}
				return err
			})
		},
	}
}
