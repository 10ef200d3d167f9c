-- Finishing jobs with success, and exchanging them for the next ones.
begin;
select plan(59);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.jobs(variadic names text[]) returns bigint[] language sql as
    $$ select array_agg(pg_temp.job(n) order by o) from unnest(names) with ordinality u(n, o) $$;

create temp view job as
    select j.args ->> 'name' as name, j.status, j.worker_id, j.attempts::integer, j.result, j.finished_at between now() and clock_timestamp() as ended
    from procrastinate_jobs j;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_register_worker('other') as other \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => case when n >= 'k' then 'l' end, priority => case when n >= 'k' then -1 end)
from unnest('{a,b,c,d,e,k,l,m}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 4);
select count(*) from procrastinate_fetch_jobs(:other, 1);

-- bad input
select throws_ok($$ select procrastinate_finish_jobs(null, '{}') $$, 'PJ001', 'invalid worker_id: NULL', 'a finish names its worker');
select throws_ok(format('select procrastinate_finish_jobs(%s, null)', :worker), 'PJ001', 'invalid job_ids: NULL', 'a finish names its jobs');
select throws_ok(
    format('select procrastinate_finish_jobs(%s, array[pg_temp.job(%L), null])', :worker, 'a'),
    'PJ001', 'invalid job_ids: NULL', 'a finish names each of its jobs');
select throws_ok(
    format($$ select procrastinate_finish_jobs(%s, pg_temp.jobs('a', 'b'), '{1}') $$, :worker),
    'PJ001', 'invalid results: 1 for 2 jobs', 'there is a result for each job');
select throws_ok(
    format($$ select procrastinate_finish_jobs(%s, pg_temp.jobs('a'), '{}') $$, :worker),
    'PJ001', 'invalid results: 0 for 1 jobs', 'no results at all are given as NULL');
select throws_ok(
    $$ select procrastinate_finish_jobs(-1, pg_temp.jobs('a')) $$,
    'PJ003', 'worker -1 is not registered', 'a worker that is not registered finishes nothing');
select throws_ok(
    format($$ select procrastinate_finish_jobs(%s, pg_temp.jobs('a'), '{}', 7) $$, :worker),
    '42883', null, 'a finish fetches nothing');
select throws_ok($$ select procrastinate_finish_jobs(-1, '{}') $$, 'PJ003', null, 'also when it finishes no job');
select is((select count(*) from job where status = 'doing' and result is null), 5::bigint, 'a finish with bad input ends nothing');

-- finish
select is_empty(
    format($$ select * from procrastinate_finish_jobs(%s, pg_temp.jobs('b', 'a'), array['{"sum": 8}', null]::jsonb[]) $$, :worker),
    'a finish returns nothing for what has ended');
select results_eq(
    $$ select name, status, worker_id, attempts, result, ended from job where name <= 'd' order by 1 $$,
    format($$ values ('a', 'succeeded'::procrastinate_job_status, null::bigint, 1, null::jsonb, true),
                     ('b', 'succeeded', null, 1, '{"sum": 8}', true),
                     ('c', 'doing', %1$s, 0, null, null),
                     ('d', 'doing', %1$s, 0, null, null) $$, :worker),
    'each job has ended with its own result and one more attempt');
select is_empty('select * from procrastinate_attempts', 'plain success leaves no row of attempts');
select is_empty('select * from procrastinate_check()', 'all is well');

select results_eq(
    format($$ select j.args ->> 'name', f.outcome
              from procrastinate_finish_jobs(%s, pg_temp.jobs('a', 'c', 'e', 'm')) f join procrastinate_jobs j on j.id = f.job_id order by 1 $$, :worker),
    $$ values ('a', 'lost'), ('e', 'lost'), ('m', 'lost') $$,
    'a job that has ended, that another worker holds, or that waits is lost; the others of the batch end');
select results_eq(
    format($$ select f.outcome from procrastinate_finish_jobs(%s, '{-1,-1}') f $$, :worker), $$ values ('lost') $$,
    'a job that does not exist is lost, and said to be once');
select results_eq(
    $$ select name, status, worker_id, attempts from job where name in ('a', 'c', 'e', 'm') order by 1 $$,
    format($$ values ('a', 'succeeded'::procrastinate_job_status, null::bigint, 1), ('c', 'succeeded', null, 1), ('e', 'doing', %s, 0), ('m', 'todo', null, 0) $$, :other),
    'a lost job is left as it is');
select is_empty(format('select * from procrastinate_finish_jobs(%s, %L)', :worker, '{}'), 'a finish of no job does nothing');
select is_empty(
    format($$ select * from procrastinate_finish_jobs(%s, pg_temp.jobs('d', 'd'), '{1,1}') $$, :worker),
    'a job that is named twice ends once');
select is((select attempts from job where name = 'd'), 1, 'and counts one attempt');

-- an abort that comes too late
select procrastinate_cancel_job(pg_temp.job('e'), abort => true);
select count(*) from procrastinate_finish_jobs(:other, pg_temp.jobs('e'));
select results_eq(
    $$ select status, abort_requested from procrastinate_jobs where id = pg_temp.job('e') $$,
    $$ values ('succeeded'::procrastinate_job_status, false) $$,
    'a job that succeeds before its abort succeeds');

-- locks
select count(*) from procrastinate_fetch_jobs(:worker, 5, 2);
delete from procrastinate_tokens;
select count(*) from procrastinate_finish_jobs(:worker, pg_temp.jobs('k'));
select results_eq(
    $$ select q.held, j.args ->> 'name' from procrastinate_lock_queue q join procrastinate_jobs j on j.id = q.job_id order by 2 $$,
    $$ values (true, 'l'), (false, 'm') $$,
    'a job that ends leaves the lock queue; another of its run still holds the lock');
select results_eq(
    'select lane, id from procrastinate_tokens', $$ values (0, hashtextextended('l', 0)) $$,
    'its lock is handed over, whoever else holds it');
select is_empty(format('select * from procrastinate_fetch_jobs(%s, 5)', :worker), 'nothing starts while another of the run holds the lock');
select count(*) from procrastinate_finish_jobs(:worker, pg_temp.jobs('l'));
select is_empty('select * from procrastinate_check()', 'all is well while the lock is on its way');

-- nothing of anybody else's is taken away
insert into procrastinate_lock_queue (key, held, priority, job_id)
select hashtextextended(k, 0), h, p, pg_temp.job('m')
from (values ('l', false, 5), ('l', true, 6), ('x', true, -1)) r(k, h, p);
insert into procrastinate_lock_queue (key, held, priority, job_id) values (hashtextextended('l', 0), true, -1, -1);
delete from procrastinate_lock_queue q where q.job_id = pg_temp.job('m') and not q.held and q.priority = -1;
insert into procrastinate_lock_queue (key, held, priority, job_id) values (hashtextextended('l', 0), true, -1, pg_temp.job('m')), (hashtextextended('l', 0), false, -1, pg_temp.job('m'));
update procrastinate_jobs j set status = 'doing', worker_id = :worker, started_at = now() where j.id = pg_temp.job('m');
select count(*) from procrastinate_finish_jobs(:worker, pg_temp.jobs('m'));
select results_eq(
    $$ select q.key = hashtextextended('l', 0), q.held, q.priority, q.job_id > 0 from procrastinate_lock_queue q order by 1, 2, 3, 4 $$,
    $$ values (false, true, -1, true), (true, false, -1, true), (true, false, 5, true), (true, true, -1, false), (true, true, 6, true) $$,
    'a finish deletes the job''s own place as a holder, and nothing else');
delete from procrastinate_lock_queue;

-- exchange
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => case when n like 'l%' then 'l' end, priority => case when n like 'l%' then -1 end)
from unnest('{a,b,c,l1,l2,l3}'::text[]) n;
select results_eq(
    format($$ select e.args ->> 'name', e.attempt, e.outcome from procrastinate_exchange_jobs(%s, '{}', null, 2) e $$, :worker),
    $$ values ('a', 1, null::text), ('b', 1, null) $$,
    'an exchange of no job fetches');
