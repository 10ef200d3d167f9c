-- An operator lets a job run once more.
begin;
select plan(25);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

create temp view job as
    select j.args ->> 'name' as name, j.status, j.attempts::integer, j.error, j.finished_at from procrastinate_jobs j;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, queueing_lock => n, lock => 'l' || n)
from unnest('{a failed,b cancelled,c aborted,d succeeded,e doing,f todo}'::text[]) n;
select procrastinate_cancel_job(pg_temp.job('b cancelled'));
update procrastinate_jobs j set scheduled_at = '2101-01-01' where j.id = pg_temp.job('f todo');
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select procrastinate_fail_job(:worker, pg_temp.job('a failed'), 'boom');
select procrastinate_abort_job(:worker, pg_temp.job('c aborted'));
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('d succeeded')]);
delete from procrastinate_attempts;

-- refused
select throws_ok($$ select procrastinate_retry_job(pg_temp.job('d succeeded')) $$, 'PJ005', format('job %s is succeeded', pg_temp.job('d succeeded')), 'a job that has succeeded is not retried');
select throws_ok($$ select procrastinate_retry_job(pg_temp.job('e doing')) $$, 'PJ005', format('job %s is doing', pg_temp.job('e doing')), 'a running job is not retried');
select throws_ok($$ select procrastinate_retry_job(pg_temp.job('f todo')) $$, 'PJ005', format('job %s is todo', pg_temp.job('f todo')), 'a waiting job is not retried');
select throws_ok('select procrastinate_retry_job(-1)', 'PJ004', 'job -1 does not exist', 'a job that does not exist is not retried');
select throws_ok('select procrastinate_retry_job(null)', 'PJ001', 'invalid job_id: NULL', 'a job is retried by its id');
select throws_ok($$ select procrastinate_retry_job(pg_temp.job('a failed'), '-1 s') $$, 'PJ001', 'invalid schedule_in: -00:00:01', 'a job is not retried in the past');
select throws_ok($$ select procrastinate_retry_job(pg_temp.job('a failed'), '101 years') $$, 'PJ001', 'invalid schedule_in: 101 years', 'a job is not retried in a century');
select results_eq(
    'select name, status from job order by 1',
    $$ values ('a failed', 'failed'::procrastinate_job_status), ('b cancelled', 'cancelled'), ('c aborted', 'aborted'), ('d succeeded', 'succeeded'), ('e doing', 'doing'), ('f todo', 'todo') $$,
    'what was refused has changed nothing');

-- retried
select is(procrastinate_retry_job(pg_temp.job('a failed'))::text, 'todo', 'a job that has failed is todo again');
select is(procrastinate_retry_job(pg_temp.job('b cancelled'))::text, 'todo', 'so is one that was cancelled');
select is(procrastinate_retry_job(pg_temp.job('c aborted'), '1 hour')::text, 'todo', 'and one that was aborted');
select results_eq(
    $$ select * from job where name < 'd' order by 1 $$,
    $$ values ('a failed', 'todo'::procrastinate_job_status, 1, 'boom', null::timestamptz), ('b cancelled', 'todo', 0, null, null), ('c aborted', 'todo', 1, null, null) $$,
    'their attempts stay counted');
select results_eq(
    $$ select j.args ->> 'name', round(extract(epoch from j.scheduled_at - clock_timestamp()) / 60)::integer from procrastinate_jobs j where j.args ->> 'name' < 'd' order by 1 $$,
    $$ values ('a failed', 0), ('b cancelled', 0), ('c aborted', 60) $$,
    'they are due now, or when it was said');
select results_eq(
    $$ select j.args ->> 'name', a.kind, a.attempt, a.worker_id, a.scheduled_at = j.scheduled_at from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id order by 1 $$,
    $$ values ('a failed', 'retried'::procrastinate_attempt_kind, null::integer, null::bigint, true), ('b cancelled', 'retried', null, null, true), ('c aborted', 'retried', null, null, true) $$,
    'each retry is noted');
select set_eq(
    'select queueing_lock from procrastinate_queueing_locks', $$ values ('a failed'), ('b cancelled'), ('c aborted'), ('f todo') $$,
    'they have their queueing locks again');
delete from procrastinate_lock_queue q where q.job_id = pg_temp.job('f todo');
insert into procrastinate_agenda (at, id) values ('2101-01-01', pg_temp.job('f todo'));
select is_empty('select * from procrastinate_check()', 'all is well with the retries');
select set_eq(
    format($$ select args ->> 'name', attempt from procrastinate_fetch_jobs(%s, 10) $$, :worker), $$ values ('a failed', 2), ('b cancelled', 1) $$,
    'those that are due are fetched, as their next attempt');
select is(procrastinate_fail_job(:worker, pg_temp.job('a failed'), 'bang')::text, 'failed', 'a job whose attempts are used up fails for good when it fails again');
select results_eq(
    $$ select * from job where name = 'a failed' $$, $$ select 'a failed', 'failed'::procrastinate_job_status, 2, 'bang', j.finished_at from procrastinate_jobs j where j.id = pg_temp.job('a failed') $$,
    'with one attempt more');

-- a queueing lock that is taken
select procrastinate_defer('send', '{"name": "g"}', queueing_lock => 'a failed');
select is(procrastinate_retry_job(pg_temp.job('a failed'))::text, 'todo', 'a job is retried also while another waits with its queueing lock');
select results_eq(
    $$ select j.queueing_lock::text, a.queueing_lock from procrastinate_jobs j join procrastinate_attempts a on a.job_id = j.id
       where j.id = pg_temp.job('a failed') order by a.id desc limit 1 $$,
    $$ values (null::text, 'a failed') $$,
    'it gives the queueing lock up, which is noted');
select is_empty('select * from procrastinate_check()', 'all is well with the queueing locks');

-- zero
select procrastinate_cancel_job(pg_temp.job('g'));
select is(procrastinate_retry_job(pg_temp.job('g'), '0')::text, 'todo', 'a job may be retried in no time');
select set_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) $$, :worker), $$ values ('a failed'), ('g') $$,
    'and is due at once');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
