// Command procrastinate installs the task queue in a PostgreSQL database and runs its jobs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func main() {
	os.Exit(exitCode(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr)))
}

// usageError is wrong use: the same command would fail on any machine.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errNotCurrent ends migrate --status, which has said already what is missing.
var errNotCurrent = errors.New("not current")

// exitCode: 0 done, 1 the work failed, 2 wrong use.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	default:
		return 1
	}
}

// run is the program. It says on stderr why it failed. Connection settings other than DATABASE_URL (PGHOST and
// the like) come from the environment of the process.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	options := readEnv(environ)
	root := &cobra.Command{
		Use:           "procrastinate",
		Short:         "A task queue inside PostgreSQL",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("which command? See: %s --help", cmd.CommandPath())}
		},
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{plain(err)} })
	flags := root.PersistentFlags()
	flags.StringVar(&options.databaseFlag, "database-url", "", "where the database is (default: DATABASE_URL, PGHOST, …)")
	flags.StringVar(&options.schema, "schema", options.schema, "schema of the tables and functions (default: the first in search_path)")
	flags.BoolVar(&options.pooler, "pooler", options.pooler, "the database is reached through PgBouncer or another pooler in transaction mode")
	flags.BoolVar(&options.json, "json", false, "print for programs: JSON instead of tables")
	root.AddCommand(
		migrateCommand(options), workerCommand(options, readWorkerEnv(environ)),
		checkCommand(options), tickCommand(options), versionCommand(),
	)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errNotCurrent) && !errors.Is(err, errBroken) {
		fmt.Fprintf(stderr, "procrastinate: %v\n", err)
	}
	return err
}

// noArgs refuses arguments, unknown commands among them.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s knows no %q; see: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())}
	}
	return nil
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), worker.Version)
			return err
		},
	}
}
