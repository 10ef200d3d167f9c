select * from procrastinate_defer_many('[{"task": "a"}, {"task": "b"}, {"task": "c"}]');
select procrastinate_register_worker('psql') as worker_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 2) order by id;

-- job 3 was never fetched
select * from procrastinate_finish_jobs(:worker_id, '{1,2,3}', array['{"words": 42}', null, null]::jsonb[]);
select id, status, result from procrastinate_jobs order by id;
