package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
)

// Names for Tab, of those that begin with $1. Lanes know what was ever deferred, also by bench, and are few.
const (
	taskNames = `
		select q.name
		from (select t.task_name from procrastinate_tasks t where t.task_name <> '*' union select l.task_name from procrastinate_lanes l) q(name)
		where starts_with(q.name, $1::text) and not starts_with(q.name, 'procrastinate-bench-') order by q.name limit 100`
	queueNames = `
		select q.name
		from (select p.queue_name from procrastinate_queues p union select l.queue_name from procrastinate_lanes l) q(name)
		where starts_with(q.name, $1::text) and not starts_with(q.name, 'procrastinate-bench-') order by q.name limit 100`
	pausedNames   = `select p.queue_name from procrastinate_queues p where starts_with(p.queue_name, $1::text) order by p.queue_name limit 100`
	scheduleNames = `select s.schedule_name from procrastinate_schedules s where starts_with(s.schedule_name, $1::text) order by s.schedule_name limit 100`
	enabledNames  = `select s.schedule_name from procrastinate_schedules s where starts_with(s.schedule_name, $1::text) and s.enabled order by s.schedule_name limit 100`
	disabledNames = `select s.schedule_name from procrastinate_schedules s where starts_with(s.schedule_name, $1::text) and not s.enabled order by s.schedule_name limit 100`
	timezoneNames = `
		select z.name from pg_timezone_names z
		where starts_with(z.name, $1::text) and (z.name = 'UTC' or z.name ~ '^[A-Z][a-z]+/' and z.name !~ '^Etc/') order by z.name limit 100`
)

// choices offers the values of a flag.
func choices(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// complete offers names out of the database. Without one, or without the right to read them, it offers nothing: a
// message would end up in the line that somebody is typing.
func complete(options *options, sql string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begin string) (names []string, _ cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		_ = withDatabase(ctx, options, func(ctx context.Context, db *database) error {
			rows, err := db.conn.Query(ctx, db.qualified(sql), begin)
			if err == nil {
				names, err = pgx.CollectRows(rows, pgx.RowTo[string])
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
