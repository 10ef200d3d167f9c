-- a waiting job
select procrastinate_defer('report', schedule_in => '1 hour') as job_id \gset
select procrastinate_cancel_job(:job_id);

-- a running one
select procrastinate_defer('import') as job_id \gset
select procrastinate_register_worker('psql') as worker_id \gset
select id, task_name from procrastinate_fetch_jobs(:worker_id, 1);
select procrastinate_cancel_job(:job_id, abort => true);

-- its worker beats, hears of it and stops the handler
select procrastinate_beat(:worker_id) as job_to_stop;
select procrastinate_abort_job(:worker_id, :job_id);
