-- now, and later
select procrastinate_defer('send_email', '{"to": "a@b.c"}');
select procrastinate_defer('report', schedule_in => '5 min', priority => 10, max_attempts => 3, timeout => '1 min');

-- for each customer one at a time, in this order
select procrastinate_defer('sync', '{"customer_id": 7}', lock => 'customer-7');
select procrastinate_defer('sync', '{"customer_id": 7, "full": true}', lock => 'customer-7');

-- debounce: one job, ten seconds after the last edit, with what was last written
select procrastinate_defer('index', '{"page": "draft"}', queueing_lock => 'page-1', on_conflict => 'replace', schedule_in => '10 s');
select procrastinate_defer('index', '{"page": "final"}', queueing_lock => 'page-1', on_conflict => 'replace', schedule_in => '10 s');

select id, task_name, priority, lock, args, scheduled_at > now() as waits from procrastinate_jobs order by id;
