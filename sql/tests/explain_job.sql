-- Each reason, when it is there and when it is not, by what a person would do to bring it about.
begin;
select plan(69);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.defer(name text, task text default 'task', queue text default 'default', lock text default null, priority integer default 0)
returns void language sql as $$
    select procrastinate_defer(defer.task, jsonb_build_object('name', defer.name), queue => defer.queue, lock => defer.lock, priority => defer.priority)
$$;

-- What is explained, without the times: those are now, in tests, and are looked at apart.
create function pg_temp.timeless(p_detail jsonb) returns jsonb language sql as $$
    select case
        when p_detail ? 'detail' then p_detail || jsonb_build_object('detail', pg_temp.timeless(p_detail -> 'detail'))
        else p_detail - '{since,seconds,finished_at,scheduled_at,timeout_at,last_heartbeat,silent_seconds,last_tick,tick_seconds}'::text[]
    end
$$;
create function pg_temp.explain(name text) returns table (reason text, detail jsonb) language sql as
    $$ select e.reason, pg_temp.timeless(e.detail) from procrastinate_explain_job(pg_temp.job(explain.name)) e $$;
create function pg_temp.reasons(name text) returns text language sql as
    $$ select string_agg(e.reason, ', ') from procrastinate_explain_job(pg_temp.job(reasons.name)) e $$;
create function pg_temp.ahead(name text) returns text language sql as
    $$ select e.reason || ' ' || (e.detail ->> 'ahead') || case when (e.detail ->> 'at_least')::boolean then ' or more' else '' end from pg_temp.explain(ahead.name) e $$;
create function pg_temp.silence(p_worker bigint) returns void language sql as
    $$ update procrastinate_workers w set last_heartbeat = clock_timestamp() - interval '31 s' where w.id = p_worker $$;

select throws_ok('select procrastinate_explain_job(null)', 'PJ001', 'invalid job_id: NULL', 'NULL is no job');
select throws_ok('select procrastinate_explain_job(0)', 'PJ004', 'job 0 does not exist', 'a job that does not exist has no reasons');
savepoint empty;

-- no worker

select pg_temp.defer('waits');
select results_eq(
    $$ select * from pg_temp.explain('waits') $$,
    $$ values ('worker', '{"queue": "default", "task": "task", "alive": 0, "serve_queue": 0, "have_task": 0, "silent": 0}'::jsonb) $$,
    'a job waits for a worker when there is none');
select procrastinate_register_worker('mailer', queues => '{mail}') as mailer \gset
select procrastinate_register_worker('other', tasks => '{other}') as other \gset
select procrastinate_register_worker('was here') as gone \gset
select pg_temp.silence(:gone);
select results_eq(
    $$ select * from pg_temp.explain('waits') $$,
    $$ values ('worker', '{"queue": "default", "task": "task", "alive": 2, "serve_queue": 1, "have_task": 1, "silent": 1}'::jsonb) $$,
    'one worker that serves its queue, one that has its task and one that is silent do not run a job');
select procrastinate_beat(:gone);
select is(pg_temp.reasons('waits'), 'ready', 'one that beats again and serves all does');
update procrastinate_workers w set queues = '{mail,default}', tasks = '{task}' where w.id = :gone;
select is(pg_temp.reasons('waits'), 'ready', 'and one that names the queue and the task does');
rollback to empty;

-- done

select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer(n) from unnest('{succeeds,fails,is cancelled,is aborted}'::text[]) n;
select count(*) from procrastinate_fetch_jobs(:worker, 2);
select procrastinate_finish_jobs(:worker, array[pg_temp.job('succeeds')]);
select procrastinate_fail_job(:worker, pg_temp.job('fails'), 'no paper');
select procrastinate_cancel_job(pg_temp.job('is cancelled'));
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select procrastinate_abort_job(:worker, pg_temp.job('is aborted'), 'as you wish');
update procrastinate_jobs j set error = 'of an attempt before' where j.id = pg_temp.job('succeeds');
select results_eq(
    $$ select n, e.* from unnest('{succeeds,fails,is cancelled,is aborted}'::text[]) n cross join lateral pg_temp.explain(n) e $$,
    $$ values ('succeeds', 'done', '{"status": "succeeded", "attempts": 1}'::jsonb), ('fails', 'done', '{"status": "failed", "attempts": 1, "error": "no paper"}'),
              ('is cancelled', 'done', '{"status": "cancelled", "attempts": 0}'), ('is aborted', 'done', '{"status": "aborted", "attempts": 1, "error": "as you wish"}') $$,
    'a job that ended is done, and says how; of one that succeeded without the error of an attempt before');
