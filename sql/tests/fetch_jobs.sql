-- Fetching: what a worker gets, and in which order.
begin;
select plan(80);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

-- the names of the jobs that a worker fetches, in the order in which it gets them
create function pg_temp.fetch(worker bigint, max_jobs integer, max_per_lock integer default 1) returns setof text language sql as
    $$ select f.args ->> 'name' from procrastinate_fetch_jobs(worker, max_jobs, max_per_lock) f $$;

create function pg_temp.defer(name text, task text default 'send', queue text default 'default', priority integer default 0, lock text default null)
returns void language sql as
    $$ select from procrastinate_defer(task, jsonb_build_object('name', name), queue, priority, lock) $$;

create function pg_temp.reset() returns void language sql as
    $$ delete from procrastinate_jobs; delete from procrastinate_tokens; delete from procrastinate_agenda;
       delete from procrastinate_leases; delete from procrastinate_lock_queue; delete from procrastinate_queues; delete from procrastinate_floors $$;

select procrastinate_register_worker('all') as worker \gset
select procrastinate_register_worker('mail', queues => '{mail}') as mail \gset
select procrastinate_register_worker('sum', tasks => '{sum}') as sum \gset
select procrastinate_register_worker('both', queues => '{mail,web}', tasks => '{sum,send}') as both_ \gset
select procrastinate_register_worker('none', queues => '{}') as none \gset
select procrastinate_register_worker('no task', tasks => '{}') as no_task \gset

-- bad input
select pg_temp.defer('a');
select throws_ok(format('select procrastinate_fetch_jobs(%s, 0)', :worker), 'PJ001', 'invalid max_jobs: 0', 'a worker cannot fetch no job');
select throws_ok(format('select procrastinate_fetch_jobs(%s, -1)', :worker), 'PJ001', 'invalid max_jobs: -1', 'a worker cannot fetch less than no job');
select throws_ok(format('select procrastinate_fetch_jobs(%s, null)', :worker), 'PJ001', 'invalid max_jobs: NULL', 'a worker says how many jobs it fetches');
select throws_ok(format('select procrastinate_fetch_jobs(%s, 1, 0)', :worker), 'PJ001', 'invalid max_per_lock: 0', 'a worker cannot fetch no job of a lock');
select throws_ok(format('select procrastinate_fetch_jobs(%s, 1, null)', :worker), 'PJ001', 'invalid max_per_lock: NULL', 'a worker says how many jobs of a lock it fetches');
select throws_ok('select procrastinate_fetch_jobs(null, 1)', 'PJ001', 'invalid worker_id: NULL', 'a fetch names its worker');
select throws_ok('select procrastinate_fetch_jobs(-1, 1)', 'PJ003', 'worker -1 is not registered', 'a worker that is not registered cannot fetch');
select results_eq(
    $$ select j.status, j.worker_id, j.started_at, (select count(*) from procrastinate_leases) from procrastinate_jobs j $$,
    $$ values ('todo'::procrastinate_job_status, null::bigint, null::timestamptz, 0::bigint) $$,
    'a fetch with bad input starts nothing');

-- one job, once
select results_eq(
    format('select f::text from procrastinate_fetch_jobs(%s, 10) f', :worker),
    $$ select row(j.id, 'send', 'default', j.args, 0, null, 1, null, null, null, j.deferred_at, '{}', null)::procrastinate_job::text
       from procrastinate_jobs j $$,
    'a fetch returns the whole of a job');
select is_empty(format('select * from procrastinate_fetch_jobs(%s, 10)', :worker), 'a job is fetched once');
select is_empty('select * from procrastinate_check()', 'all is well with a job that runs');

-- all that a handler may want, of jobs from three lanes
select pg_temp.reset();
select procrastinate_defer(
    'send', '{"name": "a"}', priority => 2, lock => 'l', queueing_lock => 'qa', schedule_at => '2001-01-01', max_attempts => 4, timeout => '9 s',
    metadata => '{"m": 1}');
