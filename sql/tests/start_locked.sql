-- Starting jobs that have locks.
begin;
select plan(46);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

-- what start_locked does with a locked lane of task send, for a worker of these queues and tasks
create function pg_temp.start(worker bigint, max_jobs integer, max_per_lock integer, queues text[] default null, tasks text[] default null, queue text default 'default')
returns setof procrastinate_job language sql as
    $$ select j.* from procrastinate_heads h, procrastinate_start_locked(worker, queues, tasks, h, max_jobs, max_per_lock, true) s, unnest(s.jobs) j
       where h.kind = 'locked' and h.task_name = 'send' and h.queue_name = queue and h.priority = 0 $$;

create function pg_temp.reset() returns void language sql as
    $$ delete from procrastinate_jobs; delete from procrastinate_tokens; delete from procrastinate_agenda;
       delete from procrastinate_leases; delete from procrastinate_lock_queue; delete from procrastinate_queues $$;

create function pg_temp.key(lock text) returns bigint language sql as
    $$ select hashtextextended(lock, 0) $$;

create temp view token as
    select coalesce(l.queue_name, 'hand-over') as queue_name, l.priority, t.id as key
    from procrastinate_tokens t
    join procrastinate_lanes l using (lane);

create temp view waiting as
    select q.key, q.held, q.priority, coalesce(j.args ->> 'name', 'none') as name
    from procrastinate_lock_queue q
    left join procrastinate_jobs j on j.id = q.job_id;

select procrastinate_register_worker('w') as worker \gset

-- what is started
select procrastinate_defer(
    'send', '{"name": "a1"}', lock => 'a', queueing_lock => 'qa', schedule_at => '2001-01-01', max_attempts => 4, timeout => '9 s', metadata => '{"m": 1}');
select procrastinate_defer('send', '{"name": "a2"}', lock => 'a', queueing_lock => 'qa2');
select procrastinate_defer('send', '{"name": "b1"}', lock => 'b');
select procrastinate_defer('sum', '{"name": "c1"}', lock => 'c');
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('other', pg_temp.job('a1'));

select results_eq(
    format('select s.*::text from pg_temp.start(%s, 10, 1) s', :worker),
    $$ select row(j.id, 'send', 'default', j.args, 0, v.lock, 1, v.max_attempts, v.timeout, v.scheduled_at, j.deferred_at, v.metadata, null)::procrastinate_job::text
       from (values
           ('a1', 'a', 4,    interval '9 s', timestamptz '2001-01-01', jsonb '{"m": 1}'),
           ('b1', 'b', null, null,           null,                     '{}')
       ) v(name, lock, max_attempts, timeout, scheduled_at, metadata)
       join procrastinate_jobs j on j.id = pg_temp.job(v.name)
       order by v.name $$,
    'the first job of each lock is handed out with all that a handler may want');
select results_eq(
    $$ select args ->> 'name', status, worker_id, attempts::integer, started_at between now() and clock_timestamp() from procrastinate_jobs order by 1 $$,
    format($$ values ('a1', 'doing'::procrastinate_job_status, %1$s::bigint, 0, true), ('a2', 'todo', null, 0, null),
                     ('b1', 'doing', %1$s, 0, true), ('c1', 'todo', null, 0, null) $$, :worker),
    'it is doing, held by the worker from now on');
select set_eq(
    'select * from waiting',
    $$ values (pg_temp.key('a'), true, 0, 'a1'), (pg_temp.key('a'), false, 0, 'a2'), (pg_temp.key('b'), true, 0, 'b1'), (pg_temp.key('c'), false, 0, 'c1') $$,
    'it holds its lock, and the next one waits');
select results_eq(
    'select key from token', $$ values (pg_temp.key('c')) $$,
    'the tokens of the lane are gone, that of another lane is left');
select results_eq(
    'select worker_id, array(select unnest(job_ids) order by 1), at between now() and clock_timestamp() from procrastinate_leases',
    format($$ values (%s::bigint, array[pg_temp.job('a1'), pg_temp.job('b1')], true) $$, :worker),
    'one lease says what the worker got');