select results_eq(
    format($$ select e::text from procrastinate_exchange_jobs(%s, pg_temp.jobs('a', 'b'), '{1,2}', 1) e $$, :worker),
    $$ select row(j.id, 'send', 'default', j.args, 0, null, 1, null, null, null, j.deferred_at, '{}', null)::procrastinate_job::text
       from procrastinate_jobs j where j.id = pg_temp.job('c') $$,
    'an exchange ends jobs and returns the next ones');
select results_eq(
    $$ select name, status, attempts, result from job where name <= 'c' order by 1 $$,
    $$ values ('a', 'succeeded'::procrastinate_job_status, 1, jsonb '1'), ('b', 'succeeded', 1, '2'), ('c', 'doing', 0, null) $$,
    'what it ended has its result');
select results_eq(
    format($$ select e::text from procrastinate_exchange_jobs(%s, pg_temp.jobs('a', 'c'), null, 1) e $$, :worker),
    $$ select row(pg_temp.job('a'), null, null, null, null, null, null, null, null, null, null, null, 'lost')::procrastinate_job::text
       union all
       select row(j.id, 'send', 'default', j.args, -1, 'l', 1, null, null, null, j.deferred_at, '{}', null)::procrastinate_job::text
       from procrastinate_jobs j where j.id = pg_temp.job('l1') $$,
    'a job that it cannot end is returned as lost, with nothing but its id, before the new ones');
