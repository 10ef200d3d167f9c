select procrastinate_define_task('call', max_attempts => 3, retry_wait => '1 min');
select * from procrastinate_defer_many('[{"task": "call"}, {"task": "call"}, {"task": "call"}]');
select procrastinate_register_worker('psql') as worker_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 3);

-- job 1 as its task says, job 2 in an hour, job 3 never again
select * from procrastinate_fail_jobs(
    :worker_id, '{1,2,3}',
    errors => '{no answer,busy,no such number}', retry_in => '{NULL,1 hour,NULL}', final => '{f,f,t}')
order by job_id;
select job_id, kind, error, scheduled_at - at > '59 min' as in_an_hour from procrastinate_attempts order by job_id;
