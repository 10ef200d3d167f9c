select procrastinate_define_task('report', queue => 'slow');
select procrastinate_defer('report');
select procrastinate_drop_task('report');
select procrastinate_defer('report');
select id, queue_name from procrastinate_jobs order by id;
