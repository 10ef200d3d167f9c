select procrastinate_defer('report');
select * from procrastinate_check();

-- somebody deletes what is not his
delete from procrastinate_tokens;
select * from procrastinate_check();