select is(
    (select e.detail -> 'finished_at' from procrastinate_explain_job(pg_temp.job('succeeds')) e),
    (select to_jsonb(j.finished_at) from procrastinate_jobs j where j.id = pg_temp.job('succeeds')), 'and when');
update procrastinate_jobs j set finished_at = clock_timestamp() - interval '90 s' where j.id = pg_temp.job('succeeds');
select is((select (e.detail ->> 'seconds')::numeric from procrastinate_explain_job(pg_temp.job('succeeds')) e), 90.0, 'also in seconds');
rollback to empty;

-- running and rescue

select procrastinate_register_worker('first') as worker \gset
select procrastinate_defer('task', '{"name": "runs"}', timeout => '1 min');
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select results_eq(
    $$ select * from pg_temp.explain('runs') $$,
    format($$ values ('running', '{"worker": %s, "worker_name": "first", "registered": true, "attempt": 1, "abort_requested": false, "stalled_after": "00:00:30"}'::jsonb) $$, :worker),
    'a running job has a worker');
select is(
    (select e.detail - '{worker,worker_name,registered,attempt,abort_requested,stalled_after,seconds,silent_seconds}'::text[] from procrastinate_explain_job(pg_temp.job('runs')) e),
    (select jsonb_build_object('since', j.started_at, 'timeout_at', j.started_at + interval '1 min', 'last_heartbeat', w.last_heartbeat)
     from procrastinate_jobs j join procrastinate_workers w on w.id = j.worker_id where j.id = pg_temp.job('runs')),
    'and says since when, until when, and when that was heard of');
select procrastinate_cancel_job(pg_temp.job('runs'), abort => true);
select is((select e.detail -> 'abort_requested' from pg_temp.explain('runs') e), 'true', 'and whether it was asked to stop');
savepoint runs;
select pg_temp.silence(:worker);
select is((select e.reason || ' ' || (e.detail -> 'registered') || ' ' || (e.detail ? 'last_tick') from procrastinate_explain_job(pg_temp.job('runs')) e), 'rescue true true', 'a job of a silent worker waits to be taken back, by tick');
select procrastinate_beat(:worker);
select is(pg_temp.reasons('runs'), 'running', 'but not when that beats again');
delete from procrastinate_workers w where w.id = :worker;
select results_eq(
    $$ select e.reason, e.detail - 'abort_requested' from pg_temp.explain('runs') e $$,
    format($$ values ('rescue', '{"worker": %s, "registered": false, "attempt": 1}'::jsonb) $$, :worker),
    'a job of a worker that was removed waits to be taken back');
update procrastinate_jobs j set worker_id = null where j.id = pg_temp.job('runs');
select is(pg_temp.reasons('runs'), 'rescue', 'and so does one that is nobody''s');
rollback to empty;

-- future, and tick

select procrastinate_register_worker('first') as worker \gset
select procrastinate_defer('task', '{"name": "later"}', schedule_in => '90 s');
select results_eq($$ select * from pg_temp.explain('later') $$, $$ values ('future', '{"attempts": 0}'::jsonb) $$, 'a job that is not due is a matter of the future');
select is(
    (select e.detail - 'seconds' from procrastinate_explain_job(pg_temp.job('later')) e),
    (select jsonb_build_object('attempts', 0, 'scheduled_at', j.scheduled_at) from procrastinate_jobs j where j.id = pg_temp.job('later')), 'and says when');
