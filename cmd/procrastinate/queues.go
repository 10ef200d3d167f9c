package main

import (
	"context"

	"github.com/spf13/cobra"
)

// An estimate has a ~.
const depths = `case when s.exact then '' else '~' end || s.ready as ready, s.locked, s.future, s.running, `

func queuesCommand(options *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queues",
		Short: "List the queues, pause and resume them",
		Long: "List the queues: what waits in them and runs, how long the oldest has been ready, and how many live workers\n" +
			"serve them. Large numbers of waiting jobs are estimates, with a ~.",
		Example: "  procrastinate queues\n" +
			"  procrastinate queues pause mail\n" +
			"  procrastinate queues resume mail",
		Args: noArgs,
		RunE: list(options, queueList(), `select s.* from procrastinate_queue_stats s order by s.queue_name`),
	}
	cmd.AddCommand(
		nameCommand(options, &cobra.Command{
			Use:   "pause QUEUE…",
			Short: "Let no more jobs of these queues start",
			Long: "Let no more jobs of these queues start, until they are resumed. Running ones go on, and so does deferring. A\n" +
				"waiting job with a lock keeps its place: those behind it, of whatever queue, wait too.",
			Example: "  procrastinate queues pause mail sms",
		}, "queue", "paused", `select procrastinate_pause_queue($1)`, queueNames, lookForJobs),
		nameCommand(options, &cobra.Command{
			Use:     "resume QUEUE…",
			Short:   "Let paused queues go on",
			Long:    "Let paused queues go on. Does nothing for a queue that is not paused.",
			Example: "  procrastinate queues resume mail sms",
		}, "queue", "resumed", `select procrastinate_resume_queue($1)`, pausedNames, lookForJobs),
	)
	return cmd
}

// lookForJobs finds a name that may be mistyped. Who may not look is told nothing: what he asked for is done.
func lookForJobs(ctx context.Context, db *database, queue string) string {
	var known bool
	err := db.conn.QueryRow(ctx, db.qualified(`
		select exists (select from procrastinate_lanes l where l.queue_name = $1)
			or exists (select from procrastinate_queue_stats s where s.queue_name = $1 and s.ready + s.locked + s.future + s.running > 0)`), queue).Scan(&known)
	if err != nil || known {
		return ""
	}
	return " (no job is in it)"
}

func queueList() string {
	return `select s.queue_name as queue, ` + depths + `coalesce(` + age("s.oldest_ready_at") + `, '') as oldest, s.workers,
		case
			when s.paused_at is not null then 'paused ' || ` + age("s.paused_at") + ` || ' ago'
			when s.workers = 0 and s.ready + s.future > 0 then 'no live worker'
			else ''
		end as remark
		from procrastinate_queue_stats s order by s.queue_name`
}
