-- A worker that held many jobs is rescued in several ticks, so that none takes long.
begin;
select plan(4);

select procrastinate_register_worker('dies') as dies \gset
select count(procrastinate_defer('send', lock => case when n % 10 = 0 then 'l' || n end)) from generate_series(1, 1500) n;
select count(*) from generate_series(0, 1) n, lateral procrastinate_fetch_jobs(:dies, 1500 - 1000 * n);
create temp view status as select j.status::text, count(*)::integer from procrastinate_jobs j group by 1 order by 1;
select results_eq('table status', $$ values ('doing', 1500) $$, 'a worker has 1,500 jobs');

delete from procrastinate_workers;
create temp table tick as select procrastinate_tick() as due_in;
select results_eq(
    'select t.due_in, s.* from tick t, status s', $$ values (interval '0', 'doing', 500), ('0', 'todo', 1000) $$,
    'the tick after its removal takes a thousand back, and wants to be followed at once');
update tick set due_in = procrastinate_tick();
select results_eq('select t.due_in, s.* from tick t, status s', $$ values (interval '1 s', 'todo', 1500) $$, 'the next one takes the rest');
select is_empty('select * from procrastinate_check()', 'all is well');

select * from finish();
rollback;
