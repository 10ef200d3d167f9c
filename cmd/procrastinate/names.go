package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// list runs a query that needs no arguments: one for people, one for programs.
func list(options *options, people, programs string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		sql := people
		if options.json {
			sql = programs
		}
		return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
			_, err := db.show(ctx, cmd.OutOrStdout(), options, sql)
			return err
		})
	}
}

// nameCommand completes a command that calls a function for each of some names. Tab offers those of a query; what a
// look finds of a name is said beside it.
func nameCommand(options *options, cmd *cobra.Command, kind, past, sql, offered string, look func(context.Context, *database, string) string) *cobra.Command {
	cmd.ValidArgsFunction = complete(options, offered)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		var fault error
		if len(names) == 0 {
			fault = fmt.Errorf("which %s? See: %s --help", kind, cmd.CommandPath())
		} else if slices.ContainsFunc(names, func(name string) bool { return strings.TrimSpace(name) == "" }) {
			fault = fmt.Errorf("empty %s name", kind)
		}
		if err := joinUsage(fault); err != nil {
			return err
		}
		return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
			done, faults := []string{}, []error{}
			for _, name := range names {
				if _, err := db.conn.Exec(ctx, db.qualified(sql), name); err != nil {
					faults = append(faults, told(err))
					continue
				}
				done = append(done, name)
				if !options.json {
					fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s%s\n", kind, name, past, look(ctx, db, name))
				}
			}
			if options.json {
				faults = append(faults, printJSON(cmd.OutOrStdout(), map[string][]string{past: done}))
			}
			return errors.Join(faults...)
		})
	}
	return cmd
}
