-- What the views count, and what they do not: hints that outlived their jobs, jobs that ended.
begin;
select plan(56);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.defer(name text, task text default 'task', queue text default 'default', lock text default null, priority integer default 0)
returns void language sql as $$
    select procrastinate_defer(defer.task, jsonb_build_object('name', defer.name), queue => defer.queue, lock => defer.lock, priority => defer.priority)
$$;
create function pg_temp.defer_many(p_count integer, p_job text) returns bigint language sql as
    $$ select count(*) from procrastinate_defer_many((select jsonb_agg(p_job::jsonb) from generate_series(1, p_count))) $$;
create function pg_temp.depths(p_queue text default 'default') returns text language sql as $$
    select coalesce(
        (
            select format('%s ready, %s locked, %s future, %s running', q.ready, q.locked, q.future, q.running) || case when q.exact then '' else ', about' end
            from procrastinate_queue_stats q
            where q.queue_name = p_queue
        ),
        'not there')
$$;

select is_empty('select queue_name from procrastinate_queue_stats union all select task_name from procrastinate_task_stats', 'where nothing ever was there are no queues and no tasks');
select is_empty('select lock from procrastinate_lock_stats union all select worker_name from procrastinate_worker_status', 'no locks and no workers');
select is_empty('table procrastinate_schedule_status', 'and no schedules');
savepoint empty;

-- each kind of depth

select procrastinate_register_worker('first', queues => '{default,empty}', tasks => '{task}') as worker \gset
select procrastinate_register_worker('second', queues => '{mail}') as second \gset
select procrastinate_register_worker('third') as third \gset
update procrastinate_workers w set last_heartbeat = clock_timestamp() - interval '31 s' where w.id = :third;
select procrastinate_define_task('defined', queue => 'of a definition');
select procrastinate_define_task('*', queue => 'default');
select procrastinate_pause_queue('paused');
select pg_temp.defer('runs'), pg_temp.defer('holds', lock => 'l');
select count(*) from procrastinate_fetch_jobs(:worker, 9);
select pg_temp.defer('waits'), pg_temp.defer('behind', lock => 'l'), pg_temp.defer('behind too', lock => 'l', priority => 9), pg_temp.defer('free', lock => 'm'),
    pg_temp.defer('behind that', lock => 'm'), pg_temp.defer('of another task', task => 'other'), pg_temp.defer('mail', queue => 'mail'), pg_temp.defer('held back', queue => 'paused');
select procrastinate_defer('task', '{"name": "future"}', schedule_in => '1 h'), procrastinate_defer('task', '{"name": "future, locked"}', schedule_in => '1 h', lock => 'l');
update procrastinate_jobs j set deferred_at = now() - interval '1 min' where j.id in (pg_temp.job('free'), pg_temp.job('runs'), pg_temp.job('behind'));
select results_eq(
    'select * from procrastinate_queue_stats order by queue_name',
    $$ values
        ('default', null::timestamptz, 3::bigint, 3::bigint, 2::bigint, 2::bigint, now() - interval '1 min', 1::bigint, true),
        ('empty', null, 0, 0, 0, 0, null, 1, true),
        ('mail', null, 1, 0, 0, 0, (select j.deferred_at from procrastinate_jobs j where j.id = pg_temp.job('mail')), 1, true),
        ('of a definition', null, 0, 0, 0, 0, null, 0, true),
        ('paused', (select q.paused_at from procrastinate_queues q), 1, 0, 0, 0, (select j.deferred_at from procrastinate_jobs j where j.id = pg_temp.job('held back')), 0, true) $$,
    'a queue is there when it has jobs, a worker that names it, a definition or a pause; silent workers serve none');
select results_eq(
    'select * from procrastinate_task_stats order by task_name',
    $$ values
        ('defined', (select t.defined_at from procrastinate_tasks t where t.task_name = 'defined'), 0::bigint, 0::bigint, 0::bigint, 0::bigint, null::timestamptz, 1::bigint, true),
        ('other', null, 1, 0, 0, 0, (select j.deferred_at from procrastinate_jobs j where j.id = pg_temp.job('of another task')), 1, true),
        ('task', null, 4, 3, 2, 2, now() - interval '1 min', 2, true) $$,
    'a task is there when it has jobs, or is defined, but not for all tasks');