select cmp_ok((select (e.detail ->> 'seconds')::numeric from procrastinate_explain_job(pg_temp.job('later')) e), '>', 60.0, 'also in seconds from now');
select procrastinate_pause_queue('default');
select procrastinate_unregister_worker(:worker);
select is(pg_temp.reasons('later'), 'future, paused, worker', 'what will be in its way comes after');
update procrastinate_ticks t set agenda_xid = '9000000000000000000';
update procrastinate_agenda a set at = now() - interval '1 s';
update procrastinate_jobs j set scheduled_at = now() - interval '1 s';
select is(pg_temp.reasons('later'), 'paused, worker, tick', 'once due it waits for tick');
select results_eq(
    $$ select e.detail -> 'since', e.detail -> 'last_tick' from procrastinate_explain_job(pg_temp.job('later')) e where e.reason = 'tick' $$,
    $$ select to_jsonb(j.scheduled_at), (select to_jsonb(t.at) from procrastinate_ticks t order by t.n desc limit 1) from procrastinate_jobs j $$,
    'and says since when, and when that was last seen');
update procrastinate_agenda a set at = clock_timestamp() + interval '1 s';
select is(pg_temp.reasons('later'), 'paused, worker, tick', 'also when tick will come back to it');
update procrastinate_ticks t set agenda_at = clock_timestamp() + interval '1 min', agenda_xid = '9000000000000000000', agenda_late = array[pg_current_xact_id()];
select is(pg_temp.reasons('later'), 'paused, worker, tick', 'also below the place that tick has come to, for a transaction that it remembers');
update procrastinate_ticks t set agenda_late = '{}', agenda_xid = pg_current_xact_id();
select is(pg_temp.reasons('later'), 'paused, worker, tick', 'or has not seen ended');
update procrastinate_ticks t set agenda_xid = '9000000000000000000';
update procrastinate_agenda a set at = now() - interval '1 s';
select is(pg_temp.reasons('later'), 'hint, paused, worker', 'but not where tick will never look');
rollback to empty;

select procrastinate_register_worker('first') as worker \gset
select procrastinate_define_task('task', max_attempts => 2, retry_wait => '1 h');
select pg_temp.defer('fails');
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select procrastinate_fail_job(:worker, pg_temp.job('fails'), 'no paper');
select results_eq($$ select * from pg_temp.explain('fails') $$, $$ values ('future', '{"attempts": 1, "error": "no paper"}'::jsonb) $$, 'one that waits to be retried tells of its last attempt');
rollback to empty;

-- paused

select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer('waits');
select procrastinate_pause_queue('other');
select is(pg_temp.reasons('waits'), 'ready', 'another queue''s pause is none of its business');
select procrastinate_pause_queue('default');
select results_eq(
    $$ select e.reason, e.detail - 'seconds' from procrastinate_explain_job(pg_temp.job('waits')) e $$,
    $$ select 'paused', jsonb_build_object('queue', q.queue_name, 'since', q.paused_at) from procrastinate_queues q where q.queue_name = 'default' $$,
    'a job of a paused queue says since when it is paused');
rollback to empty;

-- lock

select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer(n, lock => 'l') from unnest('{head,second,third}'::text[]) n;
select is(pg_temp.reasons('head'), 'ready', 'the first job of a free lock is ready');
select results_eq(
    $$ select e.reason, e.detail - 'detail' from pg_temp.explain('third') e $$,
    format($$ values ('lock', '{"lock": "l", "job": %s, "reason": "ready", "ahead": 2, "at_least": false}'::jsonb) $$, pg_temp.job('head')),
    'the others are behind it');
select count(*) from procrastinate_fetch_jobs(:worker, 9);
select results_eq(
    $$ select e.reason, e.detail from pg_temp.explain('third') e $$,
    format(
        $$ values ('lock', '{"lock": "l", "job": %s, "reason": "running", "ahead": 2, "at_least": false, "detail":
                             {"worker": %s, "worker_name": "first", "registered": true, "attempt": 1, "abort_requested": false, "stalled_after": "00:00:30"}}'::jsonb) $$,
        pg_temp.job('head'), :worker),
    'a running job that holds the lock is told of with its worker');
