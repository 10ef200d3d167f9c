select procrastinate_register_worker('psql', queues => '{default}') as worker_id \gset

-- nobody serves its queue
select procrastinate_defer('send_email', queue => 'mail') as job_id \gset
select reason, detail from procrastinate_explain_job(:job_id);

-- the decisive reason first
select procrastinate_defer('report', schedule_in => '1 hour') as job_id \gset
select procrastinate_pause_queue('default');
select reason, detail - '{scheduled_at,seconds,since}'::text[] as detail from procrastinate_explain_job(:job_id);
select procrastinate_resume_queue('default');

-- another job has its lock
select procrastinate_defer('sync', lock => 'customer-7') as first_id, procrastinate_defer('sync', lock => 'customer-7') as second_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 1);
select reason, detail -> 'lock' as lock, detail -> 'job' as job, detail -> 'reason' as its_reason, detail #> '{detail,worker_name}' as at_worker
from procrastinate_explain_job(:second_id);
select procrastinate_finish_jobs(:worker_id, array[:first_id]);
select reason, detail -> 'ahead' as ahead from procrastinate_explain_job(:second_id);
