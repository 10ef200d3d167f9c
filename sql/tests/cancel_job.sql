-- Cancelling waiting jobs, and asking running ones to stop.
begin;
select plan(21);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, queueing_lock => n)
from unnest('{a,b,c,d,e}'::text[]) n;

-- waiting
select is(procrastinate_cancel_job(pg_temp.job('a'))::text, 'cancelled', 'a waiting job is cancelled at once');
select results_eq(
    $$ select status, attempts::integer, worker_id, finished_at between now() and clock_timestamp() from procrastinate_jobs where id = pg_temp.job('a') $$,
    $$ values ('cancelled'::procrastinate_job_status, 0, null::bigint, true) $$,
    'it has ended, without an attempt');
select results_eq(
    'select job_id, kind, attempt, started_at, worker_id from procrastinate_attempts',
    $$ values (pg_temp.job('a'), 'cancelled'::procrastinate_attempt_kind, null::integer, null::timestamptz, null::bigint) $$,
    'its end is noted');
select results_eq(
    'select queueing_lock from procrastinate_queueing_locks order by 1', $$ values ('b'), ('c'), ('d'), ('e') $$,
    'it lets its queueing lock go');
select is(procrastinate_cancel_job(pg_temp.job('a'))::text, 'cancelled', 'a cancelled job may be cancelled again');
select is(procrastinate_cancel_job(pg_temp.job('a'), abort => true)::text, 'cancelled', 'also with abort');
select is((select count(*) from procrastinate_attempts), 1::bigint, 'which is not noted');
select is(procrastinate_cancel_job(pg_temp.job('b'), abort => true)::text, 'cancelled', 'abort cancels a waiting job too');
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 2) $$, :worker), $$ values ('c'), ('d') $$,
    'a cancelled job is not fetched, nor does it take the place of one that waits');

-- running
select throws_ok(
    $$ select procrastinate_cancel_job(pg_temp.job('c')) $$, 'PJ005', format('job %s is doing', pg_temp.job('c')),
    'a running job is not cancelled unless its abort is wanted');
select throws_ok($$ select procrastinate_cancel_job(pg_temp.job('c'), null) $$, 'PJ005', null, 'nor when nobody knows whether it is');
select is(procrastinate_cancel_job(pg_temp.job('c'), abort => true)::text, 'doing', 'a running job goes on until its handler has stopped');
select is(procrastinate_cancel_job(pg_temp.job('c'), abort => true)::text, 'doing', 'its abort may be requested again');
select results_eq(
    $$ select args ->> 'name', status, abort_requested, worker_id from procrastinate_jobs where status = 'doing' order by 1 $$,
    format($$ values ('c', 'doing'::procrastinate_job_status, true, %1$s::bigint), ('d', 'doing', false, %1$s) $$, :worker),
    'the request is stored in the job, and in no other');
select results_eq(
    $$ select a.kind, a.attempt, a.worker_id, a.started_at = j.started_at from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id where j.id = pg_temp.job('c') $$,
    format($$ values ('abort_requested'::procrastinate_attempt_kind, 1, %s::bigint, true) $$, :worker),
    'the request is noted once');

-- ended, or not there
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('d')]);
select throws_ok(
    $$ select procrastinate_cancel_job(pg_temp.job('d'), abort => true) $$, 'PJ005', format('job %s is succeeded', pg_temp.job('d')),
    'a job that has succeeded is not cancelled');
select procrastinate_fail_job(:worker, pg_temp.job('c'), final => true);
select throws_ok($$ select procrastinate_cancel_job(pg_temp.job('c')) $$, 'PJ005', format('job %s is failed', pg_temp.job('c')), 'a job that has failed is not cancelled');
select throws_ok('select procrastinate_cancel_job(-1)', 'PJ004', 'job -1 does not exist', 'a job that does not exist is not cancelled');
select throws_ok('select procrastinate_cancel_job(null)', 'PJ001', 'invalid job_id: NULL', 'a job is cancelled by its id');
select is((select count(*) from procrastinate_jobs j where j.status = 'todo'), 1::bigint, 'one job is left that waits');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
