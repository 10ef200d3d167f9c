-- Every way of a job out of its status but plain success. The functions that call this check who may; here: what it does.
begin;
select plan(42);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

create function pg_temp.end_job(
    name text, kind text, status text, scheduled_at timestamptz default null, error text default null)
returns procrastinate_job_status language sql as
    $$ select e.status from procrastinate_end_jobs(array[
           row(pg_temp.job(name), kind, status, scheduled_at, error)::procrastinate_end]) e $$;

create function pg_temp.reset() returns void language sql as
    $$ delete from procrastinate_jobs; delete from procrastinate_tokens; delete from procrastinate_agenda;
       delete from procrastinate_leases; delete from procrastinate_lock_queue $$;

create temp view job as
    select j.args ->> 'name' as name, j.status, j.attempts::integer, j.rescues::integer, j.worker_id, j.error, j.abort_requested,
           j.finished_at between now() and clock_timestamp() as ended, j.scheduled_at::date as due
    from procrastinate_jobs j;

create temp view attempt as
    select j.args ->> 'name' as name, a.kind, a.attempt, a.worker_id, a.error, a.scheduled_at::date as due, a.queueing_lock,
           a.started_at is not distinct from j.started_at as same_start, a.at between now() and clock_timestamp() as now
    from procrastinate_attempts a
    join procrastinate_jobs j on j.id = a.job_id;

create temp view token as
    select coalesce(l.kind, 'none') as kind, coalesce(j.args ->> 'name', 'lock') as name
    from procrastinate_tokens t
    join procrastinate_lanes l using (lane)
    left join procrastinate_jobs j on j.id = t.id;

select procrastinate_register_worker('w') as worker \gset

-- each kind, from doing
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb)
from unnest('{a failed,b again,c aborted,d snoozed,e returned,f rescued,g buried,h runs,i cancelled,j waits}'::text[]) n;
update procrastinate_jobs j set attempts = 2, rescues = 1;
select count(*) from procrastinate_fetch_jobs(:worker, 8);
update procrastinate_jobs j set started_at = '2020-02-02' where j.status = 'doing';
select results_eq(
    $$ select pg_temp.end_job('a failed', 'failed', 'failed', error => 'boom'),
              pg_temp.end_job('b again', 'failed', 'todo', '2101-01-01', 'bang'),
              pg_temp.end_job('c aborted', 'aborted', 'aborted'),
              pg_temp.end_job('d snoozed', 'snoozed', 'todo', '2102-01-01'),
              pg_temp.end_job('e returned', 'returned', 'todo'),
              pg_temp.end_job('f rescued', 'rescued', 'todo', error => 'worker died'),
              pg_temp.end_job('g buried', 'rescued', 'failed', error => 'worker died 2 times'),
              pg_temp.end_job('i cancelled', 'cancelled', 'cancelled') $$,
    $$ select 'failed'::procrastinate_job_status, 'todo'::procrastinate_job_status, 'aborted'::procrastinate_job_status, 'todo'::procrastinate_job_status,
              'todo'::procrastinate_job_status, 'todo'::procrastinate_job_status, 'failed'::procrastinate_job_status, 'cancelled'::procrastinate_job_status $$,
    'each job has the status that was asked for');
select results_eq(
    'select name, status, attempts, rescues, worker_id, error, ended, due from job order by 1',
    format($$ values ('a failed', 'failed'::procrastinate_job_status, 3, 1, null::bigint, 'boom', true, null::date),
                     ('b again', 'todo', 3, 1, null, 'bang', null, '2101-01-01'),
                     ('c aborted', 'aborted', 3, 1, null, null, true, null),
                     ('d snoozed', 'todo', 2, 1, null, null, null, '2102-01-01'),
                     ('e returned', 'todo', 2, 1, null, null, null, current_date),
                     ('f rescued', 'todo', 2, 2, null, 'worker died', null, current_date),
                     ('g buried', 'failed', 2, 2, null, 'worker died 2 times', true, null),
                     ('h runs', 'doing', 2, 1, %s, null, null, null),
                     ('i cancelled', 'cancelled', 2, 1, null, null, true, null),
                     ('j waits', 'todo', 2, 1, null, null, null, null) $$, :worker),
    'failing and aborting count an attempt, a rescue counts as one, the others count nothing; nobody holds what has ended');
