-- Each fault is found when it is made by hand, and mended by repair, but for what is wrong with a job's own columns. A savepoint
-- brings the sound state back.
begin;
select plan(67);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.token(name text) returns bigint language sql as
    $$ select coalesce(j.lock_key, j.id) from procrastinate_jobs j where j.args ->> 'name' = token.name $$;
create function pg_temp.lane(name text) returns integer language sql as
    $$ select t.lane from procrastinate_tokens t where t.id = pg_temp.token(name) limit 1 $$;

-- what check finds
create temp view fault as
    select c.invariant, coalesce(j.args ->> 'name', c.job_id::text) as name, c.detail
    from procrastinate_check() c
    left join procrastinate_jobs j on j.id = c.job_id;

-- one job of each state
select procrastinate_register_worker('w') as worker \gset
select procrastinate_register_worker('other') as other \gset
select procrastinate_defer('run', format('{"name": "%s"}', n)::jsonb, lock => l)
from (values ('runs', null), ('runs locked', 'l'), ('ended', null), ('ended too', null)) r(n, l);
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('ended'), pg_temp.job('ended too')]);
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => l, queueing_lock => q, schedule_at => at)
from (values
    ('waits', null, 'q', null::timestamptz), ('waits locked', 'm', null, null), ('waits behind', 'l', null, null), ('future', null, null, '2101-01-01'),
    ('future locked', 'f', null, '2101-01-01'), ('put off', null, null, null)
) r(n, l, q, at);
select procrastinate_defer('plain', '{"name": "rescued"}');
select is_empty('select * from fault', 'a sound queue has no fault');
savepoint sound;

-- a future job is in the agenda
delete from procrastinate_agenda a where a.id = pg_temp.job('future');
select results_eq(
    'select * from fault', $$ values ('a future job is in the agenda', 'future', format('due at %s', timestamptz '2101-01-01')) $$,
    'a future job that is not in the agenda is found');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;

-- a due job without a lock has a token
delete from procrastinate_tokens t where t.id = pg_temp.token('waits');
select results_eq(
    'select * from fault', $$ values ('a due job without a lock has a token', 'waits', 'queue default, task send, priority 0') $$,
    'a due job without a token is found');
insert into procrastinate_agenda (at, id) values (now(), pg_temp.job('waits'));
select is_empty('select * from fault', 'a row in the agenda will do');
insert into procrastinate_ticks (at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease)
select t.at, now() + interval '1 min', '9000000000000000000', x, t.tidied_at, t.tidied_floor, t.tidied_lease
from (select * from procrastinate_ticks t order by t.n desc limit 1) t, (values ('{}'::xid8[]), ('{7}')) l(x);
update procrastinate_agenda a set xid = '7' where a.id = pg_temp.job('waits');
select is_empty('select * from fault', 'also one below the place that tick has come to, of a transaction that it remembers');
update procrastinate_ticks t set agenda_late = '{}';
select results_eq(
    'select invariant, name from fault', $$ values ('a due job without a lock has a token', 'waits') $$,
    'but not one that tick will never look at');
update procrastinate_ticks t set agenda_xid = '7';
select is_empty('select * from fault', 'one of a transaction that tick has not seen ended will do as well');
delete from procrastinate_agenda a where a.id = pg_temp.job('waits');
select procrastinate_repair();
select is_empty('select * from fault', 'and it is mended');
rollback to sound;

