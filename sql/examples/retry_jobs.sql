select count(*) from procrastinate_defer_many('[{"task": "import"}, {"task": "import"}, {"task": "report"}]');
select procrastinate_register_worker('psql', tasks => '{import}') as worker_id \gset
select status, count(*)
from procrastinate_fail_jobs(:worker_id, array(select id from procrastinate_fetch_jobs(:worker_id, 10)), '{"disk full", "disk full"}')
group by status;

-- there is room again; a minute for the first ones to show it
select procrastinate_retry_jobs(task => 'import', max_jobs => 1);
select procrastinate_retry_jobs(task => 'import', schedule_in => '1 minute');

select id, task_name, status, scheduled_at > now() as later from procrastinate_jobs order by id;
