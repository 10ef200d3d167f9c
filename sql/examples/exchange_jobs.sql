select * from procrastinate_defer_many('[{"task": "a"}, {"task": "a"}, {"task": "a"}]');
select procrastinate_register_worker('psql') as worker_id \gset
select id, outcome from procrastinate_fetch_jobs(:worker_id, 2);
select id, outcome from procrastinate_exchange_jobs(:worker_id, '{1,2}', array['"one"', '"two"']::jsonb[], 2);
select id, status, result from procrastinate_jobs order by id;
