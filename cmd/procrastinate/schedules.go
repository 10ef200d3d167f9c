package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/spf13/cobra"
)

func schedulesCommand(options *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schedules",
		Short: "List the schedules, define, run and drop them",
		Long: "List the schedules: when each runs next, when it ran last, that run's job and what became of it. The remark\n" +
			"tells of one that is disabled, or overdue, for nobody ticks, and why the latest run was skipped, if it was.\n" +
			"A cron expression goes by UTC, unless a time zone stands beside it.",
		Example: "  procrastinate schedules\n" +
			"  procrastinate schedules define report --cron '30 7 * * mon-fri' --timezone Europe/Berlin\n" +
			"  procrastinate schedules --json | jq -r '.[] | select(.enabled) | .schedule_name'",
		Args: noArgs,
		RunE: list(options, scheduleList(), `select s.*, `+nextRuns+` from procrastinate_schedule_status s order by s.schedule_name`),
	}
	silent := func(context.Context, *database, string) string { return "" }
	cmd.AddCommand(
		schedulesShowCommand(options),
		schedulesDefineCommand(options),
		nameCommand(options, &cobra.Command{
			Use:     "drop SCHEDULE…",
			Short:   "Forget schedules",
			Long:    "Forget schedules. Jobs that they deferred stay.",
			Example: "  procrastinate schedules drop report",
		}, "schedule", "dropped", `select procrastinate_drop_schedule($1)`, scheduleNames, silent),
		nameCommand(options, &cobra.Command{
			Use:     "enable SCHEDULE…",
			Short:   "Let disabled schedules run again",
			Long:    "Let disabled schedules run again. What they missed meanwhile is not made up for.",
			Example: "  procrastinate schedules enable report",
		}, "schedule", "enabled", `select procrastinate_enable_schedule($1)`, disabledNames, lookForNextRun),
		nameCommand(options, &cobra.Command{
			Use:   "disable SCHEDULE…",
			Short: "Let schedules run no more, until they are enabled",
			Long: "Let schedules run no more, until they are enabled. A worker or a deployment that declares one anew leaves it\n" +
				"disabled. By hand it can still be run.",
			Example: "  procrastinate schedules disable report sync",
		}, "schedule", "disabled", `select procrastinate_disable_schedule($1)`, enabledNames, silent),
		schedulesRunCommand(options),
	)
	return cmd
}

func scheduleList() string {
	return `select s.schedule_name as schedule, s.cron || case s.timezone when 'UTC' then '' else ' ' || s.timezone end as cron, s.task_name as task,
		case when s.overdue_for is null then 'in ' || ` + age("s.next_at") + ` else 'due ' || ` + age("s.next_at") + ` || ' ago' end as next,
		` + age("s.last_at") + ` || ' ago' as last, s.last_job_id as job,
		case when s.last_job_id is not null then coalesce(s.last_job_status::text, 'deleted') end as status,
		concat_ws('; ',
			case when not s.enabled then 'disabled' when s.overdue_for > '10 s' then 'overdue' end,
			case when s.skipped_at > coalesce(s.last_at, '-infinity') then 'skipped ' || ` + age("s.skipped_at") + ` || ' ago: ' || s.skipped_why end) as remark
		from procrastinate_schedule_status s order by s.schedule_name`
}

// lookForNextRun tells when a schedule runs next. Who may not look is told nothing: what he asked for is done.
func lookForNextRun(ctx context.Context, db *database, schedule string) string {
	var in string
	err := db.conn.QueryRow(ctx, db.qualified(
		`select `+age("s.next_at")+` from procrastinate_schedule_status s where s.schedule_name = $1`), schedule).Scan(&in)
	if err != nil {
		return ""
	}
	return ", next run in " + in
}

