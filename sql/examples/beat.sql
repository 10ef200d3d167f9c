select procrastinate_defer('import') as job_id \gset
select procrastinate_register_worker('psql') as worker_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 1);
select procrastinate_beat(:worker_id);
select procrastinate_cancel_job(:job_id, abort => true);
select procrastinate_beat(:worker_id);
