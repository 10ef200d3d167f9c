-- Whoever deletes jobs leaves nothing dangling.
begin;
select plan(19);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.fetch(worker bigint, max_jobs integer) returns setof text language sql as
    $$ select f.args ->> 'name' from procrastinate_fetch_jobs(worker, max_jobs) f $$;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => nullif(l, ''), queueing_lock => n)
from (values ('a1', 'a'), ('a2', 'a'), ('b1', 'b'), ('b2', 'b'), ('c1', 'c'), ('d1', 'd'), ('x', ''), ('y', '')) r(n, l);
select procrastinate_cancel_job(pg_temp.job('c1'));
select count(*) from pg_temp.fetch(:worker, 3);     -- one each of a, b and d, or x
select count(*) from pg_temp.fetch(:worker, 10);
insert into procrastinate_attempts (job_id, kind) select j.id, 'snoozed' from procrastinate_jobs j where j.id <> pg_temp.job('c1');
delete from procrastinate_tokens;
create temp table gone as select j.args ->> 'name' as name, j.id from procrastinate_jobs j;

-- running and waiting
delete from procrastinate_jobs j where j.id in (pg_temp.job('a1'), pg_temp.job('b2'), pg_temp.job('x'));
select set_eq(
    $$ select j.args ->> 'name', q.held from procrastinate_lock_queue q left join procrastinate_jobs j on j.id = q.job_id $$,
    $$ values ('a2', false), ('b1', true), ('d1', true) $$,
    'a job that is deleted leaves the lock queue, and nobody else does');
select set_eq(
    'select lane, id from procrastinate_tokens', $$ select 0, hashtextextended(k, 0) from unnest('{a,b}'::text[]) k $$,
    'the locks of deleted jobs are handed over');
select set_eq(
    'select queueing_lock from procrastinate_queueing_locks', $$ values ('a2') $$,
    'a waiting job that is deleted lets its queueing lock go');
select set_eq(
    $$ select g.name, a.kind from procrastinate_attempts a join gone g on g.id = a.job_id $$,
    $$ values ('a2', 'snoozed'::procrastinate_attempt_kind), ('b1', 'snoozed'), ('c1', 'cancelled'), ('d1', 'snoozed'), ('y', 'snoozed') $$,
    'the attempts of deleted jobs are deleted with them, the others are left');
select is_empty('select * from procrastinate_check()', 'all is well after the delete');
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('a2') $$, 'the next job of a lock whose holder was deleted starts');
select results_eq(
    format('select outcome from procrastinate_finish_jobs(%s, array[(select id from gone where name = %L)])', :worker, 'a1'), $$ values ('lost') $$,
    'the worker of a deleted job is told that it is lost');

-- ended
delete from procrastinate_tokens;
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('d1')]);
delete from procrastinate_tokens;
delete from procrastinate_jobs j where j.status not in ('todo', 'doing');
select is_empty('select * from procrastinate_tokens', 'a job that has ended has no lock to hand over');
select is_empty('select * from procrastinate_check()', 'all is well after the delete of ended jobs');

-- what is not the job's
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('y', -1), ('z', pg_temp.job('y'));
insert into procrastinate_lock_queue (key, held, priority, job_id)
select hashtextextended(k, 0), true, p, case when i then pg_temp.job('b1') else -1 end
from (values ('b', 9, true), ('x', 0, true), ('b', 0, false)) r(k, p, i);
delete from procrastinate_jobs j where j.id in (pg_temp.job('y'), pg_temp.job('b1'));
select set_eq('select queueing_lock from procrastinate_queueing_locks', $$ values ('y'), ('z') $$, 'a queueing lock of another job, or of another name, is left');
select set_eq(
    'select key, priority, job_id < 0 from procrastinate_lock_queue',
    $$ values (hashtextextended('a', 0), 0, false), (hashtextextended('b', 0), 9, false), (hashtextextended('x', 0), 0, false), (hashtextextended('b', 0), 0, true) $$,
    'a place of another job, of another priority or of another lock is left');
delete from procrastinate_queueing_locks;
select procrastinate_repair();

-- future, and all
select procrastinate_defer('send', '{"name": "f"}', lock => 'a', schedule_in => '1 hour');
select procrastinate_defer('send', '{"name": "g"}', lock => 'a');
delete from procrastinate_tokens;
delete from procrastinate_jobs;
select results_eq(
    'select lane, id from procrastinate_tokens', $$ values (0, hashtextextended('a', 0)) $$,
    'several jobs of one lock that are deleted together hand it over once');
select is_empty('select * from procrastinate_attempts', 'a delete of all jobs leaves no attempt');
select is_empty('select * from procrastinate_lock_queue', 'nor any place in the lock queue');
select is_empty('select * from procrastinate_check()', 'all is well without jobs');
select is_empty(format('select pg_temp.fetch(%s, 10)', :worker), 'there is nothing to fetch');

-- truncate
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => n, queueing_lock => n) from unnest('{a,b}'::text[]) n;
select count(*) from pg_temp.fetch(:worker, 1);
insert into procrastinate_attempts (job_id, kind) select j.id, 'snoozed' from procrastinate_jobs j;
truncate procrastinate_jobs;
select is_empty(
    $$ select 'token' from procrastinate_tokens union all select 'lock' from procrastinate_lock_queue union all select 'queueing lock' from procrastinate_queueing_locks
       union all select 'lease' from procrastinate_leases union all select 'attempt' from procrastinate_attempts union all select 'agenda' from procrastinate_agenda $$,
    'truncate leaves nothing of the jobs');
select procrastinate_defer('send', '{"name": "g"}', lock => 'a', queueing_lock => 'a');
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('g') $$, 'new jobs are served after it');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
