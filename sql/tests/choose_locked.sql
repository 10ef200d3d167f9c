-- Choosing jobs that have locks.
begin;
select plan(57);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

-- what choose_locked says of a locked lane of task send, for a worker of these queues and tasks
create function pg_temp.look(
    max_jobs integer, max_keys integer, max_per_lock integer, queues text[] default null, tasks text[] default null, queue text default 'default',
    out chosen tid[], out tokens integer, out dropped integer)
returns setof record language sql as
    $$ select c.* from procrastinate_heads h, procrastinate_choose_locked(queues, tasks, h, max_jobs, max_keys, max_per_lock, true) c
       where h.kind = 'locked' and h.task_name = 'send' and h.queue_name = queue and h.priority = 0 $$;

-- the names of the jobs it chooses, best first, which start, as in a fetch
create function pg_temp.start(worker bigint, max_jobs integer, max_per_lock integer, queues text[] default null, tasks text[] default null, queue text default 'default')
returns setof text language plpgsql as $function$
declare
    v_chosen tid[];
begin
    select l.chosen into v_chosen from pg_temp.look(max_jobs, max_jobs, max_per_lock, queues, tasks, queue) l;
    insert into procrastinate_leases (worker_id, job_ids)
    select worker, array_agg(j.id) from procrastinate_jobs j where j.ctid = any (v_chosen) having count(*) > 0;
    return query
    with started as (
        update procrastinate_jobs j set status = 'doing', worker_id = worker, started_at = clock_timestamp() where j.ctid = any (v_chosen)
        returning j.*
    )
    select s.args ->> 'name' from started s order by s.priority desc, s.id;
end;
$function$;

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

-- what is chosen
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a', queueing_lock => 'qa', schedule_at => '2001-01-01');
select procrastinate_defer('send', '{"name": "a2"}', lock => 'a', queueing_lock => 'qa2');
select procrastinate_defer('send', '{"name": "b1"}', lock => 'b');
select procrastinate_defer('sum', '{"name": "c1"}', lock => 'c');
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('other', pg_temp.job('a1'));
create temp table before as select j.ctid as place, j.* from procrastinate_jobs j;

savepoint before;
create temp table look as select * from pg_temp.look(10, 10, 1);
select set_eq(
    'select unnest(chosen)::text, tokens, dropped from look', $$ select place::text, 3 as tokens, 3 as dropped from before where args ->> 'name' in ('a1', 'b1') $$,
    'the first job of each lock is chosen: it says where their rows are, how many tokens it took, and how many of them it dropped');
select results_eq(
    'select j.ctid::text, to_jsonb(j) from procrastinate_jobs j order by j.id', 'select place::text, to_jsonb(b) - $d$place$d$ from before b order by id',
    'no job is changed: to start them is the caller''s');
select is_empty('select * from procrastinate_leases', 'no lease is written, for a fetch writes one for all its lanes');
rollback to before;

select results_eq(
    format('select * from pg_temp.start(%s, 10, 1)', :worker), $$ values ('a1'), ('b1') $$,
    'the first job of each lock starts');
select set_eq(
    'select * from waiting',
    $$ values (pg_temp.key('a'), true, 0, 'a1'), (pg_temp.key('a'), false, 0, 'a2'), (pg_temp.key('b'), true, 0, 'b1'), (pg_temp.key('c'), false, 0, 'c1') $$,
    'it holds its lock, and the next one waits');
select results_eq(
    'select key from token', $$ values (pg_temp.key('c')) $$,
    'the tokens of the lane are gone, that of another lane is left');
select set_eq(
    'select queueing_lock from procrastinate_queueing_locks', $$ values ('qa2'), ('other') $$,
    'a job that is chosen lets its queueing lock go, and no other');
delete from procrastinate_queueing_locks q where q.queueing_lock = 'other';
select is_empty('select * from procrastinate_agenda', 'what was chosen is not looked at again');
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
    format($$ select * from pg_temp.start(%s, 3, 5) $$, :worker), $$ values ('a1'), ('b1'), ('c1') $$,
    'each lock gets its turn before any gets a second');
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1)) from unnest('{a1,a2,a3,b1}'::text[]) n;
select results_eq(
    format($$ select * from pg_temp.start(%s, 100, 2) order by 1 $$, :worker), $$ values ('a1'), ('a2'), ('b1') $$,
    'of a lock at most max_per_lock jobs are started');