select results_eq(
    'select * from attempt order by 1',
    format($$ values ('a failed', 'failed'::procrastinate_attempt_kind, 3, %1$s::bigint, 'boom', null::date, null::text, true, true),
                     ('b again', 'failed', 3, %1$s, 'bang', '2101-01-01', null, true, true),
                     ('c aborted', 'aborted', 3, %1$s, null, null, null, true, true),
                     ('d snoozed', 'snoozed', 3, %1$s, null, '2102-01-01', null, true, true),
                     ('e returned', 'returned', 3, %1$s, null, current_date, null, true, true),
                     ('f rescued', 'rescued', 3, %1$s, 'worker died', current_date, null, true, true),
                     ('g buried', 'rescued', 3, %1$s, 'worker died 2 times', null, null, true, true),
                     ('i cancelled', 'cancelled', null, null, null, null, null, true, true) $$, :worker),
    'each end is noted, with the attempt that it ended, who ran it and when it is due again');
select set_eq(
    'select * from token', $$ values ('returned', 'e returned'), ('returned', 'f rescued'), ('plain', 'j waits'), ('plain', 'i cancelled') $$,
    'what was given back or rescued goes before the others; a token left behind does no harm');
select set_eq(
    $$ select j.args ->> 'name', a.at::date from procrastinate_agenda a join procrastinate_jobs j using (id) $$,
    $$ values ('b again', date '2101-01-01'), ('d snoozed', '2102-01-01') $$,
    'what is due later is in the agenda');
select is_empty('select * from procrastinate_check()', 'all is well after each kind of end');

-- the way back from an end
select pg_temp.end_job('a failed', 'retried', 'todo');
select results_eq(
    $$ select name, status, attempts, worker_id, error, ended, due from job where name = 'a failed' $$,
    $$ values ('a failed', 'todo'::procrastinate_job_status, 3, null::bigint, 'boom', null::boolean, current_date) $$,
    'a job that is retried is todo again, with its attempts counted and its error kept');
select results_eq(
    $$ select kind, attempt, same_start from attempt where name = 'a failed' order by kind $$,
    $$ values ('failed'::procrastinate_attempt_kind, 3, true), ('retried', null::integer, false) $$,
    'its retry is noted, as one that ended no attempt');
select set_eq(
    $$ select kind from token where name = 'a failed' $$, $$ values ('plain') $$,
    'it queues up behind the others');

-- errors
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select pg_temp.end_job('j waits', 'failed', 'failed', error => repeat('é', 10001));
select results_eq(
    $$ select j.error = repeat('é', 10000), a.error = repeat('é', 10000) from procrastinate_jobs j join procrastinate_attempts a on a.job_id = j.id where j.id = pg_temp.job('j waits') $$,
    $$ values (true, true) $$,
    'an error is cut to 10,000 characters');
select pg_temp.end_job('a failed', 'snoozed', 'todo');
select results_eq($$ select error from job where name = 'a failed' $$, $$ values ('boom') $$, 'an end without an error keeps the last one');

