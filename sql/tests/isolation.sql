-- What is asked of other isolation levels than READ COMMITTED: no fetch and no tick, but everything else.
begin isolation level repeatable read;
select plan(18);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => l)
from (values ('a', null), ('b', null), ('c', null), ('d', null), ('e', 'l'), ('f', 'l')) r(n, l);
select throws_ok(
    format('select procrastinate_fetch_jobs(%s, 1)', :worker), 'PJ009', 'fetching needs READ COMMITTED, this transaction is REPEATABLE READ',
    'nobody can fetch in a transaction that is REPEATABLE READ');
select throws_ok(
    format($$ select procrastinate_exchange_jobs(%s, '{}', null, 1) $$, :worker), 'PJ009', 'fetching needs READ COMMITTED, this transaction is REPEATABLE READ',
    'nor exchange');
select is((select count(*) from procrastinate_jobs j where j.status = 'todo'), 6::bigint, 'no job was started');
select results_eq(
    $$ select j.args ->> 'name', a.at between now() and clock_timestamp() from procrastinate_agenda a join procrastinate_jobs j using (id) order by 1 $$,
    $$ select n, true from unnest('{a,b,c,d,e,f}'::text[]) n $$,
    'what is deferred there is in the agenda too, for its token may be in a lane that was parked since');
select is((select count(*) from procrastinate_tokens), 6::bigint, 'and has its tokens');
select is_empty('select * from procrastinate_check()', 'all is well with what was deferred');
select count(*) from procrastinate_defer_many('[{"task": "send", "args": {"name": "g"}}]');
select ok(exists (select from procrastinate_agenda a where a.id = pg_temp.job('g')), 'so is what is deferred in a batch');

-- as a worker would have started them
update procrastinate_jobs j set status = 'doing', worker_id = :worker, started_at = clock_timestamp() where j.args ->> 'name' <= 'e';
update procrastinate_lock_queue q set held = true where q.job_id = pg_temp.job('e');
insert into procrastinate_leases (worker_id, job_ids) select :worker, array_agg(j.id) from procrastinate_jobs j where j.status = 'doing';
delete from procrastinate_agenda;
delete from procrastinate_tokens t where t.id <> pg_temp.job('g');
select is_empty('select * from procrastinate_check()', 'all is well with the running jobs');
select is_empty(format($$ select * from procrastinate_finish_jobs(%s, array[pg_temp.job('a')]) $$, :worker), 'a worker can finish there');
select is(procrastinate_fail_job(:worker, pg_temp.job('b'), 'boom')::text, 'failed', 'it can fail');
select is_empty(format($$ select * from procrastinate_return_jobs(%s, array[pg_temp.job('c')]) $$, :worker), 'it can give back');
select is(procrastinate_snooze_job(:worker, pg_temp.job('d'), '0')::text, 'todo', 'it can snooze');
select is_empty(format($$ select * from procrastinate_finish_jobs(%s, array[pg_temp.job('e')]) $$, :worker), 'it can finish what has a lock');
select is(procrastinate_cancel_job(pg_temp.job('f'))::text, 'cancelled', 'anyone can cancel there');
select results_eq(
    $$ select j.args ->> 'name' from procrastinate_agenda a join procrastinate_jobs j using (id) order by 1 $$, $$ values ('c'), ('d') $$,
    'what goes back to todo is in the agenda');
select is_empty(format('select * from procrastinate_beat(%s)', :worker), 'a worker can beat');
select throws_ok('select procrastinate_tick()', 'PJ009', 'ticking needs READ COMMITTED, this transaction is REPEATABLE READ', 'nobody can tick');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
