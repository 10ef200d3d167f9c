select procrastinate_defer('import') as job_id \gset
select procrastinate_register_worker('psql') as worker_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 1);

-- somebody asks for it, the worker hears of it with its beat and stops the handler
select procrastinate_cancel_job(:job_id, abort => true);
select procrastinate_beat(:worker_id) as job_to_stop;
select procrastinate_abort_job(:worker_id, :job_id, 'stopped after 10 of 100 files');
select status, attempts, error from procrastinate_jobs where id = :job_id;
