-- Whole stories, told through the public functions. Where time must pass, the rows are moved.
begin;
select plan(103);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.fetch(worker bigint, max_jobs integer default 10, max_per_lock integer default 1) returns setof text language sql as
    $$ select f.args ->> 'name' from procrastinate_fetch_jobs(worker, max_jobs, max_per_lock) f $$;
create function pg_temp.defer(
    name text, lock text default null, queueing_lock text default null, queue text default null, schedule_in interval default null,
    priority integer default null, task text default 'send', on_conflict text default 'error', max_attempts integer default null)
returns bigint language sql as
    $$ select procrastinate_defer(task, jsonb_build_object('name', name), queue, priority, lock, queueing_lock, null, schedule_in, max_attempts, null, on_conflict) $$;
create function pg_temp.finish(worker bigint, name text) returns setof text language sql as
    $$ select f.outcome from procrastinate_finish_jobs(worker, array[pg_temp.job(name)]) f $$;

-- what was to come has come; and nobody served in between
create function pg_temp.pass_time() returns void language plpgsql as
    $$ begin
        update procrastinate_jobs j set scheduled_at = least(j.scheduled_at, now()) where j.status = 'todo';
        update procrastinate_agenda a set at = least(a.at, now());
        perform procrastinate_tick();
    end $$;
-- the worker is silent for a minute, while the clockwork goes on
create function pg_temp.die(worker bigint) returns void language plpgsql as
    $$ begin
        perform procrastinate_tick();
        update procrastinate_workers w set last_heartbeat = now() - interval '1 min' where w.id = worker;
        perform procrastinate_tick();
    end $$;

create temp view job as
    select j.args ->> 'name' as name, j.status, j.attempts::integer, j.rescues::integer, j.error from procrastinate_jobs j;
create temp view history as
    select j.args ->> 'name' as name, string_agg(a.kind::text, ', ' order by a.id) as kinds
    from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id group by 1;

-- the clockwork is going
update procrastinate_ticks t set at = clock_timestamp() - interval '1 s';
select procrastinate_register_worker('one') as one \gset
select procrastinate_register_worker('two') as two \gset
select procrastinate_register_worker('mail', queues => '{mail}') as mail \gset
select procrastinate_register_worker('web', queues => '{web}') as web \gset

-- a job that succeeds
select pg_temp.defer('good');
select results_eq(format('select pg_temp.fetch(%s)', :one), $$ values ('good') $$, 'a job that is deferred is fetched');
select is_empty(format('select pg_temp.fetch(%s)', :two), 'by one worker');
select is_empty(format($$ select pg_temp.finish(%s, 'good') $$, :one), 'and finished');
select results_eq('select * from job', $$ values ('good', 'succeeded'::procrastinate_job_status, 1, 0, null::text) $$, 'it has succeeded');
select is_empty('select * from history', 'and left no trace but that');
select is_empty('select * from procrastinate_check()', 'all is well after success');
delete from procrastinate_jobs;