func schedulesDefineCommand(options *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "define SCHEDULE [key=value… | JSON-OBJECT] --cron CRON",
		Short: "Set when a job is deferred, and which",
		Long: "Set when a job is deferred, and which, replacing the whole of an earlier definition. The job's args are given\n" +
			"as for procrastinate defer. What is not given is built in, and comes from the job's task, if that has it.\n\n" +
			"CRON is minute, hour, day of month, month, day of week and, if wanted, second; each a *, or numbers or names,\n" +
			"as in 0,30 or mon-fri or */10; or @hourly, @daily and so on. Quote it. Each run is one job, however many\n" +
			"workers tick. While the same cron expression and time zone are defined again, the next run stays as it is.",
		Example: "  procrastinate schedules define report to=ada@example.org --cron '30 7 * * mon-fri' --timezone Europe/Berlin\n" +
			"  procrastinate schedules define sync --cron '*/10 * * * *' --queueing-lock sync\n" +
			"  procrastinate schedules define beat --task ping --cron '* * * * * */2' --catch-up none",
		ValidArgsFunction: complete(options, scheduleNames),
	}
	flags := cmd.Flags()
	cron := flags.String("cron", "", "when: a cron `expression`, as in '*/5 * * * *'")
	given := map[string]any{
		"cron":           cron,
		"task":           flags.String("task", "", "the `task` of its jobs (default: the schedule's name)"),
		"timezone":       flags.String("timezone", "", "whose clock it goes by, a `name` as Europe/Berlin (built in: UTC)"),
		"queue":          flags.String("queue", "", "the `queue` of its jobs"),
		"priority":       flags.Int32("priority", 0, "higher runs first"),
		"lock":           flags.String("lock", "", "the `lock` of its jobs: those sharing it run one at a time"),
		"queueing-lock":  flags.String("queueing-lock", "", "a run is skipped while a job waits with this `lock`"),
		"catch-up":       flags.String("catch-up", "", "which missed runs are made up for, `none|last|all` (built in: last)"),
		"max-lateness":   spanFlag(flags, "max-lateness", "later than this a run is skipped, as in 90s or 2h (built in: 10m)"),
		"pass-timestamp": flags.Bool("pass-timestamp", false, "give the job the time of its run as the argument timestamp"),
	}
	disabled := flags.Bool("disabled", false, "do not let it run (default: as it was, a new one runs)")
	choices(cmd, "catch-up", "none", "last", "all")
	_ = cmd.RegisterFlagCompletionFunc("timezone", complete(options, timezoneNames))
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		faults := []error{emptyFlags(cmd.LocalFlags())}
		if !flags.Changed("cron") {
			faults = append(faults, errors.New("when? Use --cron, as in --cron '*/5 * * * *'"))
		}
		if len(words) == 0 || strings.TrimSpace(words[0]) == "" {
			return joinUsage(append(faults, errors.New("which schedule? Name it"))...)
		}
		args, err := parseArgs(words[1:])
		if err := joinUsage(append(faults, err)...); err != nil {
			return err
		}
		return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
			var values arguments
			named := []string{"schedule => " + values.add(words[0]), "args => " + values.add(args) + "::text::jsonb"}
			named = append(named, givenArguments(flags, given, &values)...)
			if flags.Changed("disabled") {
				named = append(named, "enabled => "+values.add(!*disabled))
			}
			var in pgtype.Text
			var next json.RawMessage
			err := db.conn.QueryRow(ctx, db.qualified(`select `+age("d.at")+`, coalesce(to_json(d.at), 'null')
				from procrastinate_define_schedule(`+strings.Join(named, ", ")+`) d(at)`), values...).Scan(&in, &next)
			if err != nil {
				return toldOf(flags, err)
			}
			if options.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"defined": words[:1], "next_at": next})
			}
			when := "disabled"
			if in.Valid {
				when = "next run in " + in.String
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "schedule %s defined, %s\n", words[0], when)
			return err
		})
	}
	return cmd
}

func schedulesRunCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:   "run SCHEDULE",
		Short: "Defer the job of a schedule now",
		Long: "Defer the job of a schedule now, be it enabled or not, and print the job's id. Its next run stays as it is.\n" +
			"It is refused while a job waits with the queueing lock.",
		Example:           "  procrastinate schedules run report",
		ValidArgsFunction: complete(options, scheduleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneSchedule(cmd, args); err != nil {
				return err
			}
			return withDatabase(cmd.Context(), options, func(ctx context.Context, db *database) error {
				var id int64
				err := db.conn.QueryRow(ctx, db.qualified(`select procrastinate_run_schedule($1)`), args[0]).Scan(&id)
				if isConflict(err) {
					var lock string // may be another by now, or not ours to see
					_ = db.conn.QueryRow(ctx, db.qualified(
						`select s.queueing_lock from procrastinate_schedules s where s.schedule_name = $1`), args[0]).Scan(&lock)
					return plainError{whoWaits(ctx, db, lock), err}
				}
				if err != nil {
					return told(err)
				}
				return printID(cmd.OutOrStdout(), options, id)
			})
		},
	}
}

// oneSchedule wants the name of one schedule.
func oneSchedule(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("one schedule is wanted, got %d; see: %s --help", len(args), cmd.CommandPath())}
	}
	if strings.TrimSpace(args[0]) == "" {
		return usageError{errors.New("empty schedule name")}
	}
	return nil
}
