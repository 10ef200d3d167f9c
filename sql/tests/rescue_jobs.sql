-- Silent workers are removed, and their jobs taken back.
begin;
select plan(32);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create temp view job as
    select j.args ->> 'name' as name, j.status, j.worker_id, j.attempts::integer, j.rescues::integer, j.error from procrastinate_jobs j;
create temp view worker as
    select w.worker_name as name, w.spared, w.spared_until - clock_timestamp() > '29 s' as long from procrastinate_workers w;

-- while the clockwork goes, silence is death
select procrastinate_register_worker(n, stalled_after => s)
from (values ('beats', interval '30 s'), ('silent', '30 s'), ('patient', '2 min'), ('spared', '30 s'), ('spared too long', '30 s'), ('spared, beats', '30 s')) r(n, s);
update procrastinate_workers w
set last_heartbeat = now() - h, spared = p, spared_until = now() + u
from (values
    ('beats', interval '20 s', 0, null::interval), ('silent', '40 s', 0, null), ('patient', '40 s', 0, null), ('spared', '10 min', 1, '10 s'),
    ('spared too long', '10 min', 1, '-10 s'), ('spared, beats', '20 s', 1, '-10 s')
) r(n, h, p, u)
where w.worker_name = r.n;
select procrastinate_remove_silent_workers(clock_timestamp() - interval '1 s');
select results_eq(
    'select name, spared from worker order by 1', $$ values ('beats', 0), ('patient', 0), ('spared', 1), ('spared, beats', 1) $$,
    'a worker is removed that was silent for its own stalled_after, unless it is spared until later');
select is((select count(*) from procrastinate_removed_workers), 2::bigint, 'those that were removed are noted');

-- after the clockwork stood still nobody is buried at once
delete from procrastinate_workers;
select procrastinate_register_worker(n, stalled_after => s)
from (values ('beats', interval '30 s'), ('silent', '30 s'), ('patient', '10 min')) r(n, s);
update procrastinate_workers w set last_heartbeat = now() - interval '1 hour' where w.worker_name <> 'beats';
select procrastinate_remove_silent_workers(clock_timestamp() - interval '1 min');
select results_eq(
    'select * from worker order by 1', $$ values ('beats', 0, null::boolean), ('silent', 1, true) $$,
    'when the clockwork stood still for long, as it sees it, a silent worker is spared for as long again');
create temp table spared as select w.worker_name, w.spared, w.spared_until from procrastinate_workers w;
select procrastinate_remove_silent_workers(clock_timestamp() - interval '1 min');
select procrastinate_remove_silent_workers(clock_timestamp());
select results_eq(
    'select worker_name, spared, spared_until from procrastinate_workers order by 1', 'select * from spared order by 1',
    'the next look at it neither removes it nor spares it for longer');
update procrastinate_workers w set spared_until = now() - interval '1 s';
select procrastinate_remove_silent_workers(clock_timestamp() - interval '1 hour');
select results_eq(
    'select * from worker order by 1', $$ values ('beats', 0, false), ('silent', 2, true) $$,
    'a second standstill buries nobody at once either, also one that was spared before it');
update procrastinate_workers w set spared_until = now() - interval '1 s';
savepoint spared_twice;
select procrastinate_remove_silent_workers(clock_timestamp() - interval '1 hour');
select results_eq('select name from worker', $$ values ('beats') $$, 'one that was spared twice is removed, for ticks may be rare');
rollback to spared_twice;
select count(*) from procrastinate_beat((select w.id from procrastinate_workers w where w.worker_name = 'silent'));
select procrastinate_remove_silent_workers(clock_timestamp() - interval '1 s');
select results_eq('select name, spared from worker order by 1', $$ values ('beats', 0), ('silent', 0) $$, 'one that beats is not');
update procrastinate_workers w set last_heartbeat = now() - interval '31 s' where w.worker_name = 'silent';
select procrastinate_remove_silent_workers(clock_timestamp() - interval '7 s');
select results_eq('select name from worker', $$ values ('beats') $$, 'when it is silent again while the clockwork goes, it is removed');
delete from procrastinate_workers;
delete from procrastinate_removed_workers;

-- whose jobs are taken back
select procrastinate_register_worker('dies') as dies \gset
select procrastinate_register_worker('lives') as lives \gset
select procrastinate_define_task('dangerous', on_stall => 'fail');
select procrastinate_define_task('tough', max_rescues => 5);
select procrastinate_define_task('frail', max_rescues => 1);
select procrastinate_defer(t, format('{"name": "%s"}', n)::jsonb, lock => l, priority => p)
from (values ('a plain', 'send', null, 9), ('b locked', 'send', 'l', 8), ('c third', 'send', null, 7), ('d dangerous', 'dangerous', null, 6), ('e third', 'tough', null, 5),
             ('f aborting', 'send', null, 4), ('g ended', 'send', null, 3), ('h frail', 'frail', null, 2), ('i other', 'send', null, 1), ('j behind', 'send', 'l', -1), ('k waits', 'send', null, -2)) r(n, t, l, p);
