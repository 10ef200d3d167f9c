select procrastinate_defer('report') as job_id \gset
select procrastinate_register_worker('psql') as worker_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 1);
select procrastinate_unregister_worker(:worker_id);
select procrastinate_job_status(:job_id);
select count(*) as workers from procrastinate_workers;