select set_eq(
    'select queueing_lock from procrastinate_queueing_locks', $$ values ('qa2'), ('other') $$,
    'a job that starts lets its queueing lock go, and no other');
delete from procrastinate_queueing_locks q where q.queueing_lock = 'other';
select is_empty('select * from procrastinate_agenda', 'what was started is not looked at again');
select is_empty('select * from procrastinate_check()', 'all is well');

insert into procrastinate_tokens (lane, xid, id)
select l.lane, '3', pg_temp.key('a') from procrastinate_lanes l where l.task_name = 'send' and l.kind = 'locked';
select is_empty(format('select * from pg_temp.start(%s, 10, 5)', :worker), 'while a job holds the lock no other job of it is started');
select results_eq('select key from token', $$ values (pg_temp.key('c')) $$, 'the token of a held lock is dropped: the holder''s end writes another');
select is_empty('select * from procrastinate_check()', 'all is still well');

-- how many
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1)) from unnest('{a1,a2,b1,b2,c1,c2}'::text[]) n;
delete from procrastinate_tokens t
using procrastinate_tokens other
where other.id = t.id and other.ctid < t.ctid;
select set_eq(
    format($$ select args ->> 'name' from pg_temp.start(%s, 3, 5) $$, :worker), $$ values ('a1'), ('b1'), ('c1') $$,
    'each lock gets its turn before any gets a second');
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1)) from unnest('{a1,a2,a3,b1}'::text[]) n;
select results_eq(
    format($$ select args ->> 'name' from pg_temp.start(%s, 100, 2) order by 1 $$, :worker), $$ values ('a1'), ('a2'), ('b1') $$,
    'of a lock at most max_per_lock jobs are started');
select is_empty('select * from procrastinate_check()', 'several jobs of one worker may hold a lock');
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => 'a', priority => p)
from unnest('{a1,a2,a3,a4}'::text[], '{0,0,3,0}'::integer[]) r(n, p);
select results_eq(
    format($$ select args ->> 'name' from pg_temp.start(%s, 3, 3) $$, :worker), $$ values ('a3'), ('a1'), ('a2') $$,
    'a run of one lock is in the order of priority and then of id');
select set_eq(
    'select held, priority, name from waiting', $$ values (true, 3, 'a3'), (true, 0, 'a1'), (true, 0, 'a2'), (false, 0, 'a4') $$,
    'all of the run hold the lock');
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => n::text) from generate_series(1, 30) n;
select is((select count(*) from pg_temp.start(:worker, 20, 3)), 20::bigint, 'at most max_jobs jobs are started');
select is((select count(*) from token), 10::bigint, 'the tokens of the locks that were not looked at are left');
select is_empty('select * from procrastinate_check()', 'all is well');

-- whose
select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a');
select procrastinate_defer('send', '{"name": "a2"}', lock => 'a', queue => 'mail');
select procrastinate_defer('send', '{"name": "a3"}', lock => 'a');
update procrastinate_tokens set xid = '3';         -- as others wrote them: our own stay until we commit
select is_empty(
    format($$ select * from pg_temp.start(%s, 10, 5, '{mail}', null, 'mail') $$, :worker),
    'a job is not started while the first one of its lock waits in a queue that the worker does not serve');
select set_eq(
    'select queue_name, key from token', $$ values ('default', pg_temp.key('a')) $$,
    'the lock is passed on to the lane of its first job');
select results_eq(
    format($$ select args ->> 'name' from pg_temp.start(%s, 10, 5, '{default}') $$, :worker), $$ values ('a1') $$,
    'a run ends before a job that is not for the worker');

select pg_temp.reset();
select procrastinate_defer('sum', '{"name": "a1"}', lock => 'a');
select procrastinate_defer('send', '{"name": "a2"}', lock => 'a');
select is_empty(
    format($$ select * from pg_temp.start(%s, 10, 5, null, '{send}') $$, :worker),
    'a job is not started while the first one of its lock has a task that the worker does not run');

