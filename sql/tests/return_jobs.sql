-- Jobs that go back without an attempt, and those that stop because they were asked to.
begin;
select plan(44);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.jobs(variadic names text[]) returns bigint[] language sql as
    $$ select array_agg(pg_temp.job(n) order by o) from unnest(names) with ordinality u(n, o) $$;

create temp view job as
    select j.args ->> 'name' as name, j.status, j.worker_id, j.attempts::integer, j.rescues::integer, j.error from procrastinate_jobs j;

create function pg_temp.reset() returns void language sql as
    $$ delete from procrastinate_jobs; delete from procrastinate_tokens; delete from procrastinate_agenda;
       delete from procrastinate_leases; delete from procrastinate_lock_queue $$;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_register_worker('other') as other \gset

-- return
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb) from unnest('{a,b,c,d,e}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 3);
select count(*) from procrastinate_fetch_jobs(:other, 1);

select throws_ok($$ select procrastinate_return_jobs(null, '{}') $$, 'PJ001', 'invalid worker_id: NULL', 'giving back names its worker');
select throws_ok(format('select procrastinate_return_jobs(%s, null)', :worker), 'PJ001', 'invalid job_ids: NULL', 'giving back names its jobs');
select throws_ok(
    format('select procrastinate_return_jobs(%s, array[pg_temp.job(%L), null])', :worker, 'a'),
    'PJ001', 'invalid job_ids: NULL', 'giving back names each of its jobs');
select throws_ok($$ select procrastinate_return_jobs(-1, pg_temp.jobs('a')) $$, 'PJ003', 'worker -1 is not registered', 'a worker that is not registered gives nothing back');
select throws_ok($$ select procrastinate_return_jobs(-1, '{}') $$, 'PJ003', null, 'also when it gives back no job');
select is((select count(*) from job where status = 'doing'), 4::bigint, 'what was refused gave nothing back');

select is_empty(format($$ select * from procrastinate_return_jobs(%s, pg_temp.jobs('b')) $$, :worker), 'giving back returns nothing for what went back');
select results_eq(
    format($$ select j.args ->> 'name', r.outcome from procrastinate_return_jobs(%s, pg_temp.jobs('c', 'b', 'd', 'e', 'c')) r join procrastinate_jobs j on j.id = r.job_id order by 1 $$, :worker),
    $$ values ('b', 'lost'), ('d', 'lost'), ('e', 'lost') $$,
    'a job that was given back, that another worker holds, or that waits is lost; the others go back');
select results_eq(
    'select * from job order by 1',
    format($$ values ('a', 'doing'::procrastinate_job_status, %s::bigint, 0, 0, null::text), ('b', 'todo', null, 0, 0, null), ('c', 'todo', null, 0, 0, null),
                     ('d', 'doing', %s, 0, 0, null), ('e', 'todo', null, 0, 0, null) $$, :worker, :other),
    'what was given back is todo, uncounted');
select results_eq(
    $$ select j.args ->> 'name', a.kind, a.attempt, a.worker_id from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id order by 1 $$,
    format($$ values ('b', 'returned'::procrastinate_attempt_kind, 1, %1$s::bigint), ('c', 'returned', 1, %1$s) $$, :worker),
    'it is noted, once for each job');
select results_eq(
    format($$ select args ->> 'name', attempt from procrastinate_fetch_jobs(%s, 10) $$, :worker), $$ values ('b', 1), ('c', 1), ('e', 1) $$,
    'it is fetched again as the same attempt, before the job that was never fetched');
select procrastinate_cancel_job(pg_temp.job('a'), abort => true);
select is_empty(format($$ select * from procrastinate_return_jobs(%s, pg_temp.jobs('a')) $$, :worker), 'a job whose abort was requested can be given back');
select is((select status::text from job where name = 'a'), 'aborted', 'and ends as aborted');
select is_empty('select * from procrastinate_check()', 'all is well');

-- keep
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => nullif(l, '')) from unnest('{a,b,c,d,e,f}'::text[], '{"","","",x,"",""}'::text[]) r(n, l);
select count(*) from procrastinate_fetch_jobs(:worker, 2);
select count(*) from procrastinate_fetch_jobs(:worker, 3);
select count(*) from procrastinate_fetch_jobs(:other, 1);
create temp table held as select j.args ->> 'name' as name from procrastinate_jobs j where j.worker_id = :worker;
create temp table others as select j.args ->> 'name' as name from procrastinate_jobs j where j.worker_id = :other;
select throws_ok($$ select procrastinate_keep_jobs(null, '{}') $$, 'PJ001', 'invalid worker_id: NULL', 'keeping names its worker');
select throws_ok(format('select procrastinate_keep_jobs(%s, null)', :worker), 'PJ001', 'invalid job_ids: NULL', 'keeping names its jobs');
select throws_ok(format('select procrastinate_keep_jobs(%s, %L)', :worker, '{null}'), 'PJ001', 'invalid job_ids: NULL', 'keeping names each of its jobs');
select throws_ok($$ select procrastinate_keep_jobs(-1, '{}') $$, 'PJ003', 'worker -1 is not registered', 'a worker that is not registered keeps nothing');
select is_empty(
    format('select * from procrastinate_keep_jobs(%s, array(select pg_temp.job(name) from held))', :worker),
    'a worker that has all its jobs keeps them all');
