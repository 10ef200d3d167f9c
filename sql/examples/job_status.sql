select procrastinate_defer('report') as job_id \gset
select procrastinate_job_status(:job_id);
