select procrastinate_define_schedule('report', '@daily') > now() as later;
select procrastinate_disable_schedule('report');
select procrastinate_define_schedule('report', '@hourly') as next_run;      -- as a worker does when it starts: it stays disabled
