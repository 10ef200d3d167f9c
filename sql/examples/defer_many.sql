select * from procrastinate_defer_many('[
    {"task": "send_email", "args": {"to": "a@b.c"}},
    {"task": "report", "queue": "slow", "schedule_in": "1 hour"}
]');

-- from a query
create temporary table customers as select 'customer ' || n as name from generate_series(1, 3) n;
select count(*)
from procrastinate_defer_many((select jsonb_agg(jsonb_build_object('task', 'greet', 'args', to_jsonb(c))) from customers c));

select id, queue_name, task_name, args from procrastinate_jobs order by id;
