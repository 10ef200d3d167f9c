// Command procrastinate installs the task queue in a PostgreSQL database and runs its jobs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second one ends the process, save in a command that handles it itself
	os.Exit(exitCode(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)))
}

// usageError is wrong use: the same command would fail on any machine.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errSaid is in an error that the command has told already.
var errSaid = errors.New("said already")

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
	root := newRoot(environ, stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil || errors.Is(err, errSaid):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "procrastinate: interrupted")
	default:
		tell(stderr, err)
	}
	return err
}

// newRoot makes the tree of commands.
func newRoot(environ []string, stdout, stderr io.Writer) *cobra.Command {
	options := readEnv(environ)
	root := &cobra.Command{
		Use:   "procrastinate",
		Short: "A task queue inside PostgreSQL",
		Long:  "A task queue inside PostgreSQL. Exit status: 0 done, 1 the work failed, 2 wrong use.",
		Example: "  procrastinate migrate && procrastinate defer greet name=you\n" +
			"  procrastinate worker --handler greet=exec:/usr/local/bin/greet",
		Version:       worker.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "print the version of this program")
	flags := root.PersistentFlags()
	flags.Var(textFlag{&options.databaseFlag, &options.databaseGiven}, "database-url", "where the database is (default: DATABASE_URL, PGHOST, …)")
	flags.Var(textFlag{&options.schema, &options.schemaGiven}, "schema", "of the tables and functions (default: the first in search_path)")
	flags.BoolVar(&options.pooler, "pooler", options.pooler, "the database is reached through PgBouncer or the like, in transaction mode")
	flags.BoolVar(&options.json, "json", false, "print for programs: JSON instead of tables")
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Set up", []*cobra.Command{
			migrateCommand(options), versionCommand(options),
		}},
		{"Work", []*cobra.Command{
			deferCommand(options), workerCommand(options, readWorkerEnv(environ)), tickCommand(options), benchCommand(options),
		}},
		{"Look", []*cobra.Command{
			jobsCommand(options), queuesCommand(options), tasksCommand(options), schedulesCommand(options), workersCommand(options), locksCommand(options),
			healthCommand(options), checkCommand(options),
		}},
		{"Act", []*cobra.Command{
			pruneCommand(options), repairCommand(options),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title + ":"})
		for _, cmd := range group.commands {
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	root.SetCompletionCommandGroupID("Set up")
	finishTree(root, options)
	return root
}