select procrastinate_defer('sum', '{"name": "b"}', queue => 'mail', priority => 1, queueing_lock => 'qb');
select procrastinate_defer('send', '{"name": "c"}');
select procrastinate_defer('send', '{"name": "d"}');
update procrastinate_jobs j set attempts = 2 where j.id = pg_temp.job('b');
select results_eq(
    format('select f::text from procrastinate_fetch_jobs(%s, 3) f', :worker),
    $$ select row(j.id, j.task_name, j.queue_name, j.args, v.priority, v.lock, v.attempt, v.max_attempts, v.timeout, v.scheduled_at, j.deferred_at, v.metadata, null
              )::procrastinate_job::text
       from (values
           ('a', 2, 'l',  1, 4,    interval '9 s', timestamptz '2001-01-01', jsonb '{"m": 1}'),
           ('b', 1, null, 3, null, null,           null,                     '{}'),
           ('c', 0, null, 1, null, null,           null,                     '{}')
       ) v(name, priority, lock, attempt, max_attempts, timeout, scheduled_at, metadata)
       join procrastinate_jobs j on j.id = pg_temp.job(v.name)
       order by v.name $$,
    'with and without a lock it is handed out with all that a handler may want');
select results_eq(
    $$ select j.args ->> 'name', j.status, j.worker_id, j.attempts, j.started_at between now() and clock_timestamp() from procrastinate_jobs j order by 1 $$,
    format($$ values ('a', 'doing'::procrastinate_job_status, %1$s::bigint, 0, true), ('b', 'doing', %1$s, 2, true), ('c', 'doing', %1$s, 0, true),
                     ('d', 'todo', null, 0, null) $$, :worker),
    'it is doing, held by the worker from now on, its attempts not counted yet; the others wait');
select results_eq(
    'select worker_id, array(select unnest(job_ids) order by 1), at between now() and clock_timestamp() from procrastinate_leases',
    format($$ values (%s::bigint, array[pg_temp.job('a'), pg_temp.job('b'), pg_temp.job('c')], true) $$, :worker),
    'one lease says what the worker got, from whatever lanes');
select is_empty('select * from procrastinate_queueing_locks', 'what has started has no queueing lock');
select is_empty('select * from procrastinate_check()', 'all is well with jobs of many lanes');
select is_empty(format('select * from procrastinate_fetch_jobs(%s, 10)', :none), 'a fetch may find nothing');
select is((select count(*) from procrastinate_leases), 1::bigint, 'it writes no lease then');
select is((select count(*) from pg_temp.fetch(:worker, 10)), 1::bigint, 'another fetch gets the rest');
select results_eq(
    'select job_ids from procrastinate_leases l where pg_temp.job($d$d$d$) = any (l.job_ids)', $$ values (array[pg_temp.job('d')]) $$,
    'its lease names only what it got');

-- order
select pg_temp.reset();
select pg_temp.defer(n, priority => p, task => t, queue => q)
from (values ('e', 0, 'send', 'default'), ('a', 9, 'send', 'mail'), ('f', -7, 'send', 'default'), ('b', 9, 'sum', 'web'), ('c', 5, 'send', 'web'), ('g', -8, 'sum', 'default')) r(n, p, t, q);
select results_eq(
    format('select pg_temp.fetch(%s, 2)', :worker), $$ values ('a'), ('b') $$,
    'jobs of higher priority come first, whatever their queue and task');
select results_eq(
    format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('c'), ('e'), ('f'), ('g') $$,
    'then the others, down to the negative priorities');

select pg_temp.reset();
select pg_temp.defer(n::text) from generate_series(1, 60) n;
select results_eq(format('select pg_temp.fetch(%s, 20)', :worker), 'select n::text from generate_series(1, 20) n', 'jobs of one priority come in the order in which they were deferred');
select results_eq(format('select pg_temp.fetch(%s, 20)', :worker), 'select n::text from generate_series(21, 40) n', 'the next fetch goes on from there');
select is((select count(*) from pg_temp.fetch(:worker, 100)), 20::bigint, 'a fetch returns what there is');

select pg_temp.reset();
select pg_temp.defer(n) from unnest('{a,b,c,d}'::text[]) n;
select count(*) from pg_temp.fetch(:worker, 2);
select procrastinate_return_jobs(:worker, array[pg_temp.job('b')]);
select pg_temp.defer('e', priority => 1);
select pg_temp.defer('f', priority => 1);
select results_eq(
    format('select pg_temp.fetch(%s, 4)', :worker), $$ values ('e'), ('f'), ('b'), ('c') $$,
    'a job that was given back comes before the others of its priority, and after those of a higher one');