update procrastinate_jobs j set rescues = 2 where j.args ->> 'name' like '%third';
update procrastinate_jobs j set attempts = 1 where j.args ->> 'name' = 'a plain';
select count(*) from procrastinate_fetch_jobs(:dies, 8);
select count(*) from procrastinate_fetch_jobs(:lives, 1);
select procrastinate_cancel_job(pg_temp.job('f aborting'), abort => true);
select count(*) from procrastinate_finish_jobs(:dies, array[pg_temp.job('g ended')]);
select procrastinate_rescue_jobs();
select is((select count(*) from job where status = 'doing'), 8::bigint, 'no job is taken back from a worker that is registered');
delete from procrastinate_workers w where w.id = :dies;
select procrastinate_rescue_jobs();
select results_eq(
    'select * from job order by 1',
    format($$ values ('a plain', 'todo'::procrastinate_job_status, null::bigint, 1, 1, 'worker died'), ('b locked', 'todo', null, 0, 1, 'worker died'),
                     ('c third', 'failed', null, 0, 3, 'worker died 3 times'), ('d dangerous', 'failed', null, 0, 1, 'worker died'),
                     ('e third', 'todo', null, 0, 3, 'worker died 3 times'), ('f aborting', 'aborted', null, 0, 1, 'worker died'), ('g ended', 'succeeded', null, 1, 0, null),
                     ('h frail', 'failed', null, 0, 1, 'worker died'), ('i other', 'doing', %s, 0, 0, null), ('j behind', 'todo', null, 0, 0, null), ('k waits', 'todo', null, 0, 0, null) $$, :lives),
    'each job of a removed worker is todo again, its rescue counted, unless its task says fail or it was rescued too often');
select results_eq(
    $$ select j.args ->> 'name', a.kind, a.attempt, a.worker_id, a.error, a.scheduled_at is not null
       from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id where a.kind <> 'abort_requested' order by 1 $$,
    format($$ values ('a plain', 'rescued'::procrastinate_attempt_kind, 2, %1$s::bigint, 'worker died', true), ('b locked', 'rescued', 1, %1$s, 'worker died', true),
                     ('c third', 'rescued', 1, %1$s, 'worker died 3 times', false), ('d dangerous', 'rescued', 1, %1$s, 'worker died', false),
                     ('e third', 'rescued', 1, %1$s, 'worker died 3 times', true), ('f aborting', 'aborted', 1, %1$s, 'worker died', false), ('h frail', 'rescued', 1, %1$s, 'worker died', false) $$, :dies),
    'each rescue is noted');
select is_empty('select * from procrastinate_removed_workers', 'the removed worker is done with');
select results_eq('select distinct worker_id from procrastinate_leases', format('values (%s::bigint)', :lives), 'its leases are gone, those of others are left');
select set_eq(
    'select j.args ->> $d$name$d$ from procrastinate_retention r, unnest(r.job_ids) i join procrastinate_jobs j on j.id = i',
    $$ values ('c third'), ('d dangerous'), ('f aborting'), ('g ended'), ('h frail') $$,
    'what ended in them, by the rescue or before, is noted for retention');
select is_empty('select * from procrastinate_check()', 'all is well after the rescue');
select set_eq(
    format($$ select args ->> 'name', attempt from procrastinate_fetch_jobs(%s, 4) $$, :lives), $$ values ('a plain', 2), ('b locked', 1), ('e third', 1), ('k waits', 1) $$,
    'the rescued jobs start again as the same attempt, with their locks') ;
select throws_ok(
    format($$ select procrastinate_finish_jobs(%s, array[pg_temp.job('a plain')]) $$, :dies), 'PJ003', null,
    'the removed worker cannot finish what another one has now');

-- rescued jobs go first
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select procrastinate_register_worker('dies') as dies \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb) from unnest('{a,b,c,d}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:dies, 2);
delete from procrastinate_workers w where w.id = :dies;
select procrastinate_rescue_jobs();
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 3) $$, :lives), $$ values ('a'), ('b'), ('c') $$,
    'jobs that were rescued go before the others of their priority');

-- a job without a worker
delete from procrastinate_jobs;
delete from procrastinate_leases;
select procrastinate_register_worker('dies') as dies \gset
select procrastinate_defer('send', '{"name": "a"}');
select count(*) from procrastinate_fetch_jobs(:dies, 5);
update procrastinate_jobs j set worker_id = null where j.id = pg_temp.job('a');
delete from procrastinate_workers w where w.id = :dies;
select procrastinate_rescue_jobs();
select results_eq('select name, status, rescues from job', $$ values ('a', 'todo'::procrastinate_job_status, 1) $$, 'a job whose worker was taken off it is rescued too');