select pg_temp.silence(:worker);
select procrastinate_register_worker('second') as worker \gset
select is((select e.detail ->> 'reason' from pg_temp.explain('third') e), 'rescue', 'and that its worker is silent');
select pg_temp.defer('first of all', lock => 'l', priority => 1);
select is((select e.detail - '{detail,lock,reason}'::text[] from pg_temp.explain('first of all') e), jsonb_build_object('job', pg_temp.job('head'), 'ahead', 1, 'at_least', false),
    'it goes before those of higher priority too');
select is((select e.detail ->> 'ahead' from pg_temp.explain('third') e), '3', 'which go before the others');
rollback to empty;

select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer('head', queue => 'mail', lock => 'l'), pg_temp.defer('second', lock => 'l');
select procrastinate_defer('task', '{"name": "later"}', lock => 'l', schedule_in => '1 h');
select procrastinate_pause_queue('mail');
select results_eq(
    $$ select e.reason, e.detail ->> 'job', e.detail ->> 'reason', e.detail #>> '{detail,queue}' from pg_temp.explain('second') e $$,
    format($$ values ('lock', %L, 'paused', 'mail') $$, pg_temp.job('head')),
    'behind a job whose queue is paused others of its lock wait, in whatever queue');
select procrastinate_resume_queue('mail');
update procrastinate_workers w set queues = '{default}';
select is((select e.detail ->> 'reason' from pg_temp.explain('second') e), 'worker', 'and behind one that nobody serves');
select is(pg_temp.reasons('later'), 'future', 'a future job does not take part in its lock');
insert into procrastinate_lock_queue (key, held, priority, job_id)
select hashtextextended('l', 0), held, 9, job_id from (values (true, pg_temp.job('second')), (false, pg_temp.job('later')), (true, -1)) r(held, job_id);
select is((select e.detail ->> 'job' from pg_temp.explain('second') e), pg_temp.job('head')::text, 'places in the lock queue that fit no job are passed over');
select procrastinate_cancel_job(pg_temp.job('head'));
select is(pg_temp.reasons('second'), 'ready', 'when the head is cancelled the next one is');
select pg_temp.defer('urgent', lock => 'l', priority => 1);
select is((select e.detail ->> 'job' from pg_temp.explain('second') e), pg_temp.job('urgent')::text, 'until one of higher priority comes');
rollback to empty;

select procrastinate_register_worker('first') as worker \gset
select count(procrastinate_defer('task', lock => 'l')) from generate_series(1, 1001);
select pg_temp.defer('last', lock => 'l');
select is((select e.detail - '{lock,job,reason,detail}'::text[] from pg_temp.explain('last') e), '{"ahead": 1000, "at_least": true}', 'beyond a thousand nobody counts');
rollback to empty;

-- hint

select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer('waits'), pg_temp.defer('beside'), pg_temp.defer('locked', lock => 'l'), pg_temp.defer('behind it', lock => 'l');
select procrastinate_defer('task', '{"name": "later"}', schedule_in => '1 h'), procrastinate_defer('task', '{"name": "later too"}', schedule_in => '2 h');
create temp view lost as
    select string_agg(j.args ->> 'name', ', ' order by j.id) as jobs
    from procrastinate_jobs j where (select e.reason from procrastinate_explain_job(j.id) e limit 1) = 'hint';
create function pg_temp.lose(p_sql text) returns text language plpgsql as $function$
declare
    v_lost text;
begin
    execute p_sql;
    v_lost := (select l.jobs from lost l);
    perform procrastinate_repair();
    raise exception using errcode = 'UNDO1', message = concat_ws('; then ', v_lost, (select l.jobs from lost l));
exception when sqlstate 'UNDO1' then
    return sqlerrm;
