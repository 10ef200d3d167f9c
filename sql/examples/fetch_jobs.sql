select * from procrastinate_defer_many('[
    {"task": "sum", "args": {"a": 3, "b": 5}},
    {"task": "sum", "args": {"a": 1, "b": 2}, "priority": 1},
    {"task": "sum", "args": {"a": 4, "b": 4}, "lock": "x"},
    {"task": "sum", "args": {"a": 6, "b": 1}, "lock": "x"}
]');

-- a worker's loop: fetch, run, finish (or fail) …
select procrastinate_register_worker('psql') as worker_id \gset
create temporary table batch as
select * from procrastinate_fetch_jobs(:worker_id, max_jobs => 10);
select id, task_name, args, priority, lock, attempt from batch order by id;
select * from procrastinate_finish_jobs(
    :worker_id,
    array(select id from batch order by id),
    array(select to_jsonb((args->>'a')::integer + (args->>'b')::integer) from batch order by id));

-- … and once more, until there is nothing to do
truncate batch;
insert into batch select * from procrastinate_fetch_jobs(:worker_id, max_jobs => 10);
select id, task_name, args, priority, lock, attempt from batch order by id;
select * from procrastinate_finish_jobs(
    :worker_id,
    array(select id from batch order by id),
    array(select to_jsonb((args->>'a')::integer + (args->>'b')::integer) from batch order by id));

select id, status, result from procrastinate_jobs order by id;