update procrastinate_tokens t set lane = case pg_temp.lane('waits') when t.lane then pg_temp.lane('rescued') else t.lane end where t.id = pg_temp.token('waits');
select results_eq('select invariant, name from fault', $$ values ('a due job without a lock has a token', 'waits') $$, 'a token in the lane of another task does not count');
rollback to sound;
update procrastinate_jobs j set priority = 7 where j.id = pg_temp.job('waits');
select results_eq('select invariant, name from fault', $$ values ('a due job without a lock has a token', 'waits') $$, 'nor one in the lane of another priority');
rollback to sound;
update procrastinate_jobs j set queue_name = 'mail' where j.id = pg_temp.job('waits');
select results_eq('select invariant, name from fault', $$ values ('a due job without a lock has a token', 'waits') $$, 'nor one in the lane of another queue');
rollback to sound;
update procrastinate_lanes l set kind = 'locked' where l.lane = pg_temp.lane('waits');
select results_eq('select distinct invariant from fault', $$ values ('a due job without a lock has a token') $$, 'nor one in a lane of locks');
rollback to sound;
insert into procrastinate_floors (lane, xid, id, late) select t.lane, t.xid, t.id + 1, '{}' from procrastinate_tokens t where t.id = pg_temp.token('rescued');
select results_eq('select invariant, name from fault', $$ values ('a due job without a lock has a token', 'rescued') $$, 'nor one below the floor');
select procrastinate_repair();
select is_empty('select * from fault', 'which is mended');
rollback to sound;
update procrastinate_lanes l set state = 'parked' where l.lane = pg_temp.lane('rescued');
select results_eq(
    'select invariant, name from fault', $$ values ('a due job without a lock has a token', 'rescued') $$,
    'nor one in a parked lane');
select procrastinate_repair();
select is_empty('select * from fault', 'which is mended too');
rollback to sound;

-- the lock queue
delete from procrastinate_lock_queue q where q.job_id = pg_temp.job('waits behind');
select results_eq(
    'select * from fault', $$ values ('a due job with a lock is in the lock queue', 'waits behind', 'lock l') $$,
    'a due job that has no place in the lock queue is found');
insert into procrastinate_agenda (at, id) values (now(), pg_temp.job('waits behind'));
select is_empty('select * from fault', 'a row in the agenda will do here too');
rollback to sound;
update procrastinate_lock_queue q set held = true where q.job_id = pg_temp.job('waits behind');
select results_eq(
    'select invariant, name from fault order by 1',
    $$ values ('a due job with a lock is in the lock queue', 'waits behind'), ('only due and running jobs are in the lock queue', 'waits behind') $$,
    'a waiting job that holds its lock is found');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;
delete from procrastinate_lock_queue q where q.job_id = pg_temp.job('runs locked');
delete from procrastinate_tokens t where t.id = pg_temp.token('waits behind');
select results_eq(
    'select invariant, name from fault order by 1', $$ values ('a free lock with a job waiting has a token', 'waits behind'), ('a running job holds its lock', 'runs locked') $$,
    'a running job that does not hold its lock is found, and so is the lock that nobody passes on');
select procrastinate_repair();
select is_empty('select * from fault', 'and both are mended');
rollback to sound;
update procrastinate_lock_queue q set held = false where q.job_id = pg_temp.job('runs locked');
select results_eq(
    $$ select invariant, name, detail like 'key %, waiting' from fault where name = 'runs locked' order by 1 $$,
    $$ values ('a running job holds its lock', 'runs locked', false), ('only due and running jobs are in the lock queue', 'runs locked', true) $$,
    'a running job that waits for its lock is found');
rollback to sound;
insert into procrastinate_lock_queue (key, held, priority, job_id)
select case n when 'other key' then 1 else pg_temp.token(n) end, n = 'held', case n when 'other priority' then 9 else 0 end, i
from (values ('future locked', pg_temp.job('future locked')), ('other key', pg_temp.job('runs locked')), ('waits locked', -7)) r(n, i);
update procrastinate_lock_queue q set priority = 9 where q.job_id = pg_temp.job('waits locked');
select set_eq(
    'select invariant, name from fault where name <> $d$future locked$d$',
    $$ values ('a due job with a lock is in the lock queue', 'waits locked'), ('only due and running jobs are in the lock queue', 'waits locked'),
              ('only due and running jobs are in the lock queue', '-7'), ('a free lock with a job waiting has a token', 'runs locked'),
              ('only due and running jobs are in the lock queue', 'runs locked') $$,
    'a place in the lock queue of a job that does not exist, or has another lock or priority, is found');
select set_has(
    'select invariant, name from fault', $$ values ('only due and running jobs are in the lock queue', 'future locked') $$,
    'a future job with a place in the lock queue is found');
select procrastinate_repair();
select is_empty('select * from fault', 'and they are mended');
rollback to sound;
delete from procrastinate_tokens t where t.id = pg_temp.token('waits locked');
select results_eq(
    'select invariant, name, detail from fault', $$ values ('a free lock with a job waiting has a token', 'waits locked', format('key %s', pg_temp.token('waits locked'))) $$,
    'a free lock without a token is found');