-- retry to exhaustion
select procrastinate_define_task('flaky', max_attempts => 3, retry_wait => '10 s');
select pg_temp.defer('flaky', task => 'flaky', lock => 'l');
select pg_temp.defer('behind', lock => 'l');
select results_eq(format('select pg_temp.fetch(%s)', :one), $$ values ('flaky') $$, 'a job runs its first time');
select is(procrastinate_fail_job(:one, pg_temp.job('flaky'), 'first')::text, 'todo', 'it fails, and will be retried');
select results_eq(format('select pg_temp.fetch(%s)', :one), $$ values ('behind') $$, 'while it backs off the next one of its lock runs');
select pg_temp.pass_time();
select is_empty(format('select pg_temp.fetch(%s)', :one), 'when its time has come it waits for its lock');
select is_empty(format($$ select pg_temp.finish(%s, 'behind') $$, :one), 'that the other one lets go');
select results_eq(format('select pg_temp.fetch(%s)', :two), $$ values ('flaky') $$, 'it runs its second time, with another worker');
select is(procrastinate_fail_job(:two, pg_temp.job('flaky'), 'second')::text, 'todo', 'it fails again');
select pg_temp.pass_time();
select results_eq(format('select attempt, max_attempts from procrastinate_fetch_jobs(%s, 1)', :one), $$ values (3, 3) $$, 'it runs its last time');
select is(procrastinate_fail_job(:one, pg_temp.job('flaky'), 'third')::text, 'failed', 'it has failed for good');
select pg_temp.pass_time();
select is_empty(format('select pg_temp.fetch(%s)', :one), 'it does not run again');
select results_eq('select * from job where name = $d$flaky$d$', $$ values ('flaky', 'failed'::procrastinate_job_status, 3, 0, 'third') $$, 'three attempts are counted');
select results_eq('select * from history', $$ values ('flaky', 'failed, failed, failed') $$, 'and noted');
select is_empty('select * from procrastinate_check()', 'all is well after the exhaustion');

-- an operator's retry
select is(procrastinate_retry_job(pg_temp.job('flaky'))::text, 'todo', 'an operator retries it');
select results_eq(format('select attempt from procrastinate_fetch_jobs(%s, 1)', :one), $$ values (4) $$, 'it runs its fourth time');
select is_empty(format($$ select pg_temp.finish(%s, 'flaky') $$, :one), 'and succeeds');
select results_eq(
    $$ select job.*, kinds from job join history using (name) $$, $$ values ('flaky', 'succeeded'::procrastinate_job_status, 4, 0, 'third', 'failed, failed, failed, retried') $$,
    'its history tells it all');
select throws_ok($$ select procrastinate_retry_job(pg_temp.job('flaky')) $$, 'PJ005', null, 'there is nothing left to retry');
select is_empty('select * from procrastinate_check()', 'all is well after the retry');
delete from procrastinate_jobs;

-- a poison pill: each worker that runs it dies
select pg_temp.defer('pill');
select pg_temp.defer('innocent');
select procrastinate_register_worker('victim') as victim \gset
select set_eq(format('select pg_temp.fetch(%s)', :victim), $$ values ('pill'), ('innocent') $$, 'a worker gets a job that will kill it, and another one');
select is_empty(format($$ select pg_temp.finish(%s, 'innocent') $$, :victim), 'it finishes the other one');
select pg_temp.die(:victim);
select results_eq($$ select * from job where name = 'pill' $$, $$ values ('pill', 'todo'::procrastinate_job_status, 0, 1, 'worker died') $$, 'the worker is dead, the job is todo again, its attempt uncounted');
select procrastinate_register_worker('victim') as victim \gset
select results_eq(format('select pg_temp.fetch(%s)', :victim), $$ values ('pill') $$, 'the next worker gets it');
select pg_temp.die(:victim);
select procrastinate_register_worker('victim') as victim \gset
select results_eq(format('select attempt from procrastinate_fetch_jobs(%s, 1)', :victim), $$ values (1) $$, 'a third one gets it, still as the first attempt');
select pg_temp.die(:victim);
select results_eq($$ select * from job where name = 'pill' $$, $$ values ('pill', 'failed'::procrastinate_job_status, 0, 3, 'worker died 3 times') $$, 'it kills no fourth one');
select is_empty(format('select pg_temp.fetch(%s)', :one), 'nobody gets it any more');
select results_eq('select * from history', $$ values ('pill', 'rescued, rescued, rescued') $$, 'each death is noted');
select is_empty('select * from procrastinate_check()', 'all is well after the third death');
delete from procrastinate_jobs;

