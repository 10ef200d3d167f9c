package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func tasksCommand(options *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List the tasks, define them and forget their definition",
		Long: "List the tasks: what waits and runs of each, how long the oldest has been ready, how many live workers\n" +
			"have it, and its definition. Large numbers of waiting jobs are estimates, with a ~.",
		Example: "  procrastinate tasks\n" +
			"  procrastinate tasks define send_email --max-attempts 5 --retry-exponential 2",
		Args: noArgs,
		RunE: list(options, taskList(), taskRecords),
	}
	drop := &cobra.Command{
		Use:     "drop TASK…",
		Short:   "Forget the definition of tasks",
		Long:    "Forget the definition of tasks. Their jobs keep what they got when they were deferred.",
		Example: "  procrastinate tasks drop send_email",
	}
	cmd.AddCommand(tasksDefineCommand(options), nameCommand(options, drop, "task", "dropped", `select procrastinate_drop_task($1)`, taskNames,
		func(context.Context, *database, string) string { return "" }))
	return cmd
}

// taskDefinition is the columns of a definition, as an object without those that say nothing.
const taskDefinition = `(select jsonb_strip_nulls(to_jsonb(t) - '{task_name,defined_at,native}'::text[])
	from procrastinate_tasks t where t.task_name = s.task_name and t.defined_at is not null)`

// The definition for all tasks is no task's, and so has no jobs.
const allTasks = ` from (
	select * from procrastinate_task_stats
	union all
	select t.task_name, t.defined_at, null, null, null, null, null, null, true
	from procrastinate_tasks t where t.task_name = '*' and t.defined_at is not null) s order by s.task_name`

const taskRecords = `select s.*, ` + taskDefinition + ` as definition` + allTasks

func taskList() string {
	return `select s.task_name as task, ` + depths + `coalesce(` + age("s.oldest_ready_at") + `, '') as oldest, s.workers,
		(select string_agg(d.key || ' ' || d.value, ', ') from jsonb_each_text(` + taskDefinition + `) d) as definition` + allTasks
}

func tasksDefineCommand(options *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "define TASK",
		Short: "Set the defaults and the policy of a task",
		Long: "Set the defaults and the policy of a task, replacing the whole of an earlier definition. What is not given\n" +
			"comes from the definition of '*', which holds for all tasks, else it is built in.\n\n" +
			"After a failure that n ended attempts came before, a job waits retry-wait + retry-linear * n +\n" +
			"retry-exponential ^ (n + 1) seconds, at most retry-max-wait, give or take retry-jitter.",
		Example: "  procrastinate tasks define send_email --max-attempts 5 --retry-exponential 2 --retry-max-wait 1h\n" +
			"  procrastinate tasks define sync --lock 'customer-{customer_id}' --timeout 10m\n" +
			"  procrastinate tasks define '*' --max-attempts 3 --retry-wait 30s",
	}
	flags := cmd.Flags()
	given := map[string]any{
		"queue":             flags.String("queue", "", "the `queue` of its jobs (built in: default)"),
		"priority":          flags.Int32("priority", 0, "higher runs first"),
		"lock":              flags.String("lock", "", "the `lock` of its jobs; {name} stands for an argument"),
		"max-attempts":      flags.Int32("max-attempts", 0, "how many times a job may run (built in: 1)"),
		"retry-wait":        spanFlag(flags, "retry-wait", "part of every wait after a failure, as in 90s, 2h or 1d"),
		"retry-linear":      spanFlag(flags, "retry-linear", "what each further wait is longer"),
		"retry-exponential": flags.Float64("retry-exponential", 0, "base of a power, in seconds, that is added to each wait"),
		"retry-max-wait":    spanFlag(flags, "retry-max-wait", "longest wait (built in: a year)"),
		"retry-jitter":      flags.Float64("retry-jitter", 0, "fraction by which a wait is longer or shorter at random"),
		"timeout":           spanFlag(flags, "timeout", "bound of one attempt"),
		"on-stall":          flags.String("on-stall", "", "what becomes of a job whose worker died, `retry|fail`"),
		"max-rescues":       flags.Int32("max-rescues", 0, "a job fails when so many workers died with it (built in: 3)"),
		"keep-succeeded":    spanFlag(flags, "keep-succeeded", "how long to keep jobs that succeeded; 0s: not at all (built in: 7d)"),
		"keep-failed":       spanFlag(flags, "keep-failed", "the same for jobs that ended otherwise (built in: 30d)"),
		"shared":            flags.Bool("shared", false, "whether Python's workers may have it too"),
	}
	choices(cmd, "on-stall", "retry", "fail")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var fault error
		if len(args) != 1 {
			fault = fmt.Errorf("one task is wanted, got %d; see: %s --help", len(args), cmd.CommandPath())
		} else if strings.TrimSpace(args[0]) == "" {
			fault = errors.New("empty task name")
		}
		if err := joinUsage(fault, emptyFlags(cmd.LocalFlags())); err != nil {
			return err
		}
		return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
			var values arguments
			named := []string{"task => " + values.add(args[0])}
			named = append(named, givenArguments(flags, given, &values)...)
			if _, err := db.conn.Exec(ctx, db.qualified("select procrastinate_define_task("+strings.Join(named, ", ")+")"), values...); err != nil {
				return toldOf(flags, err)
			}
			if options.json {
				return printJSON(cmd.OutOrStdout(), map[string][]string{"defined": args})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "task %s defined\n", args[0])
			return err
		})
	}
	return cmd
}

// givenArguments are the flags that were given, of those named, as arguments of a function that calls them the same.
func givenArguments(flags *pflag.FlagSet, named map[string]any, values *arguments) (given []string) {
	flags.Visit(func(flag *pflag.Flag) {
		value, mine := named[flag.Name]
		if length, isSpan := value.(*span); isSpan {
			value = length.interval()
		}
		if mine {
			given = append(given, strings.ReplaceAll(flag.Name, "-", "_")+" => "+values.add(value))
		}
	})
	return given
}