select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a', queue => 'mail');
select procrastinate_defer('send', '{"name": "a2"}', lock => 'a');
select procrastinate_pause_queue('mail');
select is_empty(
    format('select * from pg_temp.start(%s, 10, 5)', :worker),
    'a job is not started while the first one of its lock waits in a paused queue');
select is_empty('select * from procrastinate_check()', 'all is well with a first one that is paused');
select procrastinate_resume_queue('mail');
select results_eq(
    format($$ select args ->> 'name' from pg_temp.start(%s, 10, 5, queue => 'mail') $$, :worker), $$ values ('a1'), ('a2') $$,
    'it is started when the queue goes on');

select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a', priority => -1);
insert into procrastinate_tokens (lane, id)
select l.lane, pg_temp.key('a') from procrastinate_lanes l where l.task_name = 'send' and l.kind = 'locked' and l.priority = 0 and l.queue_name = 'default';
delete from procrastinate_tokens t using procrastinate_lanes l where l.lane = t.lane and l.priority = -1;
update procrastinate_tokens set xid = '3';
select is_empty(
    format('select * from pg_temp.start(%s, 10, 5)', :worker),
    'a job of lower priority than the lane is not started, for something better may wait');
select set_eq('select priority, key from token', $$ values (-1, pg_temp.key('a')) $$, 'its lock is passed on to the lane of its priority');

-- how many tokens it dealt with
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1)) from unnest('{a1,a2,b1,c1}'::text[]) n;
insert into procrastinate_lock_queue (key, held, priority, job_id) values (pg_temp.key('c'), true, 0, -1);
create function pg_temp.count_started(max_jobs integer) returns table (jobs integer, tokens integer) language sql as
    $$ select cardinality(s.jobs), s.tokens
       from procrastinate_heads h, procrastinate_start_locked((select w.id from procrastinate_workers w limit 1), null, null, h, max_jobs, 1, true) s
       where h.kind = 'locked' and h.task_name = 'send' and h.queue_name = 'default' and h.priority = 0 $$;
update procrastinate_tokens set xid = '3';
select results_eq('select * from pg_temp.count_started(3)', $$ select count(distinct t.id) filter (where t.id <> pg_temp.key('c'))::integer, 3 from (select t.id from procrastinate_tokens t order by t.xid, t.id limit 3) t $$, 'it says how many tokens it took');
select is((select sum(c.tokens) from pg_temp.count_started(3) c), 1::bigint, 'those that are left are for the next call');
select is_empty('select * from pg_temp.count_started(3)', 'until there are no more');

-- nobody's: how tick passes locks on
select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a');
delete from procrastinate_tokens;
insert into procrastinate_tokens (lane, xid, id) values (0, '3', pg_temp.key('a')), (0, '3', pg_temp.key('nobody'));
select is_empty(
    $$ select j.* from procrastinate_heads h, procrastinate_start_locked(null, '{}', '{}', h, 100, 1, true) s, unnest(s.jobs) j where h.lane = 0 $$,
    'with no worker and no queues nothing is started');
select set_eq(
    'select queue_name, key from token', $$ values ('default', pg_temp.key('a')) $$,
    'but a lock handed over is passed on to the lane of its first job, and one that nobody waits for is forgotten');

-- tokens that our own transaction wrote, which others count on until it commits
select pg_temp.reset();
insert into procrastinate_tokens (lane, id) values (0, pg_temp.key('nobody'));
select results_eq(
    $$ select s.tokens from procrastinate_heads h, procrastinate_start_locked(null, '{}', '{}', h, 100, 1, true) s where h.lane = 0 $$,
    $$ values (1) $$, 'our own token of a lock that nobody waits for is looked at');
select set_eq('select key from token', $$ values (pg_temp.key('nobody')) $$, 'but not dropped');
select results_eq(
    $$ select s.tokens from procrastinate_heads h, procrastinate_start_locked(null, '{}', '{}', h, 100, 1, false) s where h.lane = 0 $$,
    $$ values (0) $$, 'and not looked at when it is not asked for');