select is_empty('select * from procrastinate_check()', 'several jobs of one worker may hold a lock');
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => 'a', priority => p)
from unnest('{a1,a2,a3,a4}'::text[], '{0,0,3,0}'::integer[]) r(n, p);
select results_eq(
    format($$ select * from pg_temp.start(%s, 3, 3) $$, :worker), $$ values ('a3'), ('a1'), ('a2') $$,
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
    format($$ select * from pg_temp.start(%s, 10, 5, '{default}') $$, :worker), $$ values ('a1') $$,
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
    format($$ select * from pg_temp.start(%s, 10, 5, queue => 'mail') $$, :worker), $$ values ('a1'), ('a2') $$,
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
update procrastinate_tokens set xid = '3';
create temp table first_three as select t.id as key from procrastinate_tokens t order by t.xid, t.id limit 3;
select results_eq(
    'select cardinality(chosen), tokens, dropped from pg_temp.look(3, 3, 1)',
    $$ select count(distinct f.key) filter (where f.key <> pg_temp.key('c'))::integer, 3, 3 from first_three f $$,
    'it says how many tokens it took, also of one lock twice, or of one that is held');
select results_eq('select tokens, dropped from pg_temp.look(3, 3, 1)', 'values (1, 1)', 'those that are left are for the next call');
select is_empty('select * from pg_temp.look(3, 3, 1)', 'until there are no more');

-- more locks looked at than jobs wanted
create function pg_temp.many(count integer) returns void language plpgsql as $function$
begin
    perform pg_temp.reset();
    perform procrastinate_defer('send', jsonb_build_object('name', n), lock => n::text) from generate_series(1, count) n;
    update procrastinate_tokens set xid = '3';
end;
$function$;
create temp view by_key as select j.args ->> 'name' as name, j.lock_key as key, row_number() over (order by j.lock_key) as n from procrastinate_jobs j;

select pg_temp.many(10);
create temp table look as select * from pg_temp.look(2, 5, 1);
select results_eq(
    'select k.n, l.tokens, l.dropped from look l join procrastinate_jobs j on j.ctid = any (l.chosen) join by_key k on k.key = j.lock_key order by 1',
    'values (1::bigint, 5, 2), (2, 5, 2)',
    'of five locks looked at two give the two jobs that are wanted');
select set_eq('select key from token', 'select key from by_key where n > 2', 'a lock whose first job is one too many keeps its token');
select is((select count(*) from waiting where held), 2::bigint, 'and nobody holds it');
select is_empty('select * from procrastinate_agenda', 'nor is it to be looked at again by the clockwork');
drop table look;

select pg_temp.many(6);
insert into procrastinate_lock_queue (key, held, priority, job_id) select k.key, true, 0, -1 from by_key k where k.n <= 4;
select results_eq(
    'select cardinality(chosen), tokens, dropped from pg_temp.look(1, 6, 1)', 'values (1, 6, 5)',
    'past locks that are held it finds one that is not');
select set_eq('select key from token', 'select key from by_key where n = 6', 'the tokens of those held are dropped, that of the one too many is kept');

select pg_temp.many(3);
insert into procrastinate_tokens (lane, xid, id) select t.lane, '3', t.id from procrastinate_tokens t;
select results_eq(
    'select cardinality(chosen), tokens, dropped from pg_temp.look(1, 6, 1)', 'values (1, 6, 2)',
    'with two tokens each a lock that is one too many keeps both');

select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1)) from unnest('{a1,a2,a3,b1}'::text[]) n;
delete from procrastinate_tokens t using procrastinate_tokens other where other.id = t.id and other.ctid < t.ctid;
update procrastinate_tokens set xid = '3';
select results_eq('select cardinality(chosen), tokens, dropped from pg_temp.look(3, 5, 3)', 'values (3, 2, 2)', 'a run may be cut short by the jobs that are wanted');
select results_eq(
    'select count(*) filter (where name like $d$a%$d$), count(*) filter (where name = $d$b1$d$) from waiting where held', 'values (2::bigint, 1::bigint)',
    'but each lock has its turn before any has a second');
