select count(*) from procrastinate_defer_many('[{"task": "ping"}, {"task": "ping"}, {"task": "report"}]');
select procrastinate_cancel_jobs(task => 'ping');

-- a month is kept, and then nothing
select procrastinate_prune_jobs('1 month');
select procrastinate_prune_jobs('0', statuses => '{cancelled}');

select id, task_name, status from procrastinate_jobs;
