-- Giving a waiting job another priority, queue or time.
begin;
select plan(26);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.fetch(worker bigint, max_jobs integer) returns setof text language sql as
    $$ select f.args ->> 'name' from procrastinate_fetch_jobs(worker, max_jobs) f $$;

create temp view job as
    select j.args ->> 'name' as name, j.status, j.priority, j.queue_name::text, j.scheduled_at::timestamptz from procrastinate_jobs j;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_register_worker('mail', queues => '{mail}') as mail \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, priority => 5) from unnest('{a,b,c,d}'::text[]) n;

-- bad input
select throws_ok($$ select procrastinate_change_job(pg_temp.job('a'), queue => '') $$, 'PJ001', 'invalid queue: empty', 'a job needs a queue with a name');
select throws_ok($$ select procrastinate_change_job(pg_temp.job('a'), queue => repeat('q', 129)) $$, 'PJ001', 'invalid queue: 129 characters', 'a queue''s name has a bound');
select throws_ok($$ select procrastinate_change_job(pg_temp.job('a'), schedule_at => 'infinity') $$, 'PJ001', 'invalid schedule_at: infinity', 'a job is due at some time');
select throws_ok($$ select procrastinate_change_job(pg_temp.job('a'), schedule_at => '-infinity') $$, 'PJ001', 'invalid schedule_at: -infinity', 'a job was due at some time');
select throws_ok('select procrastinate_change_job(null, 1)', 'PJ001', 'invalid job_id: NULL', 'a job is changed by its id');
select throws_ok('select procrastinate_change_job(-1, 1)', 'PJ004', 'job -1 does not exist', 'a job that does not exist is not changed');

-- each of the three
select is(procrastinate_change_job(pg_temp.job('a'))::text, 'todo', 'a change of nothing returns the status');
select is(procrastinate_change_job(pg_temp.job('b'), 9)::text, 'todo', 'so does a change of priority');
select procrastinate_change_job(pg_temp.job('c'), queue => 'mail');
select procrastinate_change_job(pg_temp.job('d'), schedule_at => '2101-01-01');
select results_eq(
    'select * from job order by 1',
    $$ values ('a', 'todo'::procrastinate_job_status, 5, 'default', null::timestamptz), ('b', 'todo', 9, 'default', null),
              ('c', 'todo', 5, 'mail', null), ('d', 'todo', 5, 'default', '2101-01-01') $$,
    'what was given has changed, what was left NULL has not');
select is_empty('select * from procrastinate_check()', 'the hints have changed with it');
select results_eq(
    $$ select count(*) from procrastinate_tokens where id = pg_temp.job('a') $$, $$ values (1::bigint) $$,
    'a change of nothing writes no hint');
select results_eq(format('select pg_temp.fetch(%s, 10)', :mail), $$ values ('c') $$, 'a job is fetched from its new queue');
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('b'), ('a') $$, 'a job is fetched at its new priority, and one put off is not');
select procrastinate_change_job(pg_temp.job('d'), 1, 'mail', '2001-01-01');
select results_eq(
    format('select task_name, queue_name, priority, scheduled_at from procrastinate_fetch_jobs(%s, 10)', :mail), $$ values ('send', 'mail', 1, timestamptz '2001-01-01') $$,
    'all three may change at once, and a job brought forward starts');
select is_empty('select * from procrastinate_check()', 'all is well with all of them running');

-- not waiting
select throws_ok($$ select procrastinate_change_job(pg_temp.job('a'), 1) $$, 'PJ005', format('job %s is doing', pg_temp.job('a')), 'a running job is not changed');
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('a')]);
select throws_ok($$ select procrastinate_change_job(pg_temp.job('a'), 1) $$, 'PJ005', format('job %s is succeeded', pg_temp.job('a')), 'nor is one that has ended');
select results_eq($$ select priority from job where name = 'a' $$, $$ values (5) $$, 'what was refused has changed nothing');

-- with a lock
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => 'l', queueing_lock => n) from unnest('{a,b,c}'::text[]) n;
select procrastinate_change_job(pg_temp.job('c'), 3);
select results_eq(
    $$ select priority, job_id, held from procrastinate_lock_queue order by priority desc, job_id $$,
    $$ values (3, pg_temp.job('c'), false), (0, pg_temp.job('a'), false), (0, pg_temp.job('b'), false) $$,
    'a job takes its new place in the lock queue, and leaves the old one');
select procrastinate_change_job(pg_temp.job('a'), schedule_at => '2101-01-01');
select is_empty($$ select * from procrastinate_lock_queue where job_id = pg_temp.job('a') $$, 'a job that is put off leaves the lock queue');
select is_empty('select * from procrastinate_check()', 'all is well with the lock');
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('c') $$, 'the lock''s best job starts first');
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('c')]);
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('b') $$, 'and then the one behind the one that was put off');
select results_eq('select queueing_lock from procrastinate_queueing_locks', $$ values ('a') $$, 'a change keeps the queueing lock');

-- the only one of its lock
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('b')]);
select procrastinate_defer('send', '{"name": "e"}', lock => 'm', queue => 'web');
select procrastinate_change_job(pg_temp.job('e'), queue => 'mail');
select results_eq(format('select pg_temp.fetch(%s, 10)', :mail), $$ values ('e') $$, 'a job with a lock is fetched from its new queue');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