select pg_temp.reset();
select pg_temp.defer(n, lock => l) from (values ('p', null), ('l', 'l'), ('q', null), ('m', 'm')) r(n, l);
select pg_temp.defer('t', task => 'sum');
select pg_temp.defer('u');
select pg_temp.defer('r', priority => -1);
select pg_temp.defer('k', priority => 1);
update procrastinate_jobs j set deferred_at = now() - v.age * interval '1 min', scheduled_at = now() - v.due * interval '1 min'
from (values ('p', 9, 2), ('q', 3, null), ('l', 1, null), ('m', 9, null), ('t', 5, null), ('u', 7, null), ('k', 0, null), ('r', 99, null)) v(name, age, due)
where j.id = pg_temp.job(v.name);
select results_eq(
    format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('k'), ('l'), ('m'), ('u'), ('t'), ('q'), ('p'), ('r') $$,
    'what one fetch gets is handed out by priority; of one priority those with locks come first, by id, then the others as they became ready, whatever their task');

select pg_temp.reset();
select pg_temp.defer('later');
update procrastinate_jobs j set scheduled_at = clock_timestamp() + interval '1 hour' where j.id = pg_temp.job('later');
select pg_temp.defer('first', task => 'zzz');
select pg_temp.defer('second', task => 'aaa');
select results_eq(format('select pg_temp.fetch(%s, 4)', :worker), $$ values ('first'), ('second') $$, 'a lane''s place is that of its first job; a job that is not due is left');

-- filters
select pg_temp.reset();
select pg_temp.defer(t || ' in ' || q, task => t, queue => q)
from unnest('{default,mail,web}'::text[]) q, unnest('{other,send,sum}'::text[]) t;
select is_empty(format('select pg_temp.fetch(%s, 10)', :none), 'a worker that serves no queue gets nothing');
select is_empty(format('select pg_temp.fetch(%s, 10)', :no_task), 'a worker that runs no task gets nothing');
select results_eq(
    format('select pg_temp.fetch(%s, 10)', :both_), $$ values ('send in mail'), ('sum in mail'), ('send in web'), ('sum in web') $$,
    'a worker gets jobs of its queues and its tasks only');
select results_eq(format('select pg_temp.fetch(%s, 10)', :mail), $$ values ('other in mail') $$, 'a worker of one queue gets all its tasks');
select results_eq(format('select pg_temp.fetch(%s, 10)', :sum), $$ values ('sum in default') $$, 'a worker of one task gets it from all queues');
select procrastinate_pause_queue('default');
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('other in web') $$, 'nobody gets a job of a paused queue');
select procrastinate_resume_queue('default');
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('other in default'), ('send in default') $$, 'when the queue goes on its jobs are fetched');
select is_empty('select * from procrastinate_check()', 'all is well after all the filters');

-- locks
select pg_temp.reset();
select pg_temp.defer(n, lock => l) from (values ('a1', 'a'), ('a2', 'a'), ('b1', 'b'), ('x', null)) r(n, l);
select set_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('a1'), ('b1'), ('x') $$, 'of each lock one job starts');
select is_empty(format('select pg_temp.fetch(%s, 10)', :worker), 'no other job of the lock starts meanwhile');
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('a1')]);
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('a2') $$, 'the next job of the lock starts when the first has ended');

select pg_temp.reset();
select pg_temp.defer('low', lock => 'a');
select pg_temp.defer('a', lock => 'a', priority => 3);
select pg_temp.defer('b', lock => 'a', priority => 3);
select pg_temp.defer('between', priority => 2);
select pg_temp.defer('c', lock => 'a', priority => 3);
select results_eq(
    format('select pg_temp.fetch(%s, 10, 2)', :worker), $$ values ('a'), ('b'), ('between') $$,
    'a worker may get a run of one lock, best priority first, no longer than it said');
