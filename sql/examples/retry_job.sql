select procrastinate_defer('report') as job_id \gset
select procrastinate_register_worker('psql') as worker_id \gset
select id, attempt from procrastinate_fetch_jobs(:worker_id, 1);
select procrastinate_fail_job(:worker_id, :job_id, 'disk full');

-- there is room again
select procrastinate_retry_job(:job_id);
select id, attempt from procrastinate_fetch_jobs(:worker_id, 1);
select kind, attempt, error from procrastinate_attempts where job_id = :job_id order by id;
