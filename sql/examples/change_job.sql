select procrastinate_defer('report', schedule_in => '1 hour') as job_id \gset
select procrastinate_change_job(:job_id, priority => 5, queue => 'fast', schedule_at => now());
select priority, queue_name, scheduled_at > now() as waits from procrastinate_jobs where id = :job_id;