select is_empty('select * from procrastinate_check()', 'all is well with a run');
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('a')]);
select is_empty(format('select pg_temp.fetch(%s, 10, 2)', :worker), 'nothing more of the lock starts before the whole run has ended');
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('b')]);
select results_eq(format('select pg_temp.fetch(%s, 1, 2)', :worker), $$ values ('c') $$, 'then the next of the lock starts');
select pg_temp.reset();
select pg_temp.defer(n::text, lock => n::text) from generate_series(1, 230) n;
select is((select count(*) from pg_temp.fetch(:worker, 500)), 200::bigint, 'at most 200 jobs with locks start at once');
select is((select count(*) from pg_temp.fetch(:worker, 500)), 30::bigint, 'the rest is there for the next fetch');

select pg_temp.reset();
select pg_temp.defer('locked ' || n, lock => n::text) from generate_series(1, 210) n;
select pg_temp.defer('plain ' || n, priority => -1) from generate_series(1, 10) n;
select is((select count(*) from pg_temp.fetch(:worker, 500)), 210::bigint, 'that bound leaves out no job without a lock');

-- hand-over
select pg_temp.reset();
select pg_temp.defer('m1', queue => 'mail', lock => 'a');
select pg_temp.defer('w1', queue => 'web', lock => 'a');
select results_eq(format('select pg_temp.fetch(%s, 1)', :mail), $$ values ('m1') $$, 'the first one of a lock starts in its queue');
select count(*) from procrastinate_finish_jobs(:mail, array[pg_temp.job('m1')]);
select is_empty(format('select pg_temp.fetch(%s, 10)', :sum), 'whoever fetches next passes the lock on, also one who serves neither queue');
select is_empty('select * from procrastinate_check()', 'all is well while the lock is on its way');
select results_eq(format('select pg_temp.fetch(%s, 10)', :both_), $$ values ('w1') $$, 'the lock''s next job starts in another queue');

select pg_temp.reset();
select pg_temp.defer('a1', lock => 'a');
select pg_temp.defer('a2', lock => 'a');
select count(*) from pg_temp.fetch(:worker, 1);
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('a1')]);
select pg_temp.defer('better', priority => 1);
select results_eq(
    format('select pg_temp.fetch(%s, 1)', :worker), $$ values ('better') $$,
    'a lock that is handed over does not come before a better priority');
select results_eq(format('select pg_temp.fetch(%s, 1)', :worker), $$ values ('a2') $$, 'it comes in its turn');

select pg_temp.reset();
select pg_temp.defer('a1', lock => 'a', priority => 1);
select pg_temp.defer('plain');
select pg_temp.defer('a2', lock => 'a');
select count(*) from pg_temp.fetch(:worker, 1);
delete from procrastinate_tokens t where t.id = hashtextextended('a', 0);
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('a1')]);
select results_eq(
    format('select pg_temp.fetch(%s, 1)', :worker), $$ values ('a2') $$,
    'it comes before the others of its priority');

select pg_temp.reset();
select pg_temp.defer('m1', queue => 'mail', lock => 'a');
select pg_temp.defer('w1', queue => 'web', lock => 'a', priority => -3);
select count(*) from pg_temp.fetch(:mail, 1);
select count(*) from procrastinate_finish_jobs(:mail, array[pg_temp.job('m1')]);
delete from procrastinate_tokens t where t.lane <> 0;
select results_eq(
    format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('w1') $$,
    'a lock passed on to a lane that was empty is found in the same fetch');

-- a lock that waits in a queue that somebody paused
select pg_temp.reset();
select pg_temp.defer('m1', queue => 'mail', lock => 'a');
select pg_temp.defer('w1', queue => 'web', lock => 'a');
select pg_temp.defer('w2', queue => 'web', lock => 'b');
select procrastinate_pause_queue('mail');
select results_eq(
    format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('w2') $$,
    'the others of a lock wait behind one in a paused queue; those of other locks do not');

-- floors
select pg_temp.reset();
delete from procrastinate_floors;
select pg_temp.defer(n::text) from generate_series(1, 40) n;
select count(*) from pg_temp.fetch(:worker, 16);
select ok(exists (select from procrastinate_floors), 'a fetch of many notes where the lane begins');
select is((select count(*) from pg_temp.fetch(:worker, 100)), 24::bigint, 'what is above the floor is still found');
select is_empty('select * from procrastinate_check()', 'all is well above the floors');

