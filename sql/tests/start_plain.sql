-- Starting jobs of a lane without locks.
begin;
select plan(24);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

-- what start_plain does with the lane of task send, from its head on
create function pg_temp.start(worker bigint, max_jobs integer) returns setof procrastinate_job language sql as
    $$ select s.* from procrastinate_heads h, procrastinate_start_plain(worker, h, max_jobs) s
       where h.kind = 'plain' and h.task_name = 'send' and h.queue_name = 'default' and h.priority = 0 $$;

create temp view token as
    select coalesce(j.args ->> 'name', 'none') as name, l.queue_name, l.task_name, l.priority, l.kind
    from procrastinate_tokens t
    join procrastinate_lanes l using (lane)
    left join procrastinate_jobs j on j.id = t.id;

create temp view job as
    select j.args ->> 'name' as name, j.status, j.worker_id, j.attempts::integer, j.started_at between now() and clock_timestamp() as started
    from procrastinate_jobs j;

select procrastinate_register_worker('w') as worker \gset

-- what is started
select procrastinate_defer(
    'send', '{"name": "a"}', queueing_lock => 'qa', schedule_at => '2001-01-01', max_attempts => 4, timeout => '9 s', metadata => '{"m": 1}');
select procrastinate_defer('send', '{"name": "b"}', queueing_lock => 'qb');
select procrastinate_defer('send', '{"name": "c"}', queueing_lock => 'qc');
select procrastinate_defer('sum', '{"name": "d"}');
update procrastinate_jobs j set attempts = 2 where j.id = pg_temp.job('b');

select results_eq(
    format('select s.*::text from pg_temp.start(%s, 2) s', :worker),
    $$ select row(j.id, 'send', 'default', j.args, 0, null, v.attempt, v.max_attempts, v.timeout, v.scheduled_at, j.deferred_at, v.metadata, null)::procrastinate_job::text
       from (values
           ('a', 1, 4,    interval '9 s', timestamptz '2001-01-01', jsonb '{"m": 1}'),
           ('b', 3, null, null,           null,                     '{}')
       ) v(name, attempt, max_attempts, timeout, scheduled_at, metadata)
       join procrastinate_jobs j on j.id = pg_temp.job(v.name)
       order by v.name $$,
    'the first jobs of the lane are handed out in the order in which they became ready, with all that a handler may want');
select results_eq(
    'select * from job order by 1',
    format($$ values ('a', 'doing'::procrastinate_job_status, %1$s::bigint, 0, true),
                     ('b', 'doing', %1$s, 2, true),
                     ('c', 'todo', null, 0, null),
                     ('d', 'todo', null, 0, null) $$, :worker),
    'they are doing, held by the worker from now on, their attempts not counted yet; the others wait');
select set_eq(
    'select * from token',
    $$ values ('c', 'default', 'send', 0, 'plain'), ('d', 'default', 'sum', 0, 'plain') $$,
    'their tokens are gone, those of the others are left');
select results_eq(
    'select worker_id, job_ids, at between now() and clock_timestamp() from procrastinate_leases',
    format($$ values (%s::bigint, array[pg_temp.job('a'), pg_temp.job('b')], true) $$, :worker),
    'one lease says what the worker got');
select results_eq(
    'select queueing_lock from procrastinate_queueing_locks',
    $$ values ('qc') $$,
    'a job that starts lets its queueing lock go');
select is_empty('select * from procrastinate_agenda', 'what was started is not looked at again');
select is_empty('select * from procrastinate_check()', 'all is well');
select is((select count(*) from pg_temp.start(:worker, 5)), 1::bigint, 'a lane with fewer jobs than asked for gives what it has');
select is_empty(format('select * from pg_temp.start(%s, 5)', :worker), 'an empty lane gives nothing');
select is((select count(*) from procrastinate_leases l), 2::bigint, 'a start of nothing writes no lease');

-- what is not started
delete from procrastinate_jobs;
delete from procrastinate_leases;
delete from procrastinate_tokens;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb)
from unnest('{cancelled,doing,future,other priority,other queue,other task,locked,fine}'::text[]) n;
insert into procrastinate_tokens (lane, id)
select l.lane, -5 from procrastinate_lanes l where l.kind = 'plain' and l.task_name = 'send';
update procrastinate_jobs j set status = 'cancelled', finished_at = now() where j.id = pg_temp.job('cancelled');
update procrastinate_jobs j set status = 'doing', started_at = '2001-01-01', worker_id = -1 where j.id = pg_temp.job('doing');
update procrastinate_jobs j set scheduled_at = '2101-01-01' where j.id = pg_temp.job('future');
update procrastinate_jobs j set priority = 1 where j.id = pg_temp.job('other priority');
update procrastinate_jobs j set queue_name = 'mail' where j.id = pg_temp.job('other queue');
update procrastinate_jobs j set task_name = 'sum' where j.id = pg_temp.job('other task');
update procrastinate_jobs j set lock = 'l' where j.id = pg_temp.job('locked');

