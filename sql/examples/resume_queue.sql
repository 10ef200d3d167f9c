select procrastinate_pause_queue('mail');
select queue_name from procrastinate_queues;
select procrastinate_resume_queue('mail');
select queue_name from procrastinate_queues;
