select procrastinate_define_schedule('report', '@daily', enabled => false) as next_run;
select procrastinate_enable_schedule('report') = procrastinate_cron_next('@daily') as next_midnight;