select results_eq(
    format('select args ->> %L from pg_temp.start(%s, 100)', 'name', :worker),
    $$ values ('fine') $$,
    'a job is not started that is cancelled, running, not due, or no longer of the lane''s priority, queue, task or kind');
select results_eq(
    $$ select name, status, worker_id from job order by 1 $$,
    format($$ values ('cancelled', 'cancelled'::procrastinate_job_status, null::bigint),
                     ('doing', 'doing', -1), ('fine', 'doing', %s), ('future', 'todo', null), ('locked', 'todo', null),
                     ('other priority', 'todo', null), ('other queue', 'todo', null), ('other task', 'todo', null) $$, :worker),
    'those jobs are left as they are');
select is_empty('select * from token', 'all the tokens are dropped, also that of a job which is no more');
select results_eq(
    $$ select j.args ->> 'name', a.at between now() and clock_timestamp() from procrastinate_agenda a join procrastinate_jobs j using (id) order by 1 $$,
    $$ values ('future', false), ('locked', true), ('other priority', true), ('other queue', true), ('other task', true) $$,
    'each that is still todo is to be looked at again, the others are not');
select results_eq(
    $$ select at from procrastinate_agenda where id = pg_temp.job('future') $$,
    $$ values (timestamptz '2101-01-01') $$,
    'one that is not due is looked at when it is');
select results_eq(
    'select job_ids from procrastinate_leases', $$ values (array[pg_temp.job('fine')]) $$,
    'the lease names only what was started');

-- which tokens are looked at
delete from procrastinate_jobs;
delete from procrastinate_agenda;
delete from procrastinate_tokens;
select procrastinate_defer('send', '{"name": "a"}');
select procrastinate_defer('send', '{"name": "b"}');
select procrastinate_defer('sum', '{"name": "c"}');
select l.lane as lane from procrastinate_lanes l where l.task_name = 'send' and l.kind = 'plain' \gset
create function pg_temp.start_from(lane integer, worker bigint, first_xid xid8, first_id bigint, last_xid xid8) returns setof text language sql as
    $$ select s.args ->> 'name'
       from procrastinate_start_plain(worker, row(lane, 'default', 'send', 0, 'plain', first_xid, first_id, last_xid, '{}', true)::procrastinate_heads, 100) s $$;
select is_empty(
    format($$ select pg_temp.start_from(%s, %s, '0', 0, '3') $$, :lane, :worker),
    'tokens above the last transaction to look at are left');
select results_eq(
    format($$ select pg_temp.start_from(%s, %s, pg_current_xact_id(), pg_temp.job('b'), pg_current_xact_id()) $$, :lane, :worker),
    $$ values ('b') $$,
    'tokens below the first one to look at are left, the first one is taken');
select results_eq(
    'select name, task_name from token order by 1', $$ values ('a', 'send'), ('c', 'sum') $$,
    'what was left is still there');

-- duplicates
insert into procrastinate_tokens (lane, id) values (:lane, pg_temp.job('a'));
select results_eq(
    format($$ select s.args ->> 'name' from pg_temp.start(%s, 100) s $$, :worker), $$ values ('a') $$,
    'two tokens of one job start it once');
select results_eq('select name from token', $$ values ('c') $$, 'both of the tokens are dropped');

-- queueing locks
select procrastinate_defer('send', '{"name": "e"}', queueing_lock => 'qe');
update procrastinate_queueing_locks q set job_id = pg_temp.job('c') where q.queueing_lock = 'qe';
select procrastinate_defer('send', '{"name": "f"}', queueing_lock => 'qf');
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('qx', pg_temp.job('f'));
select count(*) from pg_temp.start(:worker, 100);
select results_eq(
    'select queueing_lock, job_id from procrastinate_queueing_locks order by 1',
    $$ values ('qe', pg_temp.job('c')), ('qx', pg_temp.job('f')) $$,
    'a job that starts lets only its own queueing lock go');
delete from procrastinate_queueing_locks;

-- many
delete from procrastinate_jobs;
select count(*) from procrastinate_defer_many((select jsonb_agg(jsonb_build_object('task', 'send', 'args', jsonb_build_object('n', n))) from generate_series(1, 500) n));
select results_eq(
    format($$ select (s.args ->> 'n')::integer from pg_temp.start(%s, 300) s $$, :worker),
    'select n from generate_series(1, 300) n',
    'hundreds of jobs start in their order');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
