-- Every hint is rebuilt from the jobs.
begin;
select plan(34);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_register_worker('gone') as gone \gset

-- some of everything
select procrastinate_defer('run', format('{"name": "%s"}', n)::jsonb, lock => l, priority => 5)
from (values ('runs', null), ('runs locked', 'l'), ('ended', 'e')) r(n, l);
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('ended')]);
select procrastinate_defer('run', '{"name": "lost"}', priority => 5);
select count(*) from procrastinate_fetch_jobs(:gone, 10);
select procrastinate_defer('run', '{"name": "nobody''s"}', priority => 5);
select count(*) from procrastinate_fetch_jobs(:gone, 10);
update procrastinate_jobs j set worker_id = null where j.id = pg_temp.job('nobody''s');
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => l, queueing_lock => q, schedule_at => at)
from (values
    ('a', null, 'q', null::timestamptz), ('b', 'm', null, null), ('c', 'm', null, null), ('d', 'l', null, null), ('future', null, 'f', '2101-01-01'), ('future locked', 'm', null, '2101-01-01'), ('past', null, null, '2001-01-01')
) r(n, l, q, at);
update procrastinate_jobs j set queueing_lock = 'q' where j.args ->> 'name' in ('b', 'ended', 'runs');
create temp table job as table procrastinate_jobs;

-- keys as another version, or another kind of machine, makes them
update procrastinate_jobs j set lock_key = j.id + 7000 where j.lock is not null and j.id <> pg_temp.job('c');
update procrastinate_jobs j set lock_key = null where j.id = pg_temp.job('c');

-- all hints gone, and false ones in their stead
delete from procrastinate_workers w where w.id = :gone;
delete from procrastinate_tokens;
delete from procrastinate_agenda;
delete from procrastinate_lock_queue;
delete from procrastinate_queueing_locks;
delete from procrastinate_leases;
delete from procrastinate_removed_workers;
delete from procrastinate_ticks;
insert into procrastinate_tokens (lane, id) values (0, 7);
insert into procrastinate_agenda (at, id) values (now(), 7);
insert into procrastinate_lock_queue (key, held, priority, job_id) values (hashtextextended('m', 0), true, 0, 7);
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('q', 7), ('x', 7);
insert into procrastinate_leases (worker_id, job_ids) values (:worker, '{7}');
insert into procrastinate_retention (delete_at, job_ids) values (now(), '{7}');
insert into procrastinate_removed_workers (worker_id) values (:worker);
insert into procrastinate_floors (lane, xid, id, late) select l.lane, pg_current_xact_id(), 9223372036854775807, '{}' from procrastinate_lanes l;
update procrastinate_lanes l set state = 'parked', settled_xid = '3' where l.lane <> 0;
update procrastinate_install i set system_identifier = i.system_identifier - 1;
select procrastinate_repair();

select is_empty('select * from procrastinate_check()', 'all is well after a repair');
select results_eq(
    $$ select to_jsonb(j) - 'lock_key' from procrastinate_jobs j where id <> pg_temp.job('b') order by id $$,
    $$ select to_jsonb(j) - 'lock_key' from job j where id <> pg_temp.job('b') order by id $$,
    'no job is changed by it');
select results_eq(
    $$ select args ->> 'name', lock_key from procrastinate_jobs order by 1 $$,
    $$ select args ->> 'name', hashtextextended(lock, 0) from job order by 1 $$,
    'but for the key of a lock, which each has as this server makes it');
select results_eq(
    $$ select args ->> 'name', queueing_lock::text from procrastinate_jobs where queueing_lock is not null or id = pg_temp.job('b') order by 1 $$,
    $$ values ('a', 'q'), ('b', null), ('ended', 'q'), ('future', 'f'), ('runs', 'q') $$,
    'and one of two that wait with the same queueing lock, which the first keeps');
select results_eq(
    'select queueing_lock, job_id from procrastinate_queueing_locks order by 1', $$ values ('f', pg_temp.job('future')), ('q', pg_temp.job('a')) $$,
    'the queueing locks are those of the waiting jobs');
select set_eq(
    $$ select l.queue_name, l.task_name, l.priority, l.kind, j.args ->> 'name'
       from procrastinate_tokens t join procrastinate_lanes l using (lane) join procrastinate_jobs j on t.id = case l.kind when 'locked' then j.lock_key else j.id end
       where j.status = 'todo' $$,
    $$ values ('default', 'send', 0, 'plain', 'a'), ('default', 'send', 0, 'plain', 'past'), ('default', 'send', 0, 'locked', 'b'), ('default', 'send', 0, 'locked', 'c'),
              ('default', 'send', 0, 'locked', 'd'), ('default', 'send', 0, 'locked', 'future locked') $$,
    'each due job has a token, or its lock has one');
select is_empty('select * from procrastinate_tokens where id = 7 or lane = 0', 'no other token is left');
select results_eq(
    'select id, at from procrastinate_agenda order by id', $$ values (pg_temp.job('future'), timestamptz '2101-01-01'), (pg_temp.job('future locked'), '2101-01-01') $$,
    'the agenda holds the future jobs');
