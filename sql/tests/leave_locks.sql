-- Jobs that leave their locks.
begin;
select plan(9);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.leave(variadic names text[]) returns void language sql as
    $$ select procrastinate_leave_locks(array(select pg_temp.job(n) from unnest(names) n)) $$;
create function pg_temp.key(lock text) returns bigint language sql as
    $$ select hashtextextended(lock, 0) $$;

create temp view place as
    select q.key, q.held, q.priority, coalesce(j.args ->> 'name', 'none') as name
    from procrastinate_lock_queue q
    left join procrastinate_jobs j on j.id = q.job_id;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => l, priority => p)
from (values ('a1', 'a', 1), ('a2', 'a', 0), ('a3', 'a', 0), ('b1', 'b', 0), ('ended', 'c', 9), ('none', null, 0)) r(n, l, p);
select count(*) from procrastinate_fetch_jobs(:worker, 2);
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('ended')]);
delete from procrastinate_tokens;
savepoint before;

select pg_temp.leave('a1');
select set_eq(
    'table place', $$ values (pg_temp.key('a'), false, 0, 'a2'), (pg_temp.key('a'), false, 0, 'a3'), (pg_temp.key('b'), false, 0, 'b1') $$,
    'a running job leaves the lock that it held');
select results_eq('select lane, id from procrastinate_tokens', $$ values (0, pg_temp.key('a')) $$, 'which is handed over');
rollback to before;

select pg_temp.leave('a3');
select set_eq(
    'table place', $$ values (pg_temp.key('a'), true, 1, 'a1'), (pg_temp.key('a'), false, 0, 'a2'), (pg_temp.key('b'), false, 0, 'b1') $$,
    'a waiting job leaves its place, and nobody else''s');
rollback to before;

select pg_temp.leave('a1', 'a2', 'b1', 'none', 'ended');
select set_eq('table place', $$ values (pg_temp.key('a'), false, 0, 'a3') $$, 'of many jobs each leaves its own');
select set_eq(
    'select lane, id from procrastinate_tokens', $$ values (0, pg_temp.key('a')), (0, pg_temp.key('b')) $$,
    'each lock is handed over once, and none for jobs that have none or have ended');
rollback to before;

insert into procrastinate_lock_queue (key, held, priority, job_id)
values (pg_temp.key('a'), false, 1, pg_temp.job('a1')), (pg_temp.key('a'), true, 0, pg_temp.job('a2')),
       (pg_temp.key('a'), true, 2, pg_temp.job('a1')), (pg_temp.key('x'), true, 1, pg_temp.job('a1'));
select pg_temp.leave('a1', 'a2');
select set_eq(
    'table place',
    $$ values (pg_temp.key('a'), false, 1, 'a1'), (pg_temp.key('a'), true, 0, 'a2'), (pg_temp.key('a'), true, 2, 'a1'), (pg_temp.key('x'), true, 1, 'a1'),
              (pg_temp.key('a'), false, 0, 'a3'), (pg_temp.key('b'), false, 0, 'b1') $$,
    'a place goes that is the job''s as it is: running or waiting, of its priority and its lock');
rollback to before;

select procrastinate_leave_locks('{}'), procrastinate_leave_locks(null), procrastinate_leave_locks('{-1,null}');
select is((select count(*) from place), 4::bigint, 'no jobs leave nothing');
select is_empty('select * from procrastinate_tokens', 'and hand nothing over');
select procrastinate_repair();
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
