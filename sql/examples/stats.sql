select procrastinate_register_worker('psql', queues => '{default}') as worker_id \gset
select procrastinate_defer('sync', lock => 'customer-7') from generate_series(1, 3);
select procrastinate_defer('report', schedule_in => '1 hour');
select procrastinate_defer('send_email', queue => 'mail');
select procrastinate_pause_queue('mail');
select procrastinate_define_schedule('backup', '30 2 * * *', timezone => 'Europe/Berlin', queue => 'nightly') > now() as later;
select procrastinate_run_schedule('backup') \g /dev/null
select id from procrastinate_fetch_jobs(:worker_id, 1);

select queue_name, paused_at is not null as paused, ready, locked, future, running, workers from procrastinate_queue_stats order by 1;
select task_name, ready, locked, future, running, workers from procrastinate_task_stats order by 1;
select lock, held_by, worker_id, waiting, next_job_id from procrastinate_lock_stats;
select worker_id, worker_name, queues, tasks, alive, running from procrastinate_worker_status;
select schedule_name, cron, timezone, enabled, next_at > now() as later, last_at < now() + '1 s' as ran, last_job_status, skipped_at from procrastinate_schedule_status;
