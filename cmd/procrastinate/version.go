package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func versionCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  procrastinate version --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.json {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": worker.Version})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), worker.Version)
			return err
		},
	}
}

// printJSON prints one value on a line.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
