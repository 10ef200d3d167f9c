select procrastinate_defer('call', max_attempts => 2) as job_id \gset
select procrastinate_register_worker('psql') as worker_id \gset
select id, attempt, max_attempts from procrastinate_fetch_jobs(:worker_id, 1);
select procrastinate_fail_job(:worker_id, :job_id, 'no answer');
select id, attempt, max_attempts from procrastinate_fetch_jobs(:worker_id, 1);
select procrastinate_fail_job(:worker_id, :job_id, 'no answer again');
select kind, attempt, error from procrastinate_attempts where job_id = :job_id order by id;
