select * from procrastinate_defer_many('[{"task": "a"}, {"task": "a"}, {"task": "a"}]');
select procrastinate_register_worker('psql') as worker_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 2);

-- the worker stops, and gives back what it did not get to
select * from procrastinate_return_jobs(:worker_id, '{1,2}');
select procrastinate_unregister_worker(:worker_id);
select id, status, attempts from procrastinate_jobs order by id;