-- places in the lock queue that are out of date: nothing is started, and the next one has its chance
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1), priority => p)
from unnest('{a1,a2,b1,c1,d1}'::text[], '{1,0,0,0,0}'::integer[]) r(n, p);
update procrastinate_jobs j set status = 'cancelled', finished_at = now() where j.id = pg_temp.job('a1');
update procrastinate_jobs j set scheduled_at = '2101-01-01' where j.id = pg_temp.job('b1');
update procrastinate_jobs j set priority = 1 where j.id = pg_temp.job('c1');
update procrastinate_jobs j set lock = 'x', lock_key = hashtextextended('x', 0) where j.id = pg_temp.job('d1');
select is_empty(
    format('select * from pg_temp.start(%s, 10, 1)', :worker),
    'a job is not started that is cancelled, not due, or no longer of its priority or lock');
select set_eq(
    'select name from waiting', $$ values ('a2') $$,
    'its place in the lock queue is taken away');
select set_eq(
    $$ select queue_name, key from token where priority is null $$,
    $$ select 'hand-over', pg_temp.key(k) from unnest('{a,b,c,d}'::text[]) k $$,
    'and the lock is handed over, for the next one to be looked for');
select set_eq(
    $$ select j.args ->> 'name', case when a.at between now() and clock_timestamp() then 'now' else a.at::date::text end
       from procrastinate_agenda a join procrastinate_jobs j using (id) $$,
    $$ values ('b1', '2101-01-01'), ('c1', 'now'), ('d1', 'now') $$,
    'those of them that are still todo are looked at again when they are due');
update procrastinate_tokens set xid = '3';
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 1) $$, :worker), $$ values ('a2') $$,
    'the next one of the lock starts');

-- a waiting place that is out of date takes no other away
select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a');
insert into procrastinate_lock_queue (key, held, priority, job_id) values (pg_temp.key('a'), false, 7, pg_temp.job('a1'));
select count(*) from pg_temp.start(:worker, 1, 1);
select set_eq(
    'select held, priority, name from waiting', $$ values (false, 0, 'a1') $$,
    'of two places of one job only the one that is out of date is taken away');

select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a');
insert into procrastinate_lock_queue (key, held, priority, job_id) values (pg_temp.key('a'), false, 7, -1);
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select procrastinate_tick();
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 1) union all
              select args ->> 'name' from procrastinate_jobs where status = 'doing' limit 1 $$, :worker),
    $$ values ('a1') $$,
    'a place left behind by a job that is no more does not keep the lock for ever');

-- which tokens are looked at
select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a');
select l.lane as lane from procrastinate_lanes l where l.task_name = 'send' and l.kind = 'locked' and l.queue_name = 'default' and l.priority = 0 \gset
create function pg_temp.start_from(lane integer, worker bigint, first_xid xid8, first_id bigint, last_xid xid8) returns setof text language sql as
    $$ select j.args ->> 'name'
       from procrastinate_start_locked(worker, null, null, row(lane, 'default', 'send', 0, 'locked', first_xid, first_id, last_xid, '{}', true)::procrastinate_heads, 100, 1, true) s, unnest(s.jobs) j $$;
select is_empty(
    format($$ select pg_temp.start_from(%1$s, %2$s, '0', -9223372036854775808, '3')
              union all
              select pg_temp.start_from(%1$s, %2$s, pg_current_xact_id(), pg_temp.key('a') + 1, '18446744073709551615') $$, :lane, :worker),
    'tokens below the first one to look at, or above the last transaction, are left');
select results_eq(
    format($$ select pg_temp.start_from(%s, %s, pg_current_xact_id(), pg_temp.key('a'), pg_current_xact_id()) $$, :lane, :worker),
    $$ values ('a1') $$,
    'the first one itself is taken');

select is_empty('select * from procrastinate_check()', 'all is well in the end');
select * from finish();
rollback;
