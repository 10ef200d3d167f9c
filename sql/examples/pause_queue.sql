select procrastinate_defer('send_email', queue => 'mail');
select procrastinate_defer('report');
select procrastinate_pause_queue('mail');

select procrastinate_register_worker('psql') as worker_id \gset
select id, queue_name, task_name from procrastinate_fetch_jobs(:worker_id, 10);