-- sweeping
select pg_temp.reset();
create function pg_temp.sweep(task text, kind text) returns integer language sql as
    $$ select procrastinate_sweep_lane(h) from procrastinate_heads h where h.task_name = sweep.task and h.kind = sweep.kind and h.queue_name = 'default' and h.priority = 0 $$;
create temp view token as
    select coalesce(j.args ->> 'name', 'none') as name
    from procrastinate_tokens t
    left join procrastinate_jobs j on t.id in (j.id, j.lock_key);
select pg_temp.defer(n, task => t) from (values ('waits', 'sweep'), ('cancelled', 'sweep'), ('runs', 'sweep'), ('other', 'sum')) r(n, t);
insert into procrastinate_tokens (lane, id) select l.lane, i from procrastinate_lanes l, unnest(array[-5, pg_temp.job('cancelled')]) i where l.task_name = 'sweep';
update procrastinate_jobs j set status = 'cancelled', finished_at = now() where j.args ->> 'name' in ('cancelled', 'other');
update procrastinate_jobs j set status = 'doing', started_at = now() where j.args ->> 'name' = 'runs';
select is(pg_temp.sweep('sweep', 'plain'), 4, 'a sweep drops the tokens of jobs that do not wait, and says how many');
select set_eq('select name from token', $$ values ('waits'), ('other') $$, 'it keeps those of jobs that wait, and those of other lanes');
select is(pg_temp.sweep('sweep', 'plain'), 0, 'with nothing to drop it drops nothing');
select pg_temp.reset();
select pg_temp.defer(n, lock => l, task => 'sweep') from (values ('free', 'a'), ('held', 'b'), ('nobody', 'c')) r(n, l);
update procrastinate_lock_queue q set held = true where q.job_id = pg_temp.job('held');
insert into procrastinate_lock_queue (key, held, priority, job_id) select hashtextextended('b', 0), false, 0, -1;
delete from procrastinate_lock_queue q where q.job_id = pg_temp.job('nobody');
select is(pg_temp.sweep('sweep', 'locked'), 0, 'a sweep leaves the tokens of our own transaction to locks, which others count on');
update procrastinate_tokens set xid = '3';
select is(pg_temp.sweep('sweep', 'locked'), 2, 'a sweep drops the tokens of locks that are held, or in which nobody waits');
select set_eq('select name from token', $$ values ('free') $$, 'it keeps those of free locks');
select pg_temp.reset();
select pg_temp.defer(n::text) from generate_series(1, 1100) n;
update procrastinate_jobs j set status = 'cancelled', finished_at = now();
select is(pg_temp.sweep('send', 'plain'), 1000, 'it looks at a thousand tokens at once');
select results_eq(
    $$ select procrastinate_sweep_lane(row(h.lane, h.queue_name, h.task_name, h.priority, h.kind, '0', 0, '3', '{}', false)::procrastinate_heads)
       from procrastinate_heads h where h.task_name = 'send' and h.kind = 'plain' and h.priority = 0 and h.queue_name = 'default'
       union all
       select procrastinate_sweep_lane(row(h.lane, h.queue_name, h.task_name, h.priority, h.kind, pg_current_xact_id(), pg_temp.job('1091'), pg_current_xact_id(), '{}', true)::procrastinate_heads)
       from procrastinate_heads h where h.task_name = 'send' and h.kind = 'plain' and h.priority = 0 and h.queue_name = 'default' $$,
    $$ values (0), (10) $$,
    'it looks at those that fetch would look at');

-- stale tokens
select pg_temp.reset();
select pg_temp.defer(n) from unnest('{a,b,c,d}'::text[]) n;
select procrastinate_cancel_job(pg_temp.job('a'));
select results_eq(
    format('select pg_temp.fetch(%s, 1)', :worker), $$ values ('b') $$,
    'as many tokens good for nothing as jobs are wanted do not hide the next job');
select procrastinate_cancel_job(pg_temp.job('c'));
select results_eq(
    format('select pg_temp.fetch(%s, 2)', :worker), $$ values ('d') $$,
    'nor do they when they are some of those looked at');
