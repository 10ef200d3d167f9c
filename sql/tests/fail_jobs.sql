-- Attempts that end in failure, and what the policy says then.
begin;
select plan(35);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.jobs(variadic names text[]) returns bigint[] language sql as
    $$ select array_agg(pg_temp.job(n) order by o) from unnest(names) with ordinality u(n, o) $$;

-- how a job stands: in how many seconds, about, it is due
create temp view job as
    select j.args ->> 'name' as name, j.status, j.attempts::integer, j.error, round(extract(epoch from j.scheduled_at - clock_timestamp()))::integer as due_in
    from procrastinate_jobs j;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_register_worker('other') as other \gset

select procrastinate_define_task('wait', max_attempts => 3, retry_wait => '100 s', retry_linear => '20 s');
select procrastinate_define_task('once', retry_wait => '100 s');

-- bad input
select procrastinate_defer('wait', '{"name": "a"}');
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select throws_ok($$ select procrastinate_fail_jobs(null, pg_temp.jobs('a')) $$, 'PJ001', 'invalid worker_id: NULL', 'a failure names its worker');
select throws_ok(format('select procrastinate_fail_jobs(%s, null)', :worker), 'PJ001', 'invalid job_ids: NULL', 'a failure names its jobs');
select throws_ok(format('select procrastinate_fail_jobs(%s, array[pg_temp.job(%L), null])', :worker, 'a'), 'PJ001', 'invalid job_ids: NULL', 'a failure names each of its jobs');
select throws_ok(
    format($$ select procrastinate_fail_jobs(%s, pg_temp.jobs('a'), %s) $$, :worker, x),
    'PJ001', 'invalid errors, retry_in or final: not as many as jobs', x || ' does not fit one job')
from unnest(array[$$errors => '{}'$$, $$errors => '{a,b}'$$, $$retry_in => '{1 s,1 s}'$$, $$final => '{t,t}'$$]) x;
select throws_ok(
    format($$ select procrastinate_fail_jobs(%s, pg_temp.jobs('a'), retry_in => '{-1 s}') $$, :worker),
    'PJ001', 'invalid retry_in: -00:00:01', 'a job cannot run again in the past');
select throws_ok(
    format($$ select procrastinate_fail_job(%s, pg_temp.job('a'), retry_in => '101 years') $$, :worker),
    'PJ001', 'invalid retry_in: 101 years', 'a job cannot run again in a century');
select throws_ok($$ select procrastinate_fail_jobs(-1, pg_temp.jobs('a')) $$, 'PJ003', 'worker -1 is not registered', 'a worker that is not registered fails nothing');
select throws_ok($$ select procrastinate_fail_jobs(-1, '{}') $$, 'PJ003', null, 'also when it fails no job');
select throws_ok($$ select procrastinate_fail_job(-1, pg_temp.job('a')) $$, 'PJ003', null, 'nor does it fail a single job');
select throws_ok(format('select procrastinate_fail_job(%s, null)', :worker), 'PJ001', 'invalid job_ids: NULL', 'a single failure names its job');
select throws_ok(
    format($$ select procrastinate_fail_job(%s, pg_temp.job('a'), 'boom') $$, :other),
    'PJ002', format('job %s is not held by worker %s', pg_temp.job('a'), :other), 'a worker cannot fail a job that another one holds');
select throws_ok(format($$ select procrastinate_fail_job(%s, -1, 'boom') $$, :worker), 'PJ002', null, 'a worker cannot fail a job that does not exist');
select results_eq(
    'select name, status, attempts, error, due_in, (select count(*) from procrastinate_attempts) from job',
    $$ values ('a', 'doing'::procrastinate_job_status, 0, null::text, null::integer, 0::bigint) $$,
    'what was refused has written nothing');

-- the policy, time after time
select is(procrastinate_fail_job(:worker, pg_temp.job('a'), 'boom')::text, 'todo', 'a job that may run three times goes back to todo after its first failure');
select results_eq(
    'select * from job', $$ values ('a', 'todo'::procrastinate_job_status, 1, 'boom', 100) $$,
    'it runs again after the wait of its task');
select is_empty(format('select * from procrastinate_fetch_jobs(%s, 1)', :worker), 'it does not run before');
update procrastinate_jobs j set scheduled_at = now();
update procrastinate_agenda a set at = now();
select procrastinate_tick();
select results_eq(format('select attempt, max_attempts from procrastinate_fetch_jobs(%s, 1)', :worker), $$ values (2, 3) $$, 'then it runs its second time');
select results_eq(
    format($$ select job_id, status from procrastinate_fail_jobs(%s, pg_temp.jobs('a'), '{bang}') $$, :worker),
    $$ values (pg_temp.job('a'), 'todo') $$, 'the second failure sends it back again');
select results_eq('select * from job', $$ values ('a', 'todo'::procrastinate_job_status, 2, 'bang', 120) $$, 'the wait grows with the attempts');
update procrastinate_jobs j set scheduled_at = now();
update procrastinate_agenda a set at = now();
select procrastinate_tick();
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select is(procrastinate_fail_job(:worker, pg_temp.job('a'), 'crash')::text, 'failed', 'the third failure is the last');
select results_eq(
    'select name, status, attempts, error from job', $$ values ('a', 'failed'::procrastinate_job_status, 3, 'crash') $$,
    'the job has failed, with its last error');