insert into procrastinate_tokens (lane, id) values (0, pg_temp.token('waits locked'));
select is_empty('select * from fault', 'a token in the hand-over lane will do');
delete from procrastinate_tokens t where t.id = pg_temp.token('waits locked');
insert into procrastinate_agenda (at, id) values (now(), pg_temp.job('waits locked'));
select is_empty('select * from fault', 'and so will a row in the agenda');
delete from procrastinate_agenda a where a.id = pg_temp.job('waits locked');
insert into procrastinate_tokens (lane, id) values (pg_temp.lane('waits'), pg_temp.token('waits locked'));
select results_eq('select invariant, name from fault', $$ values ('a free lock with a job waiting has a token', 'waits locked') $$, 'a token in a plain lane will not');
select procrastinate_repair();
select is_empty('select * from fault', 'which is mended');
rollback to sound;

-- one lock, two workers
update procrastinate_jobs j set status = 'doing', worker_id = :other, started_at = now() where j.id = pg_temp.job('waits behind');
update procrastinate_lock_queue q set held = true where q.job_id = pg_temp.job('waits behind');
insert into procrastinate_leases (worker_id, job_ids) values (:other, array[pg_temp.job('waits behind')]);
select results_eq(
    'select * from fault', format($$ values ('a lock is held by jobs of one worker', 'runs locked', 'key %s, workers {%s,%s}') $$, hashtextextended('l', 0), :worker, :other),
    'a lock that jobs of two workers hold is found');
update procrastinate_jobs j set worker_id = :worker where j.id = pg_temp.job('waits behind');
insert into procrastinate_leases (worker_id, job_ids) values (:worker, array[pg_temp.job('waits behind')]);
select is_empty('select * from fault', 'two jobs of one worker may hold it');
rollback to sound;

-- what a status asks of a job
create function pg_temp.unfit(p_change text) returns text[] language plpgsql as $function$
declare
    v_found text[];
begin
    execute 'update procrastinate_jobs j set ' || p_change;
    v_found := array(select f.name || ': ' || f.detail from fault f where f.invariant = 'a job''s columns fit its status');
    raise exception using errcode = 'UNDO1';
exception when sqlstate 'UNDO1' then
    return v_found;
end;
$function$;
select is(pg_temp.unfit(c.change), array[c.want], c.sentence)
from (values
    (1, $$ worker_id = 1 where j.id = pg_temp.job('waits') $$,                  'waits: status todo',      'a waiting job that a worker holds is found'),
    (2, $$ abort_requested = true where j.id = pg_temp.job('put off') $$,       'put off: status todo',    'a waiting job whose abort is requested is found'),
    (3, $$ worker_id = 1 where j.id = pg_temp.job('ended') $$,                  'ended: status succeeded', 'a job that ended and that a worker holds is found'),
    (4, $$ abort_requested = true where j.id = pg_temp.job('ended too') $$,     'ended too: status succeeded', 'a job that ended and whose abort is requested is found'),
    (5, $$ started_at = null where j.id = pg_temp.job('runs') $$,               'runs: status doing',      'a running job that never started is found'),
    (6, $$ status = 'aborting', finished_at = now() where j.id = pg_temp.job('ended') $$, 'ended: status aborting', 'a job that is stored as aborting is found')
) c(n, change, want, sentence)
order by c.n;
update procrastinate_jobs j set abort_requested = true where j.id = pg_temp.job('runs');
update procrastinate_jobs j set worker_id = null where j.id = pg_temp.job('runs locked');
update procrastinate_jobs j set started_at = now() where j.id in (pg_temp.job('waits'), pg_temp.job('ended'));
select is_empty('select * from fault', 'a running job may be asked to stop, or be nobody''s; one that waits or ended may have started');
rollback to sound;