select pg_temp.reset();
select pg_temp.defer(n) from unnest('{a,b,c,d,e,f}'::text[]) n;
select procrastinate_cancel_job(pg_temp.job(n)) from unnest('{a,c,d}'::text[]) n;
select results_eq(
    format('select pg_temp.fetch(%s, 3)', :worker), $$ values ('b'), ('e'), ('f') $$,
    'a fetch gets all it wants, though a look finds tokens good for nothing among others');
select is_empty('select * from procrastinate_tokens t join procrastinate_lanes l using (lane) where l.kind = $d$plain$d$', 'no such token is left behind');
select pg_temp.reset();
select pg_temp.defer(n, priority => p) from (values ('a', 1), ('b', 1), ('c', 1), ('d', 0)) r(n, p);
update procrastinate_jobs j set scheduled_at = clock_timestamp() + interval '1 hour' where j.id in (pg_temp.job('a'), pg_temp.job('b'));
select results_eq(
    format('select pg_temp.fetch(%s, 2)', :worker), $$ values ('c'), ('d') $$,
    'a lane is looked through before the next one');
select pg_temp.reset();
select pg_temp.defer(n, lock => n) from unnest('{a,b,c,d}'::text[]) n;
update procrastinate_tokens set xid = '3';
insert into procrastinate_lock_queue (key, held, priority, job_id)
select t.id, true, 0, -1 from procrastinate_tokens t order by t.xid, t.id limit 3;
select is(
    (select hashtextextended(f, 0) from pg_temp.fetch(:worker, 1) f), (select max(j.lock_key) from procrastinate_jobs j),
    'held locks do not hide one that is free');
select is_empty('select * from procrastinate_tokens', 'their tokens are dropped');
delete from procrastinate_lock_queue q where q.job_id = -1;
select pg_temp.reset();
select pg_temp.defer(n::text, lock => n::text) from generate_series(1, 30) n;
update procrastinate_tokens set xid = '3';
insert into procrastinate_lock_queue (key, held, priority, job_id)
select t.id, true, 0, -1 from procrastinate_tokens t order by t.xid, t.id limit 5;
select is((select count(*) from pg_temp.fetch(:worker, 6)), 6::bigint, 'looked at again and again, each look wider, a lane of locks gives what is wanted');
delete from procrastinate_lock_queue q where q.job_id = -1;
select is(
    (select count(*) from procrastinate_tokens t join procrastinate_lanes l using (lane) where l.kind = 'locked'), 19::bigint,
    'the tokens of locks that were one too many are kept');
select pg_temp.reset();
select pg_temp.defer(n::text) from generate_series(1, 40) n;
select procrastinate_cancel_job(j.id) from procrastinate_jobs j where (j.args ->> 'name')::integer < 40;
select results_eq(
    format('select pg_temp.fetch(%s, 1)', :worker), $$ values ('40') $$,
    'however many cancelled jobs were before it, a job that can start is fetched');
select pg_temp.reset();
select pg_temp.defer(n::text, lock => n::text) from generate_series(1, 60) n;
create temp table last_key as select max(j.lock_key) as key from procrastinate_jobs j;
select procrastinate_cancel_job(j.id) from procrastinate_jobs j where j.lock_key not in (select k.key from last_key k);
delete from procrastinate_floors;
update procrastinate_tokens set xid = '3';
select is(
    (select hashtextextended(f, 0) from pg_temp.fetch(:worker, 1) f), (select k.key from last_key k),
    'however many cancelled jobs with locks were before it, a job with a lock that can start is fetched');
select is_empty('select * from procrastinate_check()', 'all is well after the stale tokens');

-- many lanes
select pg_temp.reset();
select pg_temp.defer(format('%s %s', q, p), queue => 'q' || q, priority => p) from generate_series(1, 5) q, generate_series(-2, 2) p;
select results_eq(
    format($$ select regexp_replace(f, '^\d+ ', '') from pg_temp.fetch(%s, 25) f $$, :worker),
    $$ select p::text from generate_series(2, -2, -1) p, generate_series(1, 5) q $$,
    'over many lanes the priority goes down');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
