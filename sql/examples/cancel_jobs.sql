select count(*) from procrastinate_defer_many('[{"task": "ping"}, {"task": "ping"}, {"task": "ping"}, {"task": "report"}]');

-- what waits of a task, in batches
select procrastinate_cancel_jobs(task => 'ping', max_jobs => 2);
select procrastinate_cancel_jobs(task => 'ping', max_jobs => 2);

-- whatever runs for more than an hour is asked to stop
select procrastinate_cancel_jobs(statuses => '{doing}', older_than => '1 hour', abort => true);

select status, task_name, count(*) from procrastinate_jobs group by status, task_name order by status;