end;
$function$;
select is((select jobs from lost), null, 'as long as all have their hints no job is lost');
select is(pg_temp.lose(c.change), c.want, c.sentence)
from (values
    (1, 'delete from procrastinate_tokens t where t.id = pg_temp.job($n$waits$n$)', 'waits', 'a job without a token is lost, until repair'),
    (2, 'update procrastinate_lanes l set state = $s$parked$s$ where l.kind = $k$plain$k$', 'waits, beside', 'and so is one whose token lies in a parked lane'),
    (3, 'insert into procrastinate_floors (lane, xid, id, late)
         select t.lane, t.xid, t.id + 1, $l${}$l$ from procrastinate_tokens t where t.id = pg_temp.job($n$waits$n$)', 'waits', 'below the floor'),
    (4, 'update procrastinate_jobs j set priority = 1 where j.id = pg_temp.job($n$waits$n$)', 'waits', 'in the lane of another priority'),
    (5, 'update procrastinate_lanes l set kind = $k$locked$k$ where l.kind = $p$plain$p$', 'waits, beside', 'or in one of locks'),
    (6, 'delete from procrastinate_tokens t where t.id = hashtextextended($l$l$l$, 0)', 'locked', 'a lock without a token is lost, to its first job'),
    (7, 'delete from procrastinate_lock_queue q where q.job_id = pg_temp.job($n$behind it$n$)', 'behind it', 'a job without a place in the lock queue is lost'),
    (8, 'delete from procrastinate_agenda a where a.id = pg_temp.job($n$later$n$)', 'later', 'and a future one that is not in the agenda')
) c(n, change, want, sentence)
order by c.n;
delete from procrastinate_tokens t where t.id = hashtextextended('l', 0);
insert into procrastinate_tokens (lane, id) values (0, hashtextextended('l', 0));
select is((select jobs from lost), null, 'a lock''s token may be in the hand-over lane');
delete from procrastinate_tokens;
insert into procrastinate_agenda (at, id) select clock_timestamp(), j.id from procrastinate_jobs j where j.scheduled_at is null;
select is((select string_agg(pg_temp.reasons(n), '; ') from unnest('{waits,locked}'::text[]) n), 'tick; tick', 'instead of a token there may be an entry in the agenda');
rollback to empty;

-- behind and ready

select procrastinate_register_worker('first', queues => '{default,mail,off}') as worker \gset
select procrastinate_register_worker('other', queues => '{other}') as other \gset
select pg_temp.defer('one'), pg_temp.defer('cancelled'), pg_temp.defer('two'), pg_temp.defer('three');
select procrastinate_cancel_job(pg_temp.job('cancelled'));
select results_eq(
    $$ select pg_temp.ahead(n) from unnest('{one,two,three}'::text[]) n $$, array['ready 0', 'behind 1', 'behind 2'],
    'a job is behind those of its lane that go before it, and not behind what is left of others');
select pg_temp.defer('one', task => 'urgent', priority => 1), pg_temp.defer('one', queue => 'mail', priority => 1), pg_temp.defer('one', task => 'late', priority => -1);
select is(pg_temp.ahead('three'), 'behind 4', 'those of higher priority go before it, of any queue and task that its workers serve');
select pg_temp.defer('elsewhere', queue => 'other', priority => 1), pg_temp.defer('held back', queue => 'off', priority => 1);
select procrastinate_pause_queue('off');
select is(pg_temp.ahead('three'), 'behind 4', 'not so those of other workers, or of paused queues');
select pg_temp.defer('locked', lock => 'l', priority => 1), pg_temp.defer('locked too', lock => 'l', priority => 1);
select is(pg_temp.ahead('three'), 'behind 5', 'a lock counts as one');
select procrastinate_change_job(j.id, priority => -1) from procrastinate_jobs j where j.task_name = 'urgent';
select is(pg_temp.ahead('three'), 'behind 4', 'and what is left of a job that went elsewhere as none');
update procrastinate_workers w set queues = '{default}', tasks = '{task}' where w.id = :worker;
select pg_temp.defer('two', task => 'urgent', priority => 1);
select is(pg_temp.ahead('three'), 'behind 3', 'nor what its workers do not serve');
rollback to empty;

-- as if each were deferred by a transaction of its own
create temp sequence xid start 3;
create function pg_temp.xid() returns xid8 language sql as $$ select nextval('xid')::text::xid8 $$;
alter table procrastinate_tokens alter xid set default pg_temp.xid();
select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer('one', task => 'other'), pg_temp.defer('two', lock => 'm'), pg_temp.defer('locked', lock => 'l'), pg_temp.defer('three');
select results_eq(
    $$ select pg_temp.ahead(n) from unnest('{one,two,locked,three}'::text[]) n $$, array['ready 0', 'behind 1', 'behind 2', 'behind 3'],
    'those of other tasks, and other locks, that were ready before go before');
insert into procrastinate_tokens (lane, id) values (procrastinate_lane_for('default', 'task', 1, 'locked'), hashtextextended('l', 0));
select is(pg_temp.ahead('locked'), 'behind 2', 'but not a token of its own lock');
update procrastinate_lock_queue q set held = true where q.job_id = pg_temp.job('two');
select is(pg_temp.ahead('locked'), 'behind 1', 'nor those of locks that are held');
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select procrastinate_return_jobs(:worker, array[pg_temp.job('one')]);
select is(pg_temp.ahead('one'), 'ready 0', 'none of them goes before a job that was given back');
update procrastinate_tokens t set lane = 0 where t.id = hashtextextended('l', 0);
select is(pg_temp.ahead('locked'), 'ready 0', 'or before a lock that was handed over');
rollback to empty;

select procrastinate_register_worker('first') as worker \gset
select pg_temp.defer('one'), pg_temp.defer('two');
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select procrastinate_return_jobs(:worker, array[pg_temp.job('one')]);
select procrastinate_defer('task', '{"name": "three"}') \g /dev/null
select results_eq(
    $$ select n || ': ' || (e.reason, e.detail -> 'ahead')::text from unnest('{one,two,three}'::text[]) n cross join lateral procrastinate_explain_job(pg_temp.job(n)) e $$,
    array['one: (ready,0)', 'two: (behind,1)', 'three: (behind,2)'], 'a job that was given back goes before the others');
rollback to empty;

select count(procrastinate_defer('task', schedule_in => '1 h')) from generate_series(1, 1000);
select procrastinate_defer('task', '{"name": "in the agenda"}', schedule_in => '2 h'), procrastinate_defer('task', '{"name": "not in it"}', schedule_in => '2 h');
delete from procrastinate_agenda a where a.id = pg_temp.job('not in it');
update procrastinate_ticks t set agenda_xid = '9000000000000000000';
select results_eq(
    $$ select pg_temp.reasons(n) from unnest('{in the agenda,not in it}'::text[]) n $$, array['future, worker', 'hint, future, worker'],
    'a future job that is lost is found behind any number of others');
rollback to empty;

select procrastinate_register_worker('first') as worker \gset
select count(procrastinate_defer('task')) from generate_series(1, 999);
select pg_temp.defer('in sight'), pg_temp.defer('last of them'), pg_temp.defer('out of sight');
select results_eq(
    $$ select e.reason, e.detail -> 'ahead', e.detail -> 'at_least' from unnest('{in sight,last of them,out of sight}'::text[]) n cross join lateral pg_temp.explain(n) e $$,
    $$ values ('behind', '999'::jsonb, 'false'::jsonb), ('behind', '1000', 'true'), ('behind', '1000', 'true') $$, 'beyond a thousand nobody counts, here too');
savepoint before;
set local transaction_read_only = on;
select is(pg_temp.reasons('in sight'), 'behind', 'a transaction that may not write may explain');
rollback to before;
select is(
    (select e.detail -> 'since' from procrastinate_explain_job(pg_temp.job('in sight')) e),
    (select to_jsonb(j.deferred_at) from procrastinate_jobs j where j.id = pg_temp.job('in sight')), 'a job that waits for others says since when');

select * from finish();
rollback;