select results_eq(
    format($$ select e.args ->> 'name' from procrastinate_exchange_jobs(%s, pg_temp.jobs('l1'), null, 10, 2) e $$, :worker),
    $$ values ('l2'), ('l3') $$,
    'an exchange passes the lock of what it ends on to what it fetches, and takes max_per_lock');
select is_empty('select * from procrastinate_check()', 'all is well after the exchanges');
select throws_ok(
    format($$ select procrastinate_exchange_jobs(%s, pg_temp.jobs('l2'), null, 0) $$, :worker),
    'PJ001', 'invalid max_jobs: 0', 'an exchange fetches at least one');
select throws_ok(
    format($$ select procrastinate_exchange_jobs(%s, pg_temp.jobs('l2'), '{1,2}', 1) $$, :worker),
    'PJ001', 'invalid results: 2 for 1 jobs', 'an exchange has a result for each job');
select throws_ok($$ select procrastinate_exchange_jobs(-1, '{}', null, 1) $$, 'PJ003', null, 'a worker that is not registered cannot exchange');
select throws_ok($$ select procrastinate_exchange_jobs(null, '{}', null, 1) $$, 'PJ001', 'invalid worker_id: NULL', 'an exchange names its worker');
select is((select status::text from job where name = 'l2'), 'doing', 'an exchange with bad input ends nothing');

select throws_ok(format('select procrastinate_exchange_jobs(%s, null, null, 1)', :worker), 'PJ001', 'invalid job_ids: NULL', 'an exchange names its jobs');
delete from procrastinate_tokens;
select count(*) from procrastinate_finish_jobs(:worker, pg_temp.jobs('l2', 'l3'));
select results_eq(
    'select lane, id from procrastinate_tokens', $$ values (0, hashtextextended('l', 0)) $$,
    'a run of one lock that ends at once hands the lock over once');
select procrastinate_defer('send', '{"name": "l4"}', lock => 'l');
select count(*) from procrastinate_fetch_jobs(:worker, 1);