select is_empty('select * from token', 'a lock whose run was cut short keeps no token: the run''s end writes another');

-- nobody's: how tick passes locks on
select pg_temp.reset();
select procrastinate_defer('send', '{"name": "a1"}', lock => 'a');
delete from procrastinate_tokens;
insert into procrastinate_tokens (lane, xid, id) values (0, '3', pg_temp.key('a')), (0, '3', pg_temp.key('nobody'));
select is_empty(
    $$ select h.lane from procrastinate_heads h, procrastinate_choose_locked('{}', '{}', h, 100, 100, 1, true) c, unnest(c.chosen) where h.lane = 0 $$,
    'with no queues nothing is chosen');
select set_eq(
    'select queue_name, key from token', $$ values ('default', pg_temp.key('a')) $$,
    'but a lock handed over is passed on to the lane of its first job, and one that nobody waits for is forgotten');

-- tokens that our own transaction wrote, which others count on until it commits
select pg_temp.reset();
insert into procrastinate_tokens (lane, id) values (0, pg_temp.key('nobody'));
select results_eq(
    $$ select c.tokens, c.dropped from procrastinate_heads h, procrastinate_choose_locked('{}', '{}', h, 100, 100, 1, true) c where h.lane = 0 $$,
    $$ values (1, 0) $$, 'our own token of a lock that nobody waits for is looked at');
select set_eq('select key from token', $$ values (pg_temp.key('nobody')) $$, 'but not dropped');
select results_eq(
    $$ select c.tokens, c.dropped from procrastinate_heads h, procrastinate_choose_locked('{}', '{}', h, 100, 100, 1, false) c where h.lane = 0 $$,
    $$ values (0, 0) $$, 'and not looked at when it is not asked for');

-- places in the lock queue that are out of date: nothing is started, and the next one has its chance
select pg_temp.reset();
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => left(n, 1), priority => p)
from unnest('{a1,a2,b1,c1,d1}'::text[], '{1,0,0,0,0}'::integer[]) r(n, p);
update procrastinate_jobs j set status = 'cancelled', finished_at = now() where j.id = pg_temp.job('a1');
update procrastinate_jobs j set scheduled_at = '2101-01-01' where j.id = pg_temp.job('b1');
update procrastinate_jobs j set priority = 1 where j.id = pg_temp.job('c1');
update procrastinate_jobs j set lock = 'x', lock_key = pg_temp.key('x') where j.id = pg_temp.job('d1');
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
create function pg_temp.look_from(lane integer, first_xid xid8, first_id bigint, last_xid xid8) returns setof text language sql as
    $$ select j.args ->> 'name'
       from procrastinate_choose_locked(
           null, null, row(lane, 'default', 'send', 0, 'locked', first_xid, first_id, last_xid, '{}', true)::procrastinate_heads, 100, 100, 1, true) c
       join procrastinate_jobs j on j.ctid = any (c.chosen) $$;
select is_empty(
    format($$ select pg_temp.look_from(%1$s, '0', -9223372036854775808, '3')
              union all
              select pg_temp.look_from(%1$s, pg_current_xact_id(), pg_temp.key('a') + 1, '18446744073709551615') $$, :lane),
    'tokens below the first one to look at, or above the last transaction, are left');
select results_eq(
    format($$ select pg_temp.look_from(%s, pg_current_xact_id(), pg_temp.key('a'), pg_current_xact_id()) $$, :lane),
    $$ values ('a1') $$,
    'the first one itself is taken');
update procrastinate_jobs j set status = 'doing', worker_id = :worker, started_at = now();
insert into procrastinate_leases (worker_id, job_ids) values (:worker, array[pg_temp.job('a1')]);

select is_empty('select * from procrastinate_check()', 'all is well in the end');
select * from finish();
rollback;