select set_eq(
    'select key, held, priority, job_id from procrastinate_lock_queue',
    $$ values (hashtextextended('l', 0), true, 5, pg_temp.job('runs locked')), (hashtextextended('l', 0), false, 0, pg_temp.job('d')),
              (hashtextextended('m', 0), false, 0, pg_temp.job('b')), (hashtextextended('m', 0), false, 0, pg_temp.job('c')) $$,
    'the lock queue holds the running and the due jobs');
select set_eq(
    'select worker_id, j from procrastinate_leases, unnest(job_ids) j',
    format($$ values (%s::bigint, pg_temp.job('runs')), (%1$s, pg_temp.job('runs locked')), (%s, pg_temp.job('lost')), (0, pg_temp.job('nobody''s')) $$, :worker, :gone),
    'the leases name who holds what');
select set_eq('select worker_id from procrastinate_removed_workers', format('values (%s::bigint), (0)', :gone), 'the jobs of workers that are no more, and of nobody, are to be taken back');
select results_eq(
    'select job_ids, delete_at - now() between $d$7 days$d$ and $d$7 days 1 min$d$ from procrastinate_retention', $$ values (array[pg_temp.job('ended')], true) $$,
    'what ended is noted for retention');
select is_empty('select * from procrastinate_floors', 'no floor is left');
select results_eq('select distinct state, settled_xid is null from procrastinate_lanes', $$ values ('open', true) $$, 'all lanes are open');
select results_eq(
    'select agenda_at, agenda_xid::text, agenda_late, tidied_floor, tidied_lease, pruned_until from procrastinate_ticks',
    $$ values ('-infinity'::timestamptz, '0', '{}'::xid8[], 0::bigint, '-infinity'::timestamptz, '-infinity'::timestamptz) $$,
    'the clockwork begins anew');
select results_eq(
    'select i.system_identifier from procrastinate_install i', 'select c.system_identifier from pg_control_system() c',
    'the hints are known to be of this cluster');

-- life goes on
select procrastinate_tick();
select results_eq(
    $$ select args ->> 'name', status, rescues::integer from procrastinate_jobs where args ->> 'name' in ('lost', 'nobody''s') order by 1 $$, $$ values ('lost', 'todo'::procrastinate_job_status, 1), ('nobody''s', 'todo', 1) $$,
    'the next tick rescues the jobs that nobody holds');
select is_empty(format($$ select * from procrastinate_finish_jobs(%s, array[pg_temp.job('runs'), pg_temp.job('runs locked')]) $$, :worker), 'a worker finishes what it had');
select set_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) $$, :worker), $$ values ('lost'), ('nobody''s'), ('a'), ('b'), ('d'), ('past') $$,
    'and fetches what is due');
select is_empty('select * from procrastinate_check()', 'all is well afterwards');
select procrastinate_repair();
select is_empty('select * from procrastinate_check()', 'a repair of what is sound leaves it sound');
create temp table install as table procrastinate_install;
select procrastinate_repair();
select results_eq('table procrastinate_install', 'table install', 'and the installation as it is');

-- a job that ended with a key of another server's
select procrastinate_defer('send', '{"name": "e"}', lock => 'z');
select procrastinate_cancel_job(pg_temp.job('e'));
update procrastinate_jobs j set lock_key = 7 where j.id = pg_temp.job('e');
select procrastinate_repair();
select procrastinate_retry_job(pg_temp.job('e'));
select is_empty('select * from procrastinate_check()', 'a job that ended before the repair is retried with the key that is right');
select procrastinate_defer('send', '{"name": "f"}', lock => 'z');
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) where lock = 'z' $$, :worker), $$ values ('e') $$,
    'so that it runs one at a time with the others of its lock');
select is_empty('select * from procrastinate_check()', 'all is well with it');

-- what has no lock has no key
select procrastinate_defer('send', '{"name": "g"}');
update procrastinate_jobs j set lock_key = 7 where j.id = pg_temp.job('g');
select procrastinate_repair();
select is((select j.lock_key from procrastinate_jobs j where j.id = pg_temp.job('g')), null, 'a key without a lock is taken away');
select is_empty('select * from procrastinate_check()', 'and the job has its own token');

-- a copy
select is(procrastinate_is_copy(), false, 'what was made or repaired here is no copy');
update procrastinate_install i set system_identifier = i.system_identifier - 1;
select is(procrastinate_is_copy(), true, 'what was made in a cluster of another name is one');
update procrastinate_install i set system_identifier = null;
select is(procrastinate_is_copy(), true, 'and what an extension brought, of which nobody knows');
select procrastinate_repair();
insert into procrastinate_ticks (at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease)
select now(), now(), pg_snapshot_xmax(pg_current_snapshot()), '{}', now(), 0, now();
select is(procrastinate_is_copy(), false, 'a clockwork that has seen all transactions of this cluster was here');
update procrastinate_ticks t set agenda_xid = (t.agenda_xid::text::bigint + 1)::text::xid8;
select is(procrastinate_is_copy(), true, 'one that has seen more was not, whatever the cluster is called');
delete from procrastinate_tokens;
select procrastinate_repair_copy();
select is_empty('select * from procrastinate_check()', 'a copy is repaired');
delete from procrastinate_leases;
select procrastinate_repair_copy();
select isnt_empty('select * from procrastinate_check()', 'and once only');

select * from finish();
rollback;