select results_eq(
    'select * from procrastinate_lock_stats order by lock',
    format(
        $$ values
            ('l', hashtextextended('l', 0), array[%1$s::bigint], %2$s::bigint, (select j.started_at from procrastinate_jobs j where j.id = %1$s), 2::bigint, %3$s::bigint,
             (select j.deferred_at from procrastinate_jobs j where j.id = %3$s)),
            ('m', hashtextextended('m', 0), null, null, null, 2, %4$s, now() - interval '1 min') $$,
        pg_temp.job('holds'), :worker, pg_temp.job('behind too'), pg_temp.job('free')),
    'a lock is there when a job holds it or waits for it, and not for future ones');
select results_eq(
    'select worker_id, worker_name, queues, tasks, alive, running, registered_at, last_heartbeat, stalled_after, info from procrastinate_worker_status order by worker_id',
    format(
        $$ select w.id, w.worker_name, w.queues, w.tasks, w.worker_name <> 'third', case w.worker_name when 'first' then 2 else 0 end::bigint, w.registered_at, w.last_heartbeat,
                  w.stalled_after, w.info from procrastinate_workers w order by w.id $$),
    'a worker is alive until it is silent for too long, and has the jobs that it fetched');
select ok(
    s.silent_for >= interval '31 s' and s.silent_for < interval '2 min', 'and says how long it has been silent')
from procrastinate_worker_status s where s.worker_id = :third;
select results_eq(
    $$ select q.workers from procrastinate_queue_stats q where q.queue_name in ('default', 'paused') order by q.queue_name $$, array[1, 0]::bigint[],
    'a queue that no live worker serves has none');
select procrastinate_beat(:third);
select results_eq(
    $$ select q.workers from procrastinate_queue_stats q where q.queue_name in ('default', 'paused') order by q.queue_name $$, array[2, 1]::bigint[],
    'a worker that serves all queues serves each');
select results_eq(
    $$ select t.workers from procrastinate_task_stats t order by t.task_name $$, array[2, 2, 3]::bigint[], 'and one that has all tasks has each');

-- what a job leaves behind
select procrastinate_finish_jobs(:worker, array[pg_temp.job('runs'), pg_temp.job('holds')]);
select is(pg_temp.depths(), '4 ready, 2 locked, 2 future, 0 running', 'what ended is no longer running, and passes its lock on');
select is((select s.held_by is null and s.next_job_id = pg_temp.job('behind too') from procrastinate_lock_stats s where s.lock_key = hashtextextended('l', 0)), true, 'a lock that is free says who is next');
select procrastinate_cancel_job(pg_temp.job(n)) from unnest('{waits,behind too,future,mail}'::text[]) n;
select is(pg_temp.depths(), '3 ready, 1 locked, 1 future, 0 running', 'cancelled jobs do not count, whatever hints are left of them');
select is(pg_temp.depths('mail'), '0 ready, 0 locked, 0 future, 0 running', 'a queue whose only job was cancelled is empty');
delete from procrastinate_jobs j where j.id in (pg_temp.job('of another task'), pg_temp.job('free'), pg_temp.job('future, locked'));
select is(pg_temp.depths(), '2 ready, 0 locked, 0 future, 0 running', 'nor do deleted ones');
delete from procrastinate_jobs;
select is_empty('table procrastinate_lock_stats', 'nobody waits for a lock whose jobs are gone');
select results_eq(
    'select queue_name from procrastinate_queue_stats order by 1', $$ values ('default'), ('empty'), ('mail'), ('of a definition'), ('paused') $$,
    'an empty queue stays while a worker names it');
