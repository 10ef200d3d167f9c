select procrastinate_define_schedule('report', '@daily') > now() as later;
select procrastinate_drop_schedule('report');
