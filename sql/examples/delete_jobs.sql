select count(*) from procrastinate_defer_many('[{"task": "ping"}, {"task": "ping"}, {"task": "report"}]');
select procrastinate_cancel_jobs(task => 'ping', max_jobs => 1);

-- what has ended, and then what waits too
select procrastinate_delete_jobs(task => 'ping');
select procrastinate_delete_jobs(task => 'ping', statuses => '{todo}');

select id, task_name, status from procrastinate_jobs;