select results_eq('select task_name from procrastinate_task_stats order by 1', $$ values ('defined'), ('task') $$, 'and a task while a worker has it');
update procrastinate_workers w set last_heartbeat = clock_timestamp() - interval '31 s';
select results_eq('select queue_name from procrastinate_queue_stats order by 1', $$ values ('default'), ('of a definition'), ('paused') $$, 'one that is only in the list of a silent worker is gone');
select results_eq('select task_name from procrastinate_task_stats order by 1', $$ values ('defined') $$, 'and so is its task');
select procrastinate_resume_queue('paused'), procrastinate_drop_task('*');
select results_eq('select queue_name from procrastinate_queue_stats order by 1', $$ values ('of a definition') $$, 'so is an empty queue that is no longer paused, or in a definition');
rollback to empty;

-- jobs with several hints, or the wrong ones

select pg_temp.defer('waits');
insert into procrastinate_tokens (lane, id) select t.lane, t.id from procrastinate_tokens t;
select is(pg_temp.depths(), '1 ready, 0 locked, 0 future, 0 running', 'a job with two tokens counts once');
select procrastinate_change_job(pg_temp.job('waits'), priority => 3);
select is(pg_temp.depths(), '1 ready, 0 locked, 0 future, 0 running', 'and so does one whose priority was changed');
select procrastinate_change_job(pg_temp.job('waits'), queue => 'mail');
select is(pg_temp.depths(), 'not there', 'one that was moved to another queue does not wait where it was');
select is(pg_temp.depths('mail'), '1 ready, 0 locked, 0 future, 0 running', 'but there');
select procrastinate_change_job(pg_temp.job('waits'), schedule_at => clock_timestamp() + interval '1 h');
select is(pg_temp.depths('mail'), '0 ready, 0 locked, 1 future, 0 running', 'one that was put off is not due any more');
select procrastinate_change_job(pg_temp.job('waits'), schedule_at => clock_timestamp() + interval '2 h');
select is(pg_temp.depths('mail'), '0 ready, 0 locked, 1 future, 0 running', 'put off once more it still counts once');
update procrastinate_jobs j set scheduled_at = now() where j.id = pg_temp.job('waits');
insert into procrastinate_agenda (at, id) select now(), pg_temp.job('waits') from generate_series(1, 2);
delete from procrastinate_tokens;
select is(pg_temp.depths('mail'), '1 ready, 0 locked, 0 future, 0 running', 'once due it is ready, before any tick');
select is((select q.oldest_ready_at from procrastinate_queue_stats q where q.queue_name = 'mail'), (select j.deferred_at from procrastinate_jobs j), 'since it became due, or was deferred if that was later');
delete from procrastinate_agenda;
insert into procrastinate_agenda (at, id) values (clock_timestamp() + interval '1 s', pg_temp.job('waits'));
select is(pg_temp.depths('mail'), '1 ready, 0 locked, 0 future, 0 running', 'also when tick will look at it once more');
select pg_temp.defer('locked', lock => 'l');
insert into procrastinate_agenda (at, id) values (clock_timestamp(), pg_temp.job('locked'));
select is(pg_temp.depths(), '1 ready, 0 locked, 0 future, 0 running', 'one that waits for its lock counts there, and not in the agenda too');
insert into procrastinate_lock_queue (key, held, priority, job_id) values (hashtextextended('l', 0), false, 9, pg_temp.job('waits')), (7, false, 0, -1);
select is(
    pg_temp.depths() || '; ' || pg_temp.depths('mail'), '0 ready, 1 locked, 0 future, 0 running; 1 ready, 0 locked, 0 future, 0 running',
    'a place in the lock queue that fits no job does not count');
select procrastinate_defer('task', '{"name": "hastened"}', schedule_in => '1 h', queue => 'now');
select procrastinate_change_job(pg_temp.job('hastened'), schedule_at => now());
select is(pg_temp.depths('now'), '1 ready, 0 locked, 0 future, 0 running', 'one that was hastened counts once');
rollback to empty;