-- a lock across queues, with a paused head
select pg_temp.defer('first', lock => 'l', queue => 'mail');
select pg_temp.defer('second', lock => 'l', queue => 'web');
select pg_temp.defer('unlocked', queue => 'web', priority => -1);
select procrastinate_pause_queue('mail');
select results_eq(format('select pg_temp.fetch(%s)', :web), $$ values ('unlocked') $$, 'the lock''s first job waits in a paused queue, and the others of the lock behind it');
select is_empty(format('select pg_temp.fetch(%s)', :mail), 'nobody gets it there');
select procrastinate_tick();
select is_empty(format('select pg_temp.fetch(%s)', :one), 'nor anywhere else');
select is_empty('select * from procrastinate_check()', 'all is well while the queue is paused');
select procrastinate_resume_queue('mail');
select is_empty(format('select pg_temp.fetch(%s)', :web), 'when the queue goes on it is still the first one''s turn');
select results_eq(format('select pg_temp.fetch(%s)', :mail), $$ values ('first') $$, 'which runs');
select is_empty(format('select pg_temp.fetch(%s)', :web), 'the second one waits for it');
select is_empty(format($$ select pg_temp.finish(%s, 'first') $$, :mail), 'it ends');
select results_eq(format('select pg_temp.fetch(%s)', :web), $$ values ('second') $$, 'and the second one runs in its own queue');
select is_empty('select * from procrastinate_check()', 'all is well after the pause');
delete from procrastinate_jobs;

-- debounce
select pg_temp.defer('draft 1', queueing_lock => 'index', schedule_in => '10 s') as draft \gset
select is(pg_temp.defer('draft 2', queueing_lock => 'index', schedule_in => '20 s', on_conflict => 'replace'), :draft::bigint, 'a second defer replaces the job that waits');
select results_eq(
    $$ select args ->> 'name', scheduled_at - clock_timestamp() > '15 s' from procrastinate_jobs $$, $$ values ('draft 2', true) $$,
    'it has the new arguments, and waits anew');
select throws_ok(
    $$ select pg_temp.defer('draft 3', queueing_lock => 'index') $$, '23505', null,
    'one that does not say what to do is an error');
select is(pg_temp.defer('draft 4', queueing_lock => 'index', on_conflict => 'skip'), :draft::bigint, 'one that says so is skipped');
select is_empty('select * from procrastinate_check()', 'all is well while it waits');
select pg_temp.pass_time();
select results_eq(format('select pg_temp.fetch(%s)', :one), $$ values ('draft 2') $$, 'the job runs once, with the last arguments');
select isnt(pg_temp.defer('draft 5', queueing_lock => 'index', on_conflict => 'replace'), :draft::bigint, 'while it runs the next one may wait');
select is(procrastinate_snooze_job(:one, :draft, '0')::text, 'todo', 'the first one may be snoozed all the same');
select results_eq(
    $$ select args ->> 'name', queueing_lock::text from procrastinate_jobs order by 1 $$, $$ values ('draft 2', null), ('draft 5', 'index') $$,
    'it gives its queueing lock up to the one that waits');
select is_empty('select * from procrastinate_check()', 'all is well after the debounce');
delete from procrastinate_jobs;

-- throttle
select pg_temp.defer('tick 1', queueing_lock => 'stats', schedule_in => '10 s') as stats \gset
select is(pg_temp.defer('tick 2', queueing_lock => 'stats', schedule_in => '20 s', on_conflict => 'update'), :stats::bigint, 'a second defer updates the job that waits');
select results_eq(
    $$ select args ->> 'name', scheduled_at - clock_timestamp() < '11 s' from procrastinate_jobs $$, $$ values ('tick 2', true) $$,
    'it has the new arguments, and its old schedule');
select pg_temp.pass_time();
select results_eq(format('select pg_temp.fetch(%s)', :one), $$ values ('tick 2') $$, 'it runs once');
select is_empty('select * from procrastinate_check()', 'all is well after the throttle');
delete from procrastinate_jobs;

