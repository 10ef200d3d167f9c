package main

import (
	"context"

	"github.com/spf13/cobra"
)

func tickCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:   "tick",
		Short: "Turn the clockwork once: due jobs, schedules, dead workers, retention",
		Long: "Turn the clockwork once: jobs that became due may start, schedules defer theirs, jobs of workers that died are\n" +
			"taken back, and some of those that are kept no longer are deleted. Workers do so all the time; this is for\n" +
			"cron where none runs, or for looking. Prints how long until something is due, at most a second. Harmless at\n" +
			"any rate, also beside others.",
		Example: "  procrastinate tick",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				return db.showOne(ctx, cmd.OutOrStdout(), options, `select procrastinate_tick() as due_in`)
			})
		},
	}
}