-- what ended, as finish and exchange are told
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, priority => 9) from unnest('{r,s,t}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 2);
select results_eq(
    format($$ select array(select unnest(procrastinate_succeed(%s, pg_temp.jobs('r', 's', 't') || '{-1}'::bigint[], array['1', '2', '3', '4']::jsonb[])) order by 1) $$, :worker),
    $$ values (pg_temp.jobs('r', 's')) $$,
    'succeed returns the ids of those that ended, and of no others');
select results_eq(
    $$ select name, status, attempts, result from job where name in ('r', 's', 't') order by 1 $$,
    $$ values ('r', 'succeeded'::procrastinate_job_status, 1, jsonb '1'), ('s', 'succeeded', 1, '2'), ('t', 'todo', 0, null) $$,
    'each with its own result');
select is(procrastinate_succeed(:worker, pg_temp.jobs('r', 't'), null), '{}', 'an empty array when none did');
select is(procrastinate_succeed(:worker, '{}', null), '{}', 'also when none was named');
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select is_empty(
    format($$ select * from procrastinate_finish_jobs(%s, pg_temp.jobs('t', 't')) $$, :worker),
    'a job that is named twice ends, and is not called lost');
select is((select attempts from job where name = 't'), 1, 'it ends once');

-- the fence
delete from procrastinate_workers w where w.id = :worker;
select throws_ok(
    format($$ select procrastinate_finish_jobs(%s, pg_temp.jobs('l4')) $$, :worker),
    'PJ003', null, 'nothing that a removed worker finishes is accepted, also before its jobs are taken back');
select procrastinate_tick();
select throws_ok(
    format($$ select procrastinate_finish_jobs(%s, pg_temp.jobs('l4')) $$, :worker),
    'PJ003', format('worker %s is not registered', :worker), 'nothing that a removed worker finishes is accepted');

-- jobs that are not kept
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select procrastinate_register_worker('w') as worker \gset
select procrastinate_define_task('brief', keep_succeeded => '0');
select procrastinate_define_task('failing', keep_failed => '0');
select procrastinate_defer(t, format('{"name": "%s"}', n)::jsonb, lock => l, queueing_lock => n)
from (values ('brief', 'a', null), ('brief', 'b', 'l'), ('brief', 'c', 'l'), ('failing', 'd', null), ('send', 'e', 'm'), ('brief', 'f', null)) r(t, n, l);
select count(*) from procrastinate_fetch_jobs(:worker, 10, 1);
delete from procrastinate_tokens;
insert into procrastinate_attempts (job_id, kind) select j.id, 'snoozed' from procrastinate_jobs j;
select pg_temp.job('a') as a \gset
select is_empty(
    format($$ select * from procrastinate_finish_jobs(%s, pg_temp.jobs('a', 'b', 'd', 'e'), '{1,2,3,4}') $$, :worker),
    'jobs end whose task does not keep them as others do');
select results_eq(
    'select name, status, result from job order by 1',
    $$ values ('c', 'todo'::procrastinate_job_status, null::jsonb), ('d', 'succeeded', '3'), ('e', 'succeeded', '4'), ('f', 'doing', null) $$,
    'those that succeed are deleted as they end, the others of the batch are kept');
select set_eq('select j.args ->> $d$name$d$ from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id', $$ values ('c'), ('d'), ('e'), ('f') $$, 'their attempts too');
select set_eq('select lane, id from procrastinate_tokens', $$ select 0, hashtextextended(k, 0) from unnest('{l,m}'::text[]) k $$, 'their locks are handed over');
select is_empty('select * from procrastinate_check()', 'all is well without them');
select results_eq(
    format('select job_id, outcome from procrastinate_finish_jobs(%s, array[%s, %2$s])', :worker, :a), format($$ values (%s::bigint, 'lost') $$, :a),
    'a finish of what was deleted is told that it is lost, as one of what has ended');
select results_eq(
    format($$ select args ->> 'name', outcome from procrastinate_exchange_jobs(%s, pg_temp.jobs('f', 'f'), null, 9) $$, :worker), $$ values ('c', null::text) $$,
    'an exchange deletes such a job too, and fetches the next of a lock');
select is_empty(format($$ select * from procrastinate_finish_jobs(%s, pg_temp.jobs('c')) $$, :worker), 'a job alone is deleted too');
select results_eq('select name from job order by 1', $$ values ('d'), ('e') $$, 'when it ends');
select procrastinate_define_task('*', keep_succeeded => '0');
select procrastinate_define_task('brief', keep_succeeded => '1 ms');
select procrastinate_defer(t, format('{"name": "%s"}', t)::jsonb) from unnest('{brief,failing}'::text[]) t;
select count(*) from procrastinate_finish_jobs(:worker, array(select f.id from procrastinate_fetch_jobs(:worker, 10) f));
select results_eq('select name from job order by 1', $$ values ('brief'), ('d'), ('e') $$, 'the definition of * holds for tasks that say nothing else');
select is_empty('select * from procrastinate_check()', 'all is well without those');
create function pg_temp.keep() returns trigger language plpgsql as $$ begin return case when old.args ->> 'name' <> 'kept' then old end; end $$;
create trigger keep before delete on procrastinate_jobs for each row execute function pg_temp.keep();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb) from unnest('{gone,kept}'::text[]) n;
select count(*) from procrastinate_finish_jobs(:worker, array(select f.id from procrastinate_fetch_jobs(:worker, 10) f));
select results_eq(
    $$ select name, status from job where name in ('gone', 'kept') $$, $$ values ('kept', 'succeeded'::procrastinate_job_status) $$,
    'a job whose deletion a trigger skips ends all the same');
drop trigger keep on procrastinate_jobs;
select procrastinate_drop_task('*');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