-- an abort that was requested
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, queueing_lock => n)
from unnest('{a failed,b again,c snoozed,d returned,e rescued}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select procrastinate_cancel_job(j.id, abort => true) from procrastinate_jobs j;
delete from procrastinate_attempts;
select results_eq(
    $$ select pg_temp.end_job('a failed', 'failed', 'failed', error => 'boom'),
              pg_temp.end_job('b again', 'failed', 'todo', '2101-01-01', 'bang'),
              pg_temp.end_job('c snoozed', 'snoozed', 'todo', '2102-01-01'),
              pg_temp.end_job('d returned', 'returned', 'todo'),
              pg_temp.end_job('e rescued', 'rescued', 'todo', error => 'worker died') $$,
    $$ select 'failed'::procrastinate_job_status, 'aborted'::procrastinate_job_status, 'aborted'::procrastinate_job_status,
              'aborted'::procrastinate_job_status, 'aborted'::procrastinate_job_status $$,
    'a job whose abort was requested does not go back to todo');
select results_eq(
    'select name, status, abort_requested, worker_id, ended, due from job order by 1',
    $$ values ('a failed', 'failed'::procrastinate_job_status, false, null::bigint, true, null::date), ('b again', 'aborted', false, null, true, null),
              ('c snoozed', 'aborted', false, null, true, null), ('d returned', 'aborted', false, null, true, null), ('e rescued', 'aborted', false, null, true, null) $$,
    'it has ended, and the request with it');
select results_eq(
    'select name, kind, due, queueing_lock from attempt order by 1',
    $$ values ('a failed', 'failed'::procrastinate_attempt_kind, null::date, null::text), ('b again', 'aborted', null, null), ('c snoozed', 'aborted', null, null),
              ('d returned', 'aborted', null, null), ('e rescued', 'aborted', null, null) $$,
    'its end is noted as an abort');
select is_empty(
    'select id from procrastinate_tokens union all select id from procrastinate_agenda union all select job_id from procrastinate_queueing_locks',
    'it has no hint and no queueing lock');

-- queueing locks
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, queueing_lock => n) from unnest('{taken,free}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select procrastinate_defer('send', '{"name": "other"}', queueing_lock => 'taken');
select pg_temp.end_job('taken', 'failed', 'todo', '2101-01-01', 'boom'), pg_temp.end_job('free', 'failed', 'todo', '2101-01-01', 'boom');
select results_eq(
    $$ select args ->> 'name', status, queueing_lock::text from procrastinate_jobs order by 1 $$,
    $$ values ('free', 'todo'::procrastinate_job_status, 'free'), ('other', 'todo', 'taken'), ('taken', 'todo', null) $$,
    'a job goes back to todo with its queueing lock when that is free, and without when another waits with it');
select results_eq(
    $$ select queueing_lock, job_id from procrastinate_queueing_locks order by 1 $$,
    $$ values ('free', pg_temp.job('free')), ('taken', pg_temp.job('other')) $$,
    'the one that waits keeps the queueing lock');
select results_eq(
    'select name, queueing_lock from attempt order by 1', $$ values ('free', null), ('taken', 'taken') $$,
    'the queueing lock that was given up is noted');
select is_empty('select * from procrastinate_check()', 'all is well with the queueing locks');
select pg_temp.end_job('other', 'cancelled', 'cancelled');
select results_eq(
    $$ select q.queueing_lock::text, j.queueing_lock::text from procrastinate_queueing_locks q, procrastinate_jobs j where j.id = pg_temp.job('other') $$,
    $$ values ('free', 'taken') $$,
    'a waiting job that ends lets its queueing lock go, and remembers which it was');

-- two of one call
select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a"}', queueing_lock => 'q');
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select procrastinate_defer('send', '{"name": "b"}', queueing_lock => 'q');
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select results_eq(
    $$ select count(*), count(distinct e.job_id) from procrastinate_end_jobs(array[
           row(pg_temp.job('a'), 'returned', 'todo', null, null), row(pg_temp.job('b'), 'returned', 'todo', null, null)]::procrastinate_end[]) e $$,
    $$ values (2::bigint, 2::bigint) $$,
    'of two jobs with one queueing lock that go back together both are todo');
select results_eq(
    'select count(*), count(queueing_lock) from procrastinate_jobs', $$ values (2::bigint, 1::bigint) $$,
    'and one keeps it');
select is_empty('select * from procrastinate_check()', 'all is well with the two');

-- the row in the queueing locks belongs to another job
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('x', pg_temp.job('a')), ('y', -1);
update procrastinate_jobs j set queueing_lock = 'y' where j.id = pg_temp.job('a');
select pg_temp.end_job('a', 'cancelled', 'cancelled');
select results_eq(
    $$ select queueing_lock from procrastinate_queueing_locks where queueing_lock in ('x', 'y') order by 1 $$, $$ values ('x'), ('y') $$,
    'a job that ends lets no queueing lock go but its own');

-- locks
select pg_temp.reset();
delete from procrastinate_queueing_locks;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1)) from unnest('{a1,a2,b1,b2,c1}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 10);
delete from procrastinate_tokens;
select pg_temp.end_job('a1', 'failed', 'failed'), pg_temp.end_job('b2', 'cancelled', 'cancelled');
select set_eq(
    $$ select j.args ->> 'name', q.held from procrastinate_lock_queue q join procrastinate_jobs j on j.id = q.job_id $$,
    $$ values ('a2', false), ('b1', true), ('c1', true) $$,
    'a job that ends, running or waiting, leaves the lock queue');
select set_eq(
    'select lane, id from procrastinate_tokens', $$ select 0, hashtextextended(k, 0) from unnest('{a,b}'::text[]) k $$,
    'its lock is handed over');
select is_empty('select * from procrastinate_check()', 'all is well with the locks');
select pg_temp.end_job('c1', 'failed', 'todo', '2101-01-01');
select is_empty(
    $$ select * from procrastinate_lock_queue where job_id = pg_temp.job('c1') $$,
    'a job that is due again later takes no part in its lock');
select pg_temp.end_job('b1', 'returned', 'todo');
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) order by 1 $$, :worker), $$ values ('a2'), ('b1') $$,
    'a job with a lock that was given back takes part in it again');

