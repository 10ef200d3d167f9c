select * from procrastinate_defer_many('[{"task": "a"}, {"task": "a"}]');
select procrastinate_register_worker('psql') as worker_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 1);

-- a fetch whose answer gets lost: the worker knows of job 1 only
select id from procrastinate_fetch_jobs(:worker_id, 1) \g /dev/null
select * from procrastinate_keep_jobs(:worker_id, '{1}');
select id, status from procrastinate_jobs order by id;
