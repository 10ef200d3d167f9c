select procrastinate_defer('report');
delete from procrastinate_tokens;
select count(*) as wrong from procrastinate_check();
select procrastinate_repair();
select count(*) as wrong from procrastinate_check();