-- snooze
select pg_temp.defer('sleepy', max_attempts => 1);
select pg_temp.fetch(:one);
select is(procrastinate_snooze_job(:one, pg_temp.job('sleepy'), '1 hour')::text, 'todo', 'a handler snoozes its job');
select is_empty(format('select pg_temp.fetch(%s)', :one), 'it does not run for an hour');
select pg_temp.pass_time();
select results_eq(format('select attempt from procrastinate_fetch_jobs(%s, 1)', :one), $$ values (1) $$, 'then it runs, still as its first attempt');
select is_empty(format($$ select pg_temp.finish(%s, 'sleepy') $$, :one), 'and succeeds');
select results_eq('select * from job', $$ values ('sleepy', 'succeeded'::procrastinate_job_status, 1, 0, null::text) $$, 'as one attempt');
select is_empty('select * from procrastinate_check()', 'all is well after the snooze');
delete from procrastinate_jobs;

-- cancel of a head
select pg_temp.defer('head', lock => 'l', queue => 'mail');
select pg_temp.defer('next', lock => 'l', queue => 'web');
select is_empty(format('select pg_temp.fetch(%s)', :web), 'a job waits behind the head of its lock');
select is(procrastinate_cancel_job(pg_temp.job('head'))::text, 'cancelled', 'the head is cancelled');
select results_eq(format('select pg_temp.fetch(%s)', :web), $$ values ('next') $$, 'the lock is passed on');
select is_empty('select * from procrastinate_check()', 'all is well after the cancel');
delete from procrastinate_jobs;

-- abort
select pg_temp.defer('endless', lock => 'l');
select pg_temp.defer('next', lock => 'l');
select pg_temp.fetch(:one);
select is(procrastinate_cancel_job(pg_temp.job('endless'), abort => true)::text, 'doing', 'a running job is asked to stop');
select results_eq(format('select procrastinate_beat(%s)', :one), $$ select pg_temp.job('endless') $$, 'its worker hears of it');
select is(procrastinate_abort_job(:one, pg_temp.job('endless'))::text, 'aborted', 'and stops it');
select results_eq(format('select pg_temp.fetch(%s)', :two), $$ values ('next') $$, 'its lock is passed on');
select is_empty('select * from procrastinate_check()', 'all is well after the abort');
delete from procrastinate_jobs;

-- a removed worker that wakes up
select procrastinate_register_worker('sleeper') as sleeper \gset
select pg_temp.defer('slow', lock => 'l');
select results_eq(format('select pg_temp.fetch(%s)', :sleeper), $$ values ('slow') $$, 'a worker gets a job and falls asleep');
select pg_temp.die(:sleeper);
select results_eq(format('select pg_temp.fetch(%s)', :two), $$ values ('slow') $$, 'another one gets it');
select throws_ok(format($$ select pg_temp.finish(%s, 'slow') $$, :sleeper), 'PJ003', format('worker %s is not registered', :sleeper), 'what the first one finishes is refused');
select throws_ok(format($$ select procrastinate_fail_job(%s, pg_temp.job('slow')) $$, :sleeper), 'PJ003', null, 'and so is what it fails');
select throws_ok(format($$ select procrastinate_return_jobs(%s, array[pg_temp.job('slow')]) $$, :sleeper), 'PJ003', null, 'or gives back');
select throws_ok(format($$ select procrastinate_fetch_jobs(%s, 1) $$, :sleeper), 'PJ003', null, 'it can fetch nothing');
select throws_ok(format($$ select procrastinate_beat(%s) $$, :sleeper), 'PJ003', null, 'it can beat no more');
select isnt(procrastinate_register_worker('sleeper'), :sleeper::bigint, 'it registers anew, as somebody else');
select results_eq($$ select * from job $$, $$ values ('slow', 'doing'::procrastinate_job_status, 0, 1, 'worker died') $$, 'the job is left as it is');
select is_empty(format($$ select pg_temp.finish(%s, 'slow') $$, :two), 'the second worker finishes it');
select is_empty('select * from procrastinate_check()', 'all is well after the wake-up');
delete from procrastinate_jobs;

