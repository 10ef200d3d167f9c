package main

import "github.com/spf13/cobra"

func workersCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:   "workers",
		Short: "List the workers that are alive",
		Long: "List the workers: what they serve, when they last beat and how much they run. One that is silent is removed by\n" +
			"the clockwork soon, and its jobs are taken back.",
		Example: "  procrastinate workers",
		Args:    noArgs,
		RunE:    list(options, workerList(), `select w.* from procrastinate_worker_status w order by w.worker_id`),
	}
}

func locksCommand(options *options) *cobra.Command {
	return &cobra.Command{
		Use:     "locks",
		Short:   "List the locks, who holds them and who waits",
		Long:    "List the locks that a job holds, or that one which is due waits for; those that most wait for first.",
		Example: "  procrastinate locks",
		Args:    noArgs,
		RunE:    list(options, lockList(), `select k.* from procrastinate_lock_stats k order by k.waiting desc, k.lock`),
	}
}

func workerList() string {
	return `select w.worker_id as id, w.worker_name as name, case when w.alive then 'alive' else 'silent' end as status,
		` + age("w.last_heartbeat") + ` || ' ago' as beat, w.running,
		coalesce(array_to_string(w.queues, ', '), 'all') as queues, coalesce(array_to_string(w.tasks, ', '), 'all') as tasks,
		` + age("w.registered_at") + ` || ' ago' as registered
		from procrastinate_worker_status w order by w.worker_id`
}

func lockList() string {
	return `select k.lock, coalesce(array_to_string(k.held_by, ', '), '') as held_by, coalesce(` + age("k.held_at") + ` || '', '') as held_for,
		k.worker_id as worker, k.waiting, k.next_job_id as next, coalesce(` + age("k.next_ready_at") + `, '') as next_waits
		from procrastinate_lock_stats k order by k.waiting desc, k.lock`
}
