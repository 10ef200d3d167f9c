select procrastinate_defer('poll') as job_id \gset
select procrastinate_register_worker('psql') as worker_id \gset
select id, attempt from procrastinate_fetch_jobs(:worker_id, 1);
select procrastinate_snooze_job(:worker_id, :job_id, '10 min');
select status, attempts, scheduled_at > now() as waits from procrastinate_jobs where id = :job_id;