select results_eq(
    'select kind, attempt, error, scheduled_at is null from procrastinate_attempts order by id',
    $$ values ('failed'::procrastinate_attempt_kind, 1, 'boom', false), ('failed', 2, 'bang', false), ('failed', 3, 'crash', true) $$,
    'each failure is noted');
select is_empty('select * from procrastinate_check()', 'all is well after the last');

-- who decides
delete from procrastinate_jobs;
select procrastinate_defer(t, format('{"name": "%s"}', n)::jsonb, max_attempts => m, priority => 100 - row_number() over ()::integer)
from (values
    ('a undefined', 'never', null), ('b once', 'once', null), ('c job says more', 'once', 2), ('d job says less', 'wait', 1), ('e handler says when', 'wait', null),
    ('f handler says final', 'wait', null), ('g not final', 'wait', null), ('h when, but none left', 'once', null), ('i now', 'wait', null), ('j no error', 'wait', null)
) r(n, t, m);
select count(*) from procrastinate_fetch_jobs(:worker, 100);
select results_eq(
    format($$ select j.args ->> 'name', f.status
       from procrastinate_fail_jobs(%s,
           array(select id from procrastinate_jobs order by args ->> 'name'),
           array['e1', 'e2', 'e3', 'e4', 'e5', 'e6', 'e7', 'e8', 'e9', null],
           array[null, null, null, null, '7 s', null, null, '7 s', '0', null]::interval[],
           array[null, null, null, null, null, true, false, null, null, null]::boolean[]) f
       join procrastinate_jobs j on j.id = f.job_id
       order by 1 $$, :worker),
    $$ values ('a undefined', 'failed'), ('b once', 'failed'), ('c job says more', 'todo'), ('d job says less', 'failed'), ('e handler says when', 'todo'),
              ('f handler says final', 'failed'), ('g not final', 'todo'), ('h when, but none left', 'failed'), ('i now', 'todo'), ('j no error', 'todo') $$,
    'each job of a batch is returned with its new status');
select results_eq(
    'select name, status, error, due_in from job order by 1',
    $$ values ('a undefined', 'failed'::procrastinate_job_status, 'e1', null::integer), ('b once', 'failed', 'e2', null), ('c job says more', 'todo', 'e3', 100),
              ('d job says less', 'failed', 'e4', null), ('e handler says when', 'todo', 'e5', 7), ('f handler says final', 'failed', 'e6', null),
              ('g not final', 'todo', 'e7', 100), ('h when, but none left', 'failed', 'e8', null), ('i now', 'todo', 'e9', 0), ('j no error', 'todo', 'no reason given', 100) $$,
    'the policy decides, the job''s max_attempts before its task''s, unless the handler has said when or never');
select is_empty('select * from procrastinate_check()', 'all is well after the batch');

select procrastinate_define_task('*', max_attempts => 2, retry_wait => '30 s');
select procrastinate_defer('never', '{"name": "k default"}');
select count(*) from procrastinate_fetch_jobs(:worker, 100);
select count(*) from procrastinate_fail_jobs(:worker, pg_temp.jobs('k default'));
select results_eq(
    $$ select name, status, due_in from job where name = 'k default' $$, $$ values ('k default', 'todo'::procrastinate_job_status, 30) $$,
    'the policy of * is that of all tasks');
update procrastinate_jobs j set max_attempts = null, attempts = 1, status = 'doing', worker_id = :worker, started_at = now() where j.id = pg_temp.job('k default');
select is(procrastinate_fail_job(:worker, pg_temp.job('k default'))::text, 'failed', 'a job without a bound of its own has that of its task when it fails');

-- lost, aborted, nothing
delete from procrastinate_jobs;
select procrastinate_defer('wait', format('{"name": "%s"}', n)::jsonb) from unnest('{a,b,c,d}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 2);
select count(*) from procrastinate_fetch_jobs(:other, 1);
select procrastinate_cancel_job(pg_temp.job('b'), abort => true);
select results_eq(
    format($$ select j.args ->> 'name', f.status from procrastinate_fail_jobs(%s, pg_temp.jobs('a', 'b', 'c', 'd', 'a')) f
              join procrastinate_jobs j on j.id = f.job_id order by 1 $$, :worker),
    $$ values ('a', 'todo'), ('b', 'aborted'), ('c', 'lost'), ('d', 'lost') $$,
    'a job of another worker and a waiting one are lost, one whose abort was requested is aborted');
select results_eq(
    'select name, status, attempts from job order by 1',
    $$ values ('a', 'todo'::procrastinate_job_status, 1), ('b', 'aborted', 1), ('c', 'doing', 0), ('d', 'todo', 0) $$,
    'a lost job is left as it is, and one that is named twice fails once');
select is_empty(format('select * from procrastinate_fail_jobs(%s, %L)', :worker, '{}'), 'a failure of no job does nothing');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