-- an outage
select pg_temp.defer('patient');
select procrastinate_register_worker('survivor') as survivor \gset
select procrastinate_register_worker('casualty') as casualty \gset
select pg_temp.fetch(:survivor);
select pg_temp.defer('poor');
select pg_temp.fetch(:casualty);
update procrastinate_workers w set last_heartbeat = now() - interval '1 hour';
update procrastinate_ticks t set at = now() - interval '1 hour';
select procrastinate_tick();
select procrastinate_tick();
select results_eq('select name, status from job order by 1', $$ values ('patient', 'doing'::procrastinate_job_status), ('poor', 'doing') $$, 'after an outage nobody is buried at once');
select is_empty(
    format($$ select procrastinate_beat(w.id) from procrastinate_workers w where w.id <> %s $$, :casualty), 'those that live beat');
update procrastinate_workers w set spared_until = spared_until - interval '31 s';
select procrastinate_tick();
select results_eq('select name, status, rescues from job order by 1', $$ values ('patient', 'doing'::procrastinate_job_status, 0), ('poor', 'todo', 1) $$, 'the one that stays silent is removed later');
select is_empty(format($$ select pg_temp.finish(%s, 'patient') $$, :survivor), 'the other one finishes what it has');
select is_empty('select * from procrastinate_check()', 'all is well after the outage');
delete from procrastinate_jobs;
delete from procrastinate_tokens;

-- a lost answer
select pg_temp.defer(n, lock => nullif(l, '')) from (values ('held', ''), ('lost', ''), ('lost locked', 'l'), ('behind', 'l')) r(n, l);
select pg_temp.fetch(:one, 1);
create temp table held as select j.id from procrastinate_jobs j where j.status = 'doing';
select is((select count(*) from pg_temp.fetch(:one)), 2::bigint, 'a worker fetches once more, and the answer never arrives');
select is_empty(format('select pg_temp.fetch(%s)', :two), 'nobody else can have those jobs');
select results_eq(
    format('select outcome from procrastinate_keep_jobs(%s, array(select id from held))', :one), $$ values ('returned'), ('returned') $$,
    'the worker says what it has, the rest goes back');
select is((select count(*) from pg_temp.fetch(:two)), 2::bigint, 'somebody else gets them');
select results_eq('select sum(attempts), sum(rescues), count(*) from job where status = $d$doing$d$', $$ values (0::bigint, 0::bigint, 3::bigint) $$, 'nothing was counted');
select is_empty('select * from procrastinate_check()', 'all is well after the lost answer');
delete from procrastinate_jobs;

-- delete of a lock's holder
select pg_temp.defer('holder', lock => 'l');
select pg_temp.defer('heir', lock => 'l', queueing_lock => 'q');
select pg_temp.fetch(:one);
create temp table holder as select pg_temp.job('holder') as id;
delete from procrastinate_jobs j where j.id = pg_temp.job('holder');
select is_empty('select * from procrastinate_check()', 'all is well after the delete of a running job');
select results_eq(format('select pg_temp.fetch(%s)', :two), $$ values ('heir') $$, 'its lock is passed on');
select results_eq(format('select f.outcome from holder h, procrastinate_finish_jobs(%s, array[h.id]) f', :one), $$ values ('lost') $$, 'its worker is told that it is lost');
delete from procrastinate_jobs;
select is_empty('select * from procrastinate_check()', 'all is well after the delete of the last');

-- goodbye
select pg_temp.defer('unfinished', lock => 'l');
select pg_temp.fetch(:one);
select procrastinate_unregister_worker(:one);
select results_eq('select * from job', $$ values ('unfinished', 'todo'::procrastinate_job_status, 0, 0, null::text) $$, 'a worker that says goodbye gives back what it has');
select procrastinate_tick();
select results_eq(format('select pg_temp.fetch(%s)', :two), $$ values ('unfinished') $$, 'and another one goes on with it');
select results_eq('select rescues from job', $$ values (0) $$, 'which is no rescue');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