-- places of the lock queue that are not the job's, and hand-overs that nobody needs
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1)) from unnest('{a1,a2,b1}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 10);
insert into procrastinate_lock_queue (key, held, priority, job_id)
select hashtextextended(k, 0), true, p, i
from (values ('a', 5, pg_temp.job('a1')), ('x', 0, pg_temp.job('a1')), ('a', 0, -1::bigint)) r(k, p, i);
delete from procrastinate_tokens;
select count(*) from procrastinate_end_jobs(array[
    row(pg_temp.job('a1'), 'failed', 'failed', null, null), row(pg_temp.job('a2'), 'cancelled', 'cancelled', null, null)]::procrastinate_end[]);
select set_eq(
    'select key, priority, job_id from procrastinate_lock_queue',
    $$ values (hashtextextended('a', 0), 5, pg_temp.job('a1')), (hashtextextended('x', 0), 0, pg_temp.job('a1')), (hashtextextended('a', 0), 0, -1), (hashtextextended('b', 0), 0, pg_temp.job('b1')) $$,
    'a job that ends takes its own place away, and no other');
select results_eq(
    'select lane, id from procrastinate_tokens', $$ values (0, hashtextextended('a', 0)) $$,
    'two of one lock that end together hand it over once');
delete from procrastinate_lock_queue q where q.job_id <> pg_temp.job('b1');
delete from procrastinate_tokens;
select pg_temp.end_job('a2', 'retried', 'todo');
select results_eq(
    'select l.kind, t.id from procrastinate_tokens t join procrastinate_lanes l using (lane)', $$ values ('locked', hashtextextended('a', 0)) $$,
    'a job that had ended has no lock to hand over');

-- retention
select pg_temp.reset();
delete from procrastinate_retention;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb) from unnest('{a,b,c,d,e}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 2);
select count(*) from procrastinate_end_jobs(array(
    select row(pg_temp.job(n), 'cancelled', 'cancelled', null, null)::procrastinate_end from unnest('{a,c,d}'::text[]) n));
select results_eq(
    'select array(select unnest(job_ids) order by 1), delete_at > now() + $d$29 days$d$ from procrastinate_retention', $$ values (array[pg_temp.job('c'), pg_temp.job('d')], true) $$,
    'jobs that end before they ran are noted for retention, in one note; for the others their lease is enough');
select is_empty('select * from procrastinate_check()', 'all is well with them');

-- not kept
select procrastinate_define_task('brief', keep_failed => '0');
select procrastinate_define_task('quick', keep_succeeded => '0');
select procrastinate_defer(t, format('{"name": "%s"}', n)::jsonb, lock => n, queueing_lock => n, priority => 5)
from (values ('brief', 'f1'), ('brief', 'f2'), ('quick', 'f3'), ('brief', 'f4')) r(t, n);
select count(*) from procrastinate_fetch_jobs(:worker, 4);
select procrastinate_defer('brief', format('{"name": "%s"}', n)::jsonb, lock => n, queueing_lock => n) from unnest('{f5,f6}'::text[]) n;
select results_eq(
    $$ select n, e.status
       from unnest('{f1,f2,f3,f4,f5}'::text[], '{failed,returned,failed,aborted,cancelled}'::text[], '{failed,todo,failed,aborted,cancelled}'::text[]) r(n, k, s)
       cross join pg_temp.end_job(n, k, s) e(status) order by 1 $$,
    $$ values ('f1', 'failed'::procrastinate_job_status), ('f2', 'todo'), ('f3', 'failed'), ('f4', 'aborted'), ('f5', 'cancelled') $$,
    'jobs that are not kept end as any other');
select results_eq(
    $$ select args ->> 'name' from procrastinate_jobs where args ->> 'name' like 'f%' order by 1 $$, $$ values ('f2'), ('f3'), ('f6') $$,
    'and are deleted as they end, if their task says so of those that do not succeed');
select set_eq('select queueing_lock from procrastinate_queueing_locks', $$ values ('f2'), ('f6') $$, 'they leave their queueing locks');
select set_eq('select q.job_id from procrastinate_lock_queue q', $$ values (pg_temp.job('f2')), (pg_temp.job('f6')) $$, 'and their locks');
select is_empty('select * from procrastinate_attempts a where not exists (select from procrastinate_jobs j where j.id = a.job_id)', 'and no attempt');
select results_eq('select count(*) from procrastinate_retention', 'values (1::bigint)', 'nor is anything noted of them');
create function pg_temp.keep() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger keep before delete on procrastinate_jobs for each row execute function pg_temp.keep();
select count(*) from pg_temp.end_job('f6', 'cancelled', 'cancelled');
drop trigger keep on procrastinate_jobs;
select results_eq(
    $$ select j.status from procrastinate_jobs j join procrastinate_retention r on j.id = any (r.job_ids) where j.id = pg_temp.job('f6') $$,
    $$ values ('cancelled'::procrastinate_job_status) $$,
    'but of one whose deletion a trigger skips');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
