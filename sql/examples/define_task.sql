-- five runs, 4, 16, 64, 256 seconds apart, give or take a tenth
select procrastinate_define_task('send_email', queue => 'mail', max_attempts => 5, retry_exponential => 4, retry_jitter => 0.1);
-- for all tasks
select procrastinate_define_task('*', timeout => '10 min');
-- each customer's jobs one at a time
select procrastinate_define_task('sync', lock => 'customer-{customer_id}');

select procrastinate_defer('send_email', '{"to": "a@b.c"}');
select procrastinate_defer('sync', '{"customer_id": 7}');
select task_name, queue_name, lock, max_attempts, timeout from procrastinate_jobs order by id;