select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer('runs');
select count(*) from procrastinate_fetch_jobs(:worker, 9);
select procrastinate_return_jobs(:worker, array[pg_temp.job('runs')]);
select procrastinate_register_worker('second') as second \gset
select count(*) from procrastinate_fetch_jobs(:second, 9);
select results_eq('select s.running from procrastinate_worker_status s order by s.worker_id', array[0, 1]::bigint[], 'a job that was given back runs at who fetched it then');
select procrastinate_return_jobs(:second, array[pg_temp.job('runs')]);
select is(pg_temp.depths(), '1 ready, 0 locked, 0 future, 0 running', 'a job that was given back is ready');
select count(*) from procrastinate_fetch_jobs(:worker, 9);
select is(pg_temp.depths(), '0 ready, 0 locked, 0 future, 1 running', 'fetched again it runs once, though two leases have it');
select results_eq('select s.running from procrastinate_worker_status s order by s.worker_id', array[1, 0]::bigint[], 'and so it does at its worker');
delete from procrastinate_workers;
select is(pg_temp.depths(), '0 ready, 0 locked, 0 future, 1 running', 'also when its worker is gone');
rollback to empty;

select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer(n, lock => 'l') from unnest('{one,two,three}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 2, max_per_lock => 2);
select is((select s.held_by from procrastinate_lock_stats s), array[pg_temp.job('one'), pg_temp.job('two')], 'a run of jobs holds its lock together');
rollback to empty;

insert into procrastinate_agenda (at, id) select now() + interval '1 h', -i from generate_series(1, 20000) i;
select pg_temp.defer('waits');
select is(pg_temp.depths(), '1 ready, 0 locked, 0 future, 0 running', 'what is in the agenda for schedules makes no count an estimate');
rollback to empty;

-- schedules

select procrastinate_define_schedule('new', '30 2 * * * 15', 'task', timezone => 'Europe/Berlin', queue => 'mail'), procrastinate_define_schedule('off', '@hourly', enabled => false);
select procrastinate_define_schedule(n, '@yearly') from unnest('{ran,ran long ago,late}'::text[]) n;
select procrastinate_run_schedule(n) from unnest('{ran,ran long ago}'::text[]) n;
select procrastinate_register_worker('first') as worker \gset
select count(*) from procrastinate_fetch_jobs(:worker, 1);
delete from procrastinate_jobs j where j.task_name = 'ran long ago';
update procrastinate_schedules s set next_at = clock_timestamp() - interval '1 min', skipped_at = now(), skipped_why = 'too late' where s.schedule_name = 'late';
select results_eq(
    'select schedule_name, cron, timezone, task_name, queue_name, enabled, next_at, last_at, last_job_id, last_job_status, skipped_at, skipped_why from procrastinate_schedule_status order by 1',
    $$ select v.*
       from procrastinate_schedules s
       cross join lateral (values
           ('late',         '@yearly',       'UTC',           'late',         null,   true,  s.next_at, null,      null::bigint,  null::procrastinate_job_status, now(), 'too late'),
           ('new',          '30 2 * * * 15', 'Europe/Berlin', 'task',         'mail', true,  s.next_at, null,      null,          null,                           null,  null),
           ('off',          '@hourly',       'UTC',           'off',          null,   false, null,      null,      null,          null,                           null,  null),
           ('ran',          '@yearly',       'UTC',           'ran',          null,   true,  s.next_at, s.last_at, s.last_job_id, 'doing',                        null,  null),
           ('ran long ago', '@yearly',       'UTC',           'ran long ago', null,   true,  s.next_at, s.last_at, s.last_job_id, null,                           null,  null)
       ) v(schedule_name, cron, timezone, task_name, queue_name, enabled, next_at, last_at, last_job_id, last_job_status, skipped_at, skipped_why)
       where v.schedule_name = s.schedule_name and num_nulls(v.last_at, v.last_job_id) in (0, 2)
       order by 1 $$,
    'a schedule is there with its next run, its last one and what became of that one''s job, and the last that was skipped');
select results_eq(
    $$ select v.schedule_name, v.overdue_for >= '1 min' and v.overdue_for < '2 min' from procrastinate_schedule_status v where v.overdue_for is not null $$,
    $$ values ('late', true) $$, 'one that is due says for how long it has been');
rollback to empty;

-- what ended

create function pg_temp.pages(p_view text) returns bigint language plpgsql as $function$
declare
    v_plan json;
begin
    execute 'explain (analyze, buffers, format json) select * from ' || p_view into v_plan;
    v_plan := v_plan -> 0 -> 'Plan';
    return (v_plan ->> 'Shared Hit Blocks')::bigint + (v_plan ->> 'Shared Read Blocks')::bigint;
end;
$function$;
select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer(n, lock => l) from (values ('runs', null), ('holds', 'l')) r(n, l);
select count(*) from procrastinate_fetch_jobs(:worker, 9);
select pg_temp.defer('waits', lock => 'l'), pg_temp.defer('free'), procrastinate_defer('a', schedule_in => '1 h');
select procrastinate_define_schedule('a', '@yearly'), procrastinate_run_schedule('a');
create temp table before as
select v as view, pg_temp.pages(v) as pages
from unnest('{procrastinate_jobs,procrastinate_queue_stats,procrastinate_task_stats,procrastinate_lock_stats,procrastinate_worker_status,procrastinate_schedule_status}'::text[]) v;
insert into procrastinate_jobs (task_name, status, finished_at) select 'a', 'succeeded', now() from generate_series(1, 20000);
select results_eq(
    -- the table may have had room for them already
    $$ select b.view from before b where pg_temp.pages(b.view) > case when b.view <> 'procrastinate_jobs' then b.pages else 0 end + 100 $$, array['procrastinate_jobs'],
    'twenty thousand jobs that ended are read by whoever reads all jobs, and by no view');
rollback to empty;

-- many jobs, also with a plan that was made for none

set local plan_cache_mode = force_generic_plan;
prepare kept as select coalesce(sum(q.locked), 0) as locked from procrastinate_queue_stats q;
execute kept;
select pg_temp.defer_many(1000, '{"task": "a"}');
select is(pg_temp.depths(), '1000 ready, 0 locked, 0 future, 0 running', 'a thousand jobs are looked at');
select pg_temp.defer_many(2000, '{"task": "a"}');
select is(pg_temp.depths(), '3000 ready, 0 locked, 0 future, 0 running, about', 'of three thousand a part is looked at, and as long as no hint is stale all count');
update procrastinate_jobs j set status = 'cancelled', finished_at = now() where j.id % 3 = 0;
select ok(q.ready between 1800 and 2200, 'else as many as there are of them in that part') from procrastinate_queue_stats q where q.queue_name = 'default';
update procrastinate_jobs j set status = 'cancelled', finished_at = now() where j.status = 'todo';
select is(pg_temp.depths(), '0 ready, 0 locked, 0 future, 0 running, about', 'if none was found in that part there are about none');
delete from procrastinate_tokens t where t.id % 5 > 0;
select is(pg_temp.depths(), 'not there', 'if none was found in all there is none');
select is_empty('table procrastinate_task_stats', 'nor is there such a task');
rollback to empty;

select pg_temp.defer_many(10000, '{"task": "a", "lock": "l", "queue": "locked"}'), pg_temp.defer_many(10000, '{"task": "a", "schedule_in": "1 h", "queue": "future"}');
select is(pg_temp.depths('locked') || '; ' || pg_temp.depths('future'), '1 ready, 9999 locked, 0 future, 0 running; 0 ready, 0 locked, 10000 future, 0 running', 'ten thousand jobs with locks, and future ones, are looked at');
set local statement_timeout = '10 s';
select lives_ok('execute kept', 'with that plan too they are looked at in time');
set local statement_timeout = '60 s';
select pg_temp.defer_many(5000, '{"task": "a", "lock": "l", "queue": "locked"}'), pg_temp.defer_many(5000, '{"task": "a", "schedule_in": "1 h", "queue": "future"}');
select is(
    (select string_agg(format('%s %s %s', q.ready + q.locked, q.future, q.exact), '; ' order by q.queue_name) from procrastinate_queue_stats q),
    '0 15000 f; 15000 0 f', 'of more a part is looked at');
select procrastinate_define_task('b', queue => 'other');
select is(pg_temp.depths('other'), '0 ready, 0 locked, 0 future, 0 running, about', 'of which queue the others are is not known');
select results_eq('select t.task_name, t.exact from procrastinate_task_stats t order by 1', $$ values ('a', false), ('b', false) $$, 'nor of which task');
rollback to empty;

select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
