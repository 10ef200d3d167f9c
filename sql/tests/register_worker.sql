-- Workers register, beat and leave.
begin;
select plan(30);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

-- register
select procrastinate_register_worker('first') as first \gset
select procrastinate_register_worker('second', '{mail,web}', '{send,sum,send}', '1 min', '{"host": "a"}') as second \gset

select results_eq(
    $$ select worker_name, queues, tasks, stalled_after, info, spared, spared_until from procrastinate_workers order by id $$,
    $$ values ('first',  null::text[],        null::text[],              interval '30 s', jsonb '{}',            0, null::timestamptz),
              ('second', '{mail,web}'::text[], '{send,sum,send}'::text[], interval '1 min', jsonb '{"host": "a"}', 0, null) $$,
    'a worker is stored as it registered, by default for all queues and tasks and with 30 s of silence allowed');
select cmp_ok(:second::bigint, '>', :first::bigint, 'a worker that registers later gets a higher id');
select ok(
    (select bool_and(w.last_heartbeat between now() and clock_timestamp() and w.registered_at between now() and clock_timestamp())
     from procrastinate_workers w),
    'registering counts as the first beat');
select results_eq(
    $$ select task_name::text, native, defined_at from procrastinate_tasks order by 1 $$,
    $$ values ('send', true, null::timestamptz), ('sum', true, null) $$,
    'the tasks that a worker names are noted as native, without becoming defined');

select procrastinate_define_task('old', max_attempts => 5);
select procrastinate_register_worker('third', tasks => '{old}');
select results_eq(
    $$ select native, max_attempts, defined_at is not null from procrastinate_tasks where task_name = 'old' $$,
    $$ values (true, 5, true) $$,
    'a task that is defined becomes native and stays defined');

-- bad input
select throws_ok($$ select procrastinate_register_worker(null) $$, 'PJ001', 'invalid worker_name: NULL', 'a worker needs a name');
select throws_ok($$ select procrastinate_register_worker('') $$, 'PJ001', 'invalid worker_name: empty', 'a worker needs a name that is not empty');
select throws_ok(
    $$ select procrastinate_register_worker('w', array['a', repeat('q', 129)]) $$,
    'PJ001', 'invalid queues: 129 characters', 'a worker cannot serve a queue whose name is too long');
select throws_ok($$ select procrastinate_register_worker('w', '{a,null}') $$, 'PJ001', 'invalid queues: NULL', 'a worker cannot serve a queue NULL');
select throws_ok($$ select procrastinate_register_worker('w', null, '{a,""}') $$, 'PJ001', 'invalid tasks: empty', 'a worker cannot have a task with an empty name');
select throws_ok(
    $$ select procrastinate_register_worker('w', stalled_after => null) $$,
    'PJ001', 'invalid stalled_after: NULL', 'a worker cannot be silent for an unknown span');
select throws_ok(
    $$ select procrastinate_register_worker('w', stalled_after => '0.9 s') $$,
    'PJ001', 'invalid stalled_after: 00:00:00.9', 'a worker has at least a second to beat');
select throws_ok(
    $$ select procrastinate_register_worker('w', stalled_after => '101 years') $$,
    'PJ001', 'invalid stalled_after: 101 years', 'a worker cannot be silent for ever');
select results_eq(
    $$ select (select count(*) from procrastinate_workers w), (select count(*) from procrastinate_tasks t) $$,
    $$ values (3::bigint, 3::bigint) $$,
    'registering with bad input writes nothing');

-- beat
update procrastinate_workers w
set last_heartbeat = now() - interval '1 hour', spared = 2, spared_until = now() + interval '1 min'
where w.id in (:first, :second);
select is_empty(format('select procrastinate_beat(%s)', :first), 'a beat returns nothing when no abort is requested');
select results_eq(
    $$ select worker_name, last_heartbeat > now() - interval '1 min', spared, spared_until is null from procrastinate_workers where worker_name in ('first', 'second') order by 1 $$,
    $$ values ('first', true, 0, true), ('second', false, 2, false) $$,
    'a beat proves the life of its own worker, and one that was spared is no longer in doubt');