select results_eq(
    format($$ select j.args ->> 'name', k.outcome from procrastinate_keep_jobs(%s, array[pg_temp.job((select min(name) from held)), pg_temp.job((select name from others)), -1]) k
              join procrastinate_jobs j on j.id = k.job_id order by 1 $$, :worker),
    $$ select name, 'returned' from held where name > (select min(name) from held) order by 1 $$,
    'all others that it holds go back, and it is told which');
select results_eq(
    'select name, status, worker_id, attempts, rescues from job order by 1',
    format($$ select n, case when n in (select min(name) from held) or n in (select name from others) then 'doing' else 'todo' end::procrastinate_job_status,
                     case when n in (select min(name) from held) then %s when n in (select name from others) then %s end::bigint, 0, 0
              from unnest('{a,b,c,d,e,f}'::text[]) n $$, :worker, :other),
    'they are todo, uncounted; those of another worker are left');
select is_empty('select * from procrastinate_check()', 'all is well, locks included');
select is_empty(format('select * from procrastinate_keep_jobs(%s, array[pg_temp.job((select min(name) from held))])', :worker), 'the same once more gives nothing back');
select is((select count(*) from procrastinate_fetch_jobs(:other, 10)), 4::bigint, 'whoever fetches next gets what went back');
select is_empty(
    format('select * from procrastinate_keep_jobs(%s, array[pg_temp.job((select min(name) from held))])', :worker),
    'what another worker got meanwhile is not taken from it');

-- snooze
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb) from unnest('{a,b,c,d}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 3);
select throws_ok(format($$ select procrastinate_snooze_job(%s, pg_temp.job('a'), null) $$, :worker), 'PJ001', 'invalid snooze_in: NULL', 'a job is snoozed for some span');
select throws_ok(format($$ select procrastinate_snooze_job(%s, pg_temp.job('a'), '-1 s') $$, :worker), 'PJ001', 'invalid snooze_in: -00:00:01', 'a job cannot be snoozed into the past');
select throws_ok(format($$ select procrastinate_snooze_job(%s, pg_temp.job('a'), '101 years') $$, :worker), 'PJ001', 'invalid snooze_in: 101 years', 'a job cannot be snoozed for ever');
select throws_ok(format($$ select procrastinate_snooze_job(%s, null, '1 s') $$, :worker), 'PJ001', 'invalid job_ids: NULL', 'snoozing names its job');
select throws_ok($$ select procrastinate_snooze_job(null, 1, '1 s') $$, 'PJ001', 'invalid worker_id: NULL', 'snoozing names its worker');
select throws_ok(format($$ select procrastinate_snooze_job(%s, pg_temp.job('a'), '1 s') $$, :other), 'PJ002', null, 'a worker cannot snooze another one''s job');
select throws_ok(format($$ select procrastinate_snooze_job(%s, pg_temp.job('d'), '1 s') $$, :worker), 'PJ002', null, 'a waiting job cannot be snoozed');
select throws_ok($$ select procrastinate_snooze_job(-1, pg_temp.job('a'), '1 s') $$, 'PJ003', null, 'a worker that is not registered cannot snooze');
select is(procrastinate_snooze_job(:worker, pg_temp.job('a'), '1 hour')::text, 'todo', 'a job that is snoozed is todo');
select results_eq(
    $$ select status, attempts::integer, rescues::integer, worker_id, scheduled_at - clock_timestamp() between '59 min' and '60 min' from procrastinate_jobs where id = pg_temp.job('a') $$,
    $$ values ('todo'::procrastinate_job_status, 0, 0, null::bigint, true) $$,
    'uncounted, and due when the span is over');
select procrastinate_cancel_job(pg_temp.job('b'), abort => true);
select is(procrastinate_snooze_job(:worker, pg_temp.job('b'), '1 hour')::text, 'aborted', 'a job whose abort was requested is aborted instead');
select is_empty('select * from procrastinate_check()', 'all is well after snoozing');

-- abort
select throws_ok(format($$ select procrastinate_abort_job(%s, pg_temp.job('c')) $$, :other), 'PJ002', null, 'a worker cannot abort another one''s job');
select throws_ok(format($$ select procrastinate_abort_job(%s, pg_temp.job('d')) $$, :worker), 'PJ002', null, 'a waiting job cannot be aborted by a worker');
select throws_ok($$ select procrastinate_abort_job(-1, pg_temp.job('c')) $$, 'PJ003', null, 'a worker that is not registered cannot abort');
select throws_ok(format($$ select procrastinate_abort_job(%s, null) $$, :worker), 'PJ001', 'invalid job_ids: NULL', 'aborting names its job');
select is(procrastinate_abort_job(:worker, pg_temp.job('c'), 'stopped at page 7')::text, 'aborted', 'a job whose handler has stopped is aborted');
select results_eq(
    $$ select * from job where name = 'c' $$, $$ values ('c', 'aborted'::procrastinate_job_status, null::bigint, 1, 0, 'stopped at page 7') $$,
    'its attempt counts, and its error is kept');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