-- keys of locks
update procrastinate_jobs j set lock_key = 7 where j.id = pg_temp.job('future locked');
select results_eq('select * from fault', $$ values ('a job''s lock key is that of its lock', 'future locked', 'lock f') $$, 'a job with the key of another lock is found');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;
update procrastinate_jobs j set lock_key = null where j.id = pg_temp.job('runs locked');
select set_has('select * from fault', $$ values ('a job''s lock key is that of its lock', 'runs locked', 'lock l') $$, 'so is one with a lock and no key');
select procrastinate_repair();
select is_empty('select * from fault', 'which is mended');
rollback to sound;
update procrastinate_jobs j set lock_key = 7 where j.id = pg_temp.job('ended');
select results_eq('select * from fault', $$ values ('a job''s lock key is that of its lock', 'ended', 'lock ') $$, 'also of one that ended, for it may be retried');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;
update procrastinate_jobs j set lock_key = 7 where j.id = pg_temp.job('future');
select results_eq('select * from fault', $$ values ('a job''s lock key is that of its lock', 'future', 'lock ') $$, 'and one with a key and no lock');
select procrastinate_repair();
select is_empty('select * from fault', 'which is mended too');
rollback to sound;

-- queueing locks
delete from procrastinate_queueing_locks;
select results_eq('select * from fault', $$ values ('a waiting job has its queueing lock', 'waits', 'queueing lock q') $$, 'a waiting job without its queueing lock is found');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;
update procrastinate_queueing_locks q set job_id = pg_temp.job('runs');
select results_eq(
    'select * from fault order by 1',
    $$ values ('a queueing lock belongs to a waiting job', 'runs', 'queueing lock q'), ('a waiting job has its queueing lock', 'waits', 'queueing lock q') $$,
    'a queueing lock of the wrong job is found');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('x', pg_temp.job('waits')), ('y', pg_temp.job('ended'));
update procrastinate_jobs j set queueing_lock = 'y' where j.id = pg_temp.job('ended');
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('z', pg_temp.job('runs'));
update procrastinate_jobs j set queueing_lock = 'z' where j.id = pg_temp.job('runs');
select set_eq(
    'select * from fault',
    $$ values ('a queueing lock belongs to a waiting job', 'waits', 'queueing lock x'), ('a queueing lock belongs to a waiting job', 'ended', 'queueing lock y'),
              ('a queueing lock belongs to a waiting job', 'runs', 'queueing lock z') $$,
    'a queueing lock of another name, of an ended or of a running job is found');
rollback to sound;

-- leases
select procrastinate_note_jobs(array[pg_temp.job('ended'), pg_temp.job('ended too')]);
select is_empty('select * from fault', 'a job that ended may be noted for retention and in a lease');
delete from procrastinate_leases;
select set_eq(
    'select * from fault',
    format($$ values ('a running job is in a lease of its worker', 'runs', 'worker %1$s'), ('a running job is in a lease of its worker', 'runs locked', 'worker %1$s') $$, :worker),
    'a running job without a lease is found');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;
update procrastinate_leases l set worker_id = :other;
select is((select count(*) from fault where invariant = 'a running job is in a lease of its worker'), 2::bigint, 'a lease of another worker does not count');
rollback to sound;
delete from procrastinate_workers w where w.id = :worker;
select is_empty('select * from fault', 'a lease of a worker that was removed counts as long as its jobs are to be taken back');
delete from procrastinate_removed_workers;
select is((select count(*) from fault where invariant = 'a running job is in a lease of its worker'), 2::bigint, 'and not when nobody will');
select procrastinate_repair();
select is_empty('select * from fault', 'repair sees to it');
rollback to sound;
update procrastinate_jobs j set worker_id = null where j.id = pg_temp.job('runs');
select is_empty('select * from fault', 'a running job whose worker was taken off it is in some lease');
rollback to sound;

-- retention
update procrastinate_leases l set job_ids = array_remove(l.job_ids, pg_temp.job('ended'));
select results_eq(
    'select * from fault', $$ values ('a job that ended is noted for retention', 'ended', 'status succeeded') $$,
    'a job that ended is found when it is in no lease and not noted for retention');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;

-- a copy
update procrastinate_install i set system_identifier = i.system_identifier - 1;
select results_eq(
    'select * from fault',
    $$ values ('hints were made in this cluster', null, 'this is a copy from another cluster; call procrastinate_repair()') $$, 'a copy in another cluster is found');
select procrastinate_repair();
select is_empty('select * from fault', 'and mended');
rollback to sound;
select is_empty('select * from fault', 'all is well in the end');

select * from finish();
rollback;