-- a lease that names a job of somebody else
select procrastinate_register_worker('dies') as dies \gset
select count(*) from procrastinate_fetch_jobs(:lives, 5);
insert into procrastinate_leases (worker_id, job_ids) values (:dies, array[pg_temp.job('a'), -1]);
delete from procrastinate_workers w where w.id = :dies;
select procrastinate_rescue_jobs();
select results_eq('select name, status, worker_id from job', format($$ values ('a', 'doing'::procrastinate_job_status, %s::bigint) $$, :lives), 'a job that another worker got since is left with it');
select is_empty('select * from procrastinate_removed_workers', 'which does not keep the removed worker''s name');

-- two leases of one job
select procrastinate_return_jobs(:lives, array[pg_temp.job('a')]);
select procrastinate_register_worker('dies') as dies \gset
select count(*) from procrastinate_fetch_jobs(:dies, 5);
insert into procrastinate_leases (worker_id, job_ids) values (:dies, array[pg_temp.job('a'), pg_temp.job('a')]);
delete from procrastinate_attempts;
delete from procrastinate_workers w where w.id = :dies;
select procrastinate_rescue_jobs();
select results_eq('select count(*), sum(j.rescues) from procrastinate_attempts a, procrastinate_jobs j', $$ values (1::bigint, 2::bigint) $$, 'a job that is in two leases is rescued once');

-- queueing lock
delete from procrastinate_jobs;
select procrastinate_register_worker('dies') as dies \gset
select procrastinate_defer('send', '{"name": "a"}', queueing_lock => 'q');
select count(*) from procrastinate_fetch_jobs(:dies, 5);
select procrastinate_defer('send', '{"name": "b"}', queueing_lock => 'q');
delete from procrastinate_workers w where w.id = :dies;
select procrastinate_rescue_jobs();
select results_eq(
    $$ select args ->> 'name', status, queueing_lock::text from procrastinate_jobs order by 1 $$, $$ values ('a', 'todo'::procrastinate_job_status, null), ('b', 'todo', 'q') $$,
    'a rescued job gives its queueing lock up when another waits with it');
select is_empty('select * from procrastinate_check()', 'all is well after that');

-- leases of workers that are nowhere noted
delete from procrastinate_jobs;
delete from procrastinate_leases;
select procrastinate_register_worker('dies') as dies \gset
select procrastinate_defer('send', '{"name": "a"}');
select count(*) from procrastinate_fetch_jobs(:dies, 5);
truncate procrastinate_workers;
select procrastinate_tick();
select results_eq('select name, status, rescues from job', $$ values ('a', 'todo'::procrastinate_job_status, 1) $$, 'workers that were truncated lose their jobs too');
select procrastinate_register_worker('dies') as dies \gset
select count(*) from procrastinate_fetch_jobs(:dies, 5);
delete from procrastinate_workers;
delete from procrastinate_removed_workers;
update procrastinate_leases l set at = now() - interval '1 min';
update procrastinate_ticks t set tidied_at = now() - interval '1 min', tidied_lease = now() - interval '2 min';
select procrastinate_tick();
select results_eq(
    'select name, status from job', $$ values ('a', 'todo'::procrastinate_job_status) $$,
    'a lease of a worker that does not exist is found by tick, whether or not the removal was noted');
select is_empty('select * from procrastinate_check()', 'all is well after that too');

-- through tick
delete from procrastinate_jobs;
delete from procrastinate_leases;
delete from procrastinate_tokens;
select procrastinate_register_worker('dies') as dies \gset
select procrastinate_register_worker('lives') as lives \gset
select procrastinate_defer('send', '{"name": "a"}');
select count(*) from procrastinate_fetch_jobs(:dies, 5);
select procrastinate_tick();
select results_eq('select name, status from job', $$ values ('a', 'doing'::procrastinate_job_status) $$, 'tick leaves a worker alone that beats');
update procrastinate_workers w set last_heartbeat = now() - interval '31 s' where w.id = :dies;
select procrastinate_tick();
select results_eq('select name, status, worker_id from job', $$ values ('a', 'todo'::procrastinate_job_status, null::bigint) $$, 'tick removes a silent worker and takes its jobs back');
select results_eq('select name from worker', $$ values ('lives') $$, 'and no other');
select throws_ok(format('select procrastinate_beat(%s)', :dies), 'PJ003', format('worker %s is not registered', :dies), 'the removed one is told at its next beat');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