select procrastinate_defer('send', '{"name": "a"}');
select procrastinate_defer('send', '{"name": "b"}');
select procrastinate_defer('send', '{"name": "c"}', queue => 'mail');
select count(*) from procrastinate_fetch_jobs(:first, 2);
select count(*) from procrastinate_exchange_jobs(:second, '{}', '{}', 1);
select procrastinate_cancel_job(pg_temp.job('b'), abort => true);
select results_eq(
    format('select procrastinate_beat(%s)', :first),
    $$ select pg_temp.job('b') $$,
    'a beat returns the job whose abort is requested, and no other');
select results_eq(
    format('select procrastinate_beat(%s)', :first),
    $$ select pg_temp.job('b') $$,
    'the next beat returns it again, for as long as it runs');
select is_empty(format('select procrastinate_beat(%s)', :second), 'a beat returns no abort of another worker''s job');
select procrastinate_abort_job(:first, pg_temp.job('b'));
select is_empty(format('select procrastinate_beat(%s)', :first), 'a beat returns no abort of a job that has ended');
select throws_ok('select procrastinate_beat(null)', 'PJ001', 'invalid worker_id: NULL', 'a beat names its worker');
select throws_ok(
    'select procrastinate_beat(-1)', 'PJ003', 'worker -1 is not registered', 'a worker that is not registered cannot beat');

-- unregister
select procrastinate_unregister_worker(:first);
select results_eq(
    $$ select args ->> 'name', status, worker_id, attempts::integer, rescues::integer from procrastinate_jobs order by 1 $$,
    format($$ values ('a', 'todo'::procrastinate_job_status, null::bigint, 0, 0),
                     ('b', 'aborted', null, 1, 0),
                     ('c', 'doing', %s, 0, 0) $$, :second),
    'a worker that says goodbye gives back what it holds, uncounted, and nothing else');
select throws_ok(format('select procrastinate_unregister_worker(%s)', :first), 'PJ003', null, 'a worker cannot say goodbye twice');
select throws_ok('select procrastinate_unregister_worker(null)', 'PJ001', 'invalid worker_id: NULL', 'goodbye names its worker');

-- the trigger
delete from procrastinate_removed_workers;
delete from procrastinate_workers w where w.id = :second;
select results_eq(
    'select worker_id from procrastinate_removed_workers', format('values (%s::bigint)', :second),
    'a worker that is deleted by hand is noted, for tick to take its jobs back');

-- truncate asks for the workers of all leases; that of a worker which is still there is not among them
delete from procrastinate_removed_workers;
insert into procrastinate_removed_workers (worker_id) values (-7);
insert into procrastinate_leases (worker_id, job_ids) values (-7, '{1}'), (-8, '{1}'), (-8, '{2}');
savepoint before;
truncate procrastinate_workers;
select set_eq(
    'select worker_id from procrastinate_removed_workers', format('values (-7::bigint), (-8), (%s), (%s)', :first, :second),
    'when all workers are deleted, those with leases are noted');
rollback to before;
delete from procrastinate_leases l where l.worker_id < 0;
delete from procrastinate_removed_workers;
insert into procrastinate_removed_workers (worker_id) values (:second);

-- a restore
update procrastinate_install i set system_identifier = i.system_identifier - 1;
delete from procrastinate_tokens;
select procrastinate_register_worker('fourth') as fourth \gset
select results_eq(
    format('select args ->> %L from procrastinate_fetch_jobs(%s, 10) order by 1', 'name', :fourth),
    $$ values ('a') $$,
    'the first worker to register after a restore into another cluster repairs the hints');
select is_empty($$ select * from procrastinate_check() $$, 'all is well afterwards');

update procrastinate_install i set system_identifier = null;
delete from procrastinate_leases;
select procrastinate_beat(:fourth);
select is_empty($$ select * from procrastinate_check() $$, 'so does the next beat of a worker that was led to the copy, though it registers no more');

select * from finish();
rollback;
