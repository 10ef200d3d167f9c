-- How many pages a call reads: at most 500, and 60 for each job it deals with, whatever else is in the tables. Here that is a million
-- jobs: 350,000 for later, 350,000 that ended, and 300,000 behind 2,001 locks, a third of them behind one.
begin;
select plan(10);
set local client_min_messages = warning;
select setseed(0) \g /dev/null

-- The tables get new files, which go with this transaction: a million dead rows would do the tests to come no good.
truncate
    procrastinate_jobs, procrastinate_attempts, procrastinate_workers, procrastinate_tokens, procrastinate_floors, procrastinate_agenda,
    procrastinate_ticks, procrastinate_lock_queue, procrastinate_queueing_locks, procrastinate_leases, procrastinate_retention;
select procrastinate_repair() \g /dev/null

-- As if each call were a transaction of its own, a second after the last: what it wrote is somebody else's for the next. Ticks tidy
-- when they are told to.
create temp sequence xid start 3;
create function pg_temp.xid() returns xid8 language sql as $$ select currval('xid')::text::xid8 $$;
alter table procrastinate_tokens alter xid set default pg_temp.xid();
alter table procrastinate_agenda alter xid set default pg_temp.xid();
create function pg_temp.end_transaction() returns void language sql as $$
    select nextval('xid');
    update procrastinate_ticks t set at = t.at - interval '1 s', tidied_at = 'infinity';
$$;
select pg_temp.end_transaction() \g /dev/null

create function pg_temp.pages(p_call text) returns bigint language plpgsql as $function$
declare
    v_plan json;
begin
    execute 'explain (analyze, buffers, format json) select * from ' || p_call into v_plan;
    v_plan := v_plan -> 0 -> 'Plan';
    return (v_plan ->> 'Shared Hit Blocks')::bigint + (v_plan ->> 'Shared Read Blocks')::bigint;
end;
$function$;

-- A new worker, for one task.
create function pg_temp.register(p_name text, p_task text) returns void language sql as $$
    select set_config('test.' || p_name, procrastinate_register_worker(p_name, tasks => array[p_task], stalled_after => '1 day')::text, true)
$$;

-- Who fetched last, and what, is remembered where that reads no page.
create function pg_temp.hold(p_worker text, p_ids bigint[], p_count integer) returns void language plpgsql as $function$
begin
    if cardinality(p_ids) <> p_count then
        raise exception '% got % jobs, not %', p_worker, cardinality(p_ids), p_count;
    end if;
    perform set_config('test.worker', p_worker, true), set_config('test.held', p_ids::text, true);
end;
$function$;
create function pg_temp.worker(p_name text default current_setting('test.worker')) returns bigint language sql as
    $$ select current_setting('test.' || p_name)::bigint $$;
create function pg_temp.held() returns bigint[] language sql as $$ select current_setting('test.held')::bigint[] $$;
create function pg_temp.job() returns bigint language sql as $$ select (pg_temp.held())[1] $$;
create function pg_temp.results() returns jsonb[] language sql as $$ select array(select '{"ok": true}'::jsonb from unnest(pg_temp.held())) $$;
create function pg_temp.fetch(p_worker text, p_max_jobs integer) returns void language sql as
    $$ select pg_temp.hold(p_worker, array(select f.id from procrastinate_fetch_jobs(pg_temp.worker(p_worker), p_max_jobs) f), p_max_jobs) $$;
create function pg_temp.exchange(p_max_jobs integer) returns void language sql as $$
    select pg_temp.hold(current_setting('test.worker'), array(
        select x.id from procrastinate_exchange_jobs(pg_temp.worker(), pg_temp.held(), pg_temp.results(), p_max_jobs) x), p_max_jobs)
$$;

-- Jobs of a kind, which is the name of their task, and their hints, as if workers had been at them: of each lock one token is left.
create function pg_temp.load(p_kind text, p_count integer) returns void language plpgsql as $function$
declare
    v_first bigint := nextval('procrastinate_jobs_id_seq');
    v_lane  integer := procrastinate_lane_for('default', p_kind, 0, case when p_kind in ('locked', 'hot') then 'locked' else 'plain' end);
begin
    with job as (
        insert into procrastinate_jobs as j (
            id, task_name, lock, lock_key, queueing_lock, scheduled_at, status, attempts, worker_id, started_at, finished_at, error)
        select
            v_first + n, p_kind,
            k.lock, hashtextextended(k.lock, 0),
            case when p_kind = 'later' and n % 2 = 0 then 'later-' || v_first + n end,
            case p_kind when 'later' then now() + interval '1 day' + n * interval '1 s' end,
            case when k.running then 'doing' when p_kind = 'ended' then 'succeeded' when p_kind = 'broken' then 'failed' else 'todo'
                end::procrastinate_job_status,
            case when k.over then 1 else 0 end,
            case when k.running then pg_temp.worker('other') end,
            case when k.running or k.over then now() end,
            case when k.over then now() end,
            case p_kind when 'broken' then 'no reason given' end
        from generate_series(1, p_count) n
        cross join lateral (
            select
                p_kind = 'blocked' and n <= 500 as running, p_kind in ('ended', 'broken') as over,
                case p_kind when 'locked' then 'locked-' || v_first + n when 'blocked' then 'blocked-' || v_first + n % 500 when 'hot' then 'hot' end as lock
        ) k
        returning j.*
    ), attempt as (
        insert into procrastinate_attempts (job_id, kind, attempt, error) select j.id, 'failed', 1, j.error from job j where j.status = 'failed'
    ), agenda as (
        insert into procrastinate_agenda (at, id) select j.scheduled_at, j.id from job j where j.scheduled_at is not null
    ), queueing as (
        insert into procrastinate_queueing_locks (queueing_lock, job_id)
        select j.queueing_lock, j.id from job j where j.queueing_lock is not null
    ), queued as (
        insert into procrastinate_lock_queue (key, held, priority, job_id)
        select j.lock_key, j.status = 'doing', j.priority, j.id from job j where j.lock_key is not null
    ), lease as (
        insert into procrastinate_leases (worker_id, job_ids)
        select j.worker_id, array_agg(j.id) from job j where j.status = 'doing' group by j.worker_id, j.id / 100
    ), note as (
        insert into procrastinate_retention (delete_at, job_ids)
        select now() + interval '1 day', array_agg(j.id) from job j where j.status in ('succeeded', 'failed') group by j.id / 1000
    )
    insert into procrastinate_tokens (lane, id)
    select v_lane, coalesce(j.lock_key, j.id)
    from job j
    where p_kind in ('plain', 'locked') or p_kind = 'hot' and j.id = v_first + 1;

    perform setval('procrastinate_jobs_id_seq', v_first + p_count), setval('last_' || p_kind, v_first + p_count);
end;
$function$;
select format('create temp sequence %I', 'last_' || kind) from unnest('{later,ended,broken,blocked,hot,plain,locked}'::text[]) kind \gexec

-- The last job of a kind that was not taken yet.
create function pg_temp.next(p_kind text) returns bigint language sql as
    $$ select setval('last_' || p_kind, nextval('last_' || p_kind) - 2) + 1 $$;

create function pg_temp.become_due(p_count integer) returns void language sql as $$
    with job as (
        update procrastinate_jobs j set scheduled_at = clock_timestamp()
        where j.id = any (array(select pg_temp.next('later') from generate_series(1, p_count)))
        returning j.id
    )
    insert into procrastinate_agenda (at, id) select clock_timestamp(), j.id from job j;
    update procrastinate_ticks t set tidied_at = clock_timestamp();
$$;
create function pg_temp.find_held(p_count integer) returns void language sql as $$
    insert into procrastinate_tokens (lane, id)
    select l.lane, q.key
    from procrastinate_lanes l, (select q.key from procrastinate_lock_queue q where q.held limit p_count) q
    where l.task_name = 'hot' and l.kind = 'locked'
$$;
create function pg_temp.lose(p_name text, p_count integer) returns void language plpgsql as $function$
begin
    perform pg_temp.register(p_name, 'plain');
    perform pg_temp.fetch(p_name, p_count);
    perform pg_temp.keep_tidy();
    update procrastinate_workers w set last_heartbeat = now() - interval '2 days' where w.id = pg_temp.worker();
end;
$function$;
-- Or a tick tidies, if the last one that did is ten seconds ago by then: that has a line of its own.
create function pg_temp.keep_tidy() returns void language sql as $$ update procrastinate_ticks t set tidied_at = clock_timestamp() $$;
create function pg_temp.make_untidy() returns void language sql as $$
    update procrastinate_leases l set at = l.at - interval '10 s';
    update procrastinate_ticks t set tidied_at = now() - interval '1 min', tidied_lease = '-infinity';
$$;
create function pg_temp.outlive(p_count integer) returns void language sql as $$
    with job as (
        update procrastinate_jobs j set finished_at = now() - interval '1 year'
        where j.id = any (array(select pg_temp.next('ended') from generate_series(1, p_count)))
        returning j.id
    )
    insert into procrastinate_retention (delete_at, job_ids) select now(), array_agg(j.id) from job j;
    update procrastinate_ticks t set pruned_at = '-infinity';
$$;
create function pg_temp.skip() returns bigint language sql as
    $$ select procrastinate_defer('later', queueing_lock => 'mine', schedule_in => '1 h', on_conflict => 'skip') $$;
create temp table one (id bigint primary key);
create trigger one after insert on one for each row execute function procrastinate_defer_row('plain');
create temp table hundred (id bigint primary key);
create trigger hundred after insert on hundred referencing new table as new_rows for each statement
    execute function procrastinate_defer_row('locked', 'lock=row-{id}');
create function pg_temp.insert_row() returns void language sql as $$ insert into one select count(*) from one $$;
create function pg_temp.insert_rows(p_count bigint) returns void language sql as
    $$ insert into hundred select c.n + g.n from (select count(*) from hundred) c(n), generate_series(1, p_count) g(n) $$;
create function pg_temp.delete_job(p_id bigint) returns void language plpgsql set enable_seqscan = off as
    $$ begin delete from procrastinate_jobs j where j.id = p_id; end $$;

-- What is counted, how many jobs it deals with (and how many times 100, in place of which there may be 1), and what comes before it.
-- To tidy is to look at all jobs that run, 2,000 of them, but not at 60 pages for each; to explain, at a thousand that go before.
create temp table call (n integer generated always as identity, what text, jobs integer, hundreds integer, before text, call text);
insert into call (what, jobs, hundreds, before, call) values
    ('fetch a job', 1, 0, null, $$ pg_temp.fetch('plain', 1) $$),
    ('finish a job', 1, 0, null, $$ procrastinate_finish_jobs(pg_temp.worker(), pg_temp.held(), pg_temp.results()) $$),
    ('fetch 100 jobs', 0, 1, null, $$ pg_temp.fetch('plain', 100) $$),
    ('finish 100 jobs', 0, 1, null, $$ procrastinate_finish_jobs(pg_temp.worker(), pg_temp.held(), pg_temp.results()) $$),
    ('exchange 100 jobs', 0, 2, $$ pg_temp.fetch('plain', 100) $$, $$ pg_temp.exchange(100) $$),
    ('fail 100 jobs', 0, 1, null, $$ procrastinate_fail_jobs(pg_temp.worker(), pg_temp.held()) $$),
    ('exchange a job', 2, 0, $$ pg_temp.fetch('plain', 1) $$, $$ pg_temp.exchange(1) $$),
    ('fail a job', 1, 0, null, $$ procrastinate_fail_job(pg_temp.worker(), pg_temp.job()) $$),
    ('fail a job for good', 1, 0, $$ pg_temp.fetch('plain', 1) $$, $$ procrastinate_fail_job(pg_temp.worker(), pg_temp.job(), final => true) $$),
    ('snooze a job', 1, 0, $$ pg_temp.fetch('plain', 1) $$, $$ procrastinate_snooze_job(pg_temp.worker(), pg_temp.job(), '1 h') $$),
    ('return a job', 1, 0, $$ pg_temp.fetch('plain', 1) $$, $$ procrastinate_return_jobs(pg_temp.worker(), pg_temp.held()) $$),
    ('ask a job to abort', 1, 0, $$ pg_temp.fetch('plain', 1) $$, $$ procrastinate_cancel_job(pg_temp.job(), abort => true) $$),
    ('beat', 1, 0, null, $$ procrastinate_beat(pg_temp.worker()) $$),
    ('abort a job', 1, 0, null, $$ procrastinate_abort_job(pg_temp.worker(), pg_temp.job()) $$),
    ('return 100 jobs', 0, 1, $$ pg_temp.fetch('plain', 100) $$, $$ procrastinate_return_jobs(pg_temp.worker(), pg_temp.held()) $$),
    ('fetch 100 jobs that were returned', 0, 1, null, $$ pg_temp.fetch('plain', 100) $$),
    ('finish 100 jobs without results', 0, 1, null, $$ procrastinate_finish_jobs(pg_temp.worker(), pg_temp.held()) $$),
    ('register a worker', 0, 0, null, $$ pg_temp.register('short', 'plain') $$),
    ('keep none of 100 jobs', 0, 1, $$ pg_temp.fetch('short', 100) $$, $$ procrastinate_keep_jobs(pg_temp.worker(), '{}') $$),
    ('unregister with 100 jobs', 0, 2, $$ pg_temp.fetch('short', 100) $$, $$ procrastinate_unregister_worker(pg_temp.worker()) $$),
    ('fetch nothing', 0, 0, null, $$ procrastinate_fetch_jobs(pg_temp.worker('idle'), 100) $$),

    ('fetch a job with a lock', 1, 0, null, $$ pg_temp.fetch('locked', 1) $$),
    ('finish a job with a lock', 1, 0, null, $$ procrastinate_finish_jobs(pg_temp.worker(), pg_temp.held(), pg_temp.results()) $$),
    ('fetch 100 jobs with locks', 0, 1, null, $$ pg_temp.fetch('locked', 100) $$),
    ('finish 100 jobs with locks', 0, 1, null, $$ procrastinate_finish_jobs(pg_temp.worker(), pg_temp.held(), pg_temp.results()) $$),
    ('exchange 100 jobs with locks', 0, 2, $$ pg_temp.fetch('locked', 100) $$, $$ pg_temp.exchange(100) $$),
    ('fail 100 jobs with locks', 0, 1, null, $$ procrastinate_fail_jobs(pg_temp.worker(), pg_temp.held()) $$),
    ('return 100 jobs with locks', 0, 1, $$ pg_temp.fetch('locked', 100) $$, $$ procrastinate_return_jobs(pg_temp.worker(), pg_temp.held()) $$),
    ('pass 100 locks on', 0, 1, $$ pg_temp.keep_tidy() $$, $$ procrastinate_tick() $$),

    ('fetch the first of 100,000 of a lock', 1, 0, null, $$ pg_temp.fetch('hot', 1) $$),
    ('exchange it for the next', 2, 0, null, $$ pg_temp.exchange(1) $$),
    ('return it', 1, 0, null, $$ procrastinate_return_jobs(pg_temp.worker(), pg_temp.held()) $$),
    ('fetch it once more', 1, 0, null, $$ pg_temp.fetch('hot', 1) $$),
    ('fail it', 1, 0, null, $$ procrastinate_fail_job(pg_temp.worker(), pg_temp.job()) $$),
    ('cancel one of 100,000 of a lock', 1, 0, $$ pg_temp.fetch('hot', 1) $$, $$ procrastinate_cancel_job(pg_temp.next('hot')) $$),
    ('change the priority of one of them', 1, 0, null, $$ procrastinate_change_job(pg_temp.next('hot'), priority => -1) $$),
    ('delete one of them', 1, 0, null, $$ pg_temp.delete_job(pg_temp.next('hot')) $$),
    ('put off one of them', 1, 0, null, $$ procrastinate_change_job(pg_temp.next('hot'), schedule_at => 'tomorrow') $$),
    ('defer one more of them', 1, 0, null, $$ procrastinate_defer('hot', lock => 'hot') $$),
    ('defer 100 more of them', 0, 1, null,
        $$ procrastinate_defer_many((select jsonb_agg('{"task": "hot", "lock": "hot"}'::jsonb) from generate_series(1, 100))) $$),
    ('find 100 locks held', 0, 1, $$ pg_temp.find_held(100) $$, $$ procrastinate_fetch_jobs(pg_temp.worker(), 100) $$),
    ('finish the first of 100,000 of a lock', 1, 0, null, $$ procrastinate_finish_jobs(pg_temp.worker(), pg_temp.held()) $$),

    ('defer a job', 1, 0, null, $$ procrastinate_defer('plain') $$),
    ('defer a job for later', 1, 0, null, $$ procrastinate_defer('later', schedule_in => '1 h') $$),
    ('defer a job with a queueing lock', 1, 0, null, $$ procrastinate_defer('later', queueing_lock => random()::text, schedule_in => '1 h') $$),
    ('skip a job', 1, 0, $$ pg_temp.skip() $$, $$ pg_temp.skip() $$),
    ('replace a job', 1, 0, null, $$ procrastinate_defer('later', queueing_lock => 'mine', schedule_in => '2 h', on_conflict => 'replace') $$),
    ('defer 100 jobs', 0, 1, null, $$ procrastinate_defer_many((select jsonb_agg('{"task": "plain"}'::jsonb) from generate_series(1, 100))) $$),
    ('defer 100 jobs with locks', 0, 1, null,
        $$ procrastinate_defer_many((select jsonb_agg(jsonb_build_object('task', 'locked', 'lock', 'new-' || random())) from generate_series(1, 100) n)) $$),
    ('defer a job for a row', 1, 0, null, $$ pg_temp.insert_row() $$),
    ('defer jobs for 100 rows', 0, 1, null, $$ pg_temp.insert_rows(100) $$),
    ('status', 1, 0, null, $$ procrastinate_job_status(pg_temp.next('ended')) $$),
    ('explain a job that ended', 1, 0, null, $$ procrastinate_explain_job(pg_temp.next('ended')) $$),
    ('explain a job for later', 1, 0, null, $$ procrastinate_explain_job(pg_temp.next('later')) $$),
    ('explain the last of many', 150, 0, null, $$ procrastinate_explain_job(pg_temp.next('plain')) $$),
    ('explain the last of many with locks', 150, 0, null, $$ procrastinate_explain_job(pg_temp.next('locked')) $$),
    ('explain the last of 100,000 of a lock', 150, 0, null, $$ procrastinate_explain_job(pg_temp.next('hot')) $$),
    ('explain a job behind one that runs', 1, 0, null, $$ procrastinate_explain_job(pg_temp.next('blocked')) $$),
    ('retry a job', 1, 0, null, $$ procrastinate_retry_job(pg_temp.next('broken')) $$),
    ('delete a job that ended', 1, 0, null, $$ pg_temp.delete_job(pg_temp.next('ended')) $$),
    ('delete 100 jobs that were kept long enough', 0, 1, $$ pg_temp.outlive(100) $$, $$ procrastinate_tick() $$),
    ('hasten a job', 1, 0, null, $$ procrastinate_change_job(pg_temp.next('later'), schedule_at => 'yesterday') $$),
    ('cancel a job for later', 1, 0, null, $$ procrastinate_cancel_job(pg_temp.next('later')) $$),

    -- once they have passed the few jobs that were loaded first
    ('go on cancelling 100 jobs of a task', 0, 1, $$ procrastinate_cancel_jobs('later', max_jobs => 1) $$,
        $$ procrastinate_cancel_jobs('later', max_jobs => 100) $$),
    ('go on retrying 100 jobs that failed', 0, 1, $$ procrastinate_retry_jobs(statuses => '{failed}', max_jobs => 90) $$,
        $$ procrastinate_retry_jobs(statuses => '{failed}', max_jobs => 100) $$),
    ('go on deleting 100 jobs that ended', 0, 1, $$ procrastinate_prune_jobs('0', '{succeeded}', max_jobs => 90) $$,
        $$ procrastinate_prune_jobs('0', '{succeeded}', max_jobs => 100) $$),
    ('look whether few run', 0, 0, null, $$ procrastinate_few_jobs(null, null, '{doing}') $$),
    ('look whether few failed', 300, 0, null, $$ procrastinate_few_jobs(null, null, '{failed}') $$),
    ('look whether a task has few', 300, 0, null, $$ procrastinate_few_jobs('ended', null, '{succeeded}') $$),

    ('tick', 0, 0, $$ pg_temp.keep_tidy() $$, $$ procrastinate_tick() $$),
    ('promote 100 jobs', 0, 1, $$ pg_temp.become_due(100) $$, $$ procrastinate_tick() $$),
    ('rescue 100 jobs', 0, 1, $$ pg_temp.lose('silent', 100) $$, $$ procrastinate_tick() $$),
    ('tidy', 200, 2, $$ pg_temp.make_untidy() $$, $$ procrastinate_tick() $$);

create temp table got (n integer, batch integer, pages bigint);
create temp view too_many as
select c.what, g.pages, 500 + 60 * (c.jobs + c.hundreds * g.batch) as most
from got g
join call c using (n)
where g.pages > 500 + 60 * (c.jobs + c.hundreds * g.batch);

create function pg_temp.pass(p_batch integer) returns void language plpgsql as $function$
declare
    v_call call;
begin
    delete from got;
    for v_call in select * from call order by n loop
        if v_call.before is not null then
            execute 'select from ' || replace(v_call.before, '100', p_batch::text);
        end if;
        insert into got (n, batch, pages) values (v_call.n, p_batch, pg_temp.pages(replace(v_call.call, '100', p_batch::text)));
        perform pg_temp.end_transaction();
    end loop;
end;
$function$;

select pg_temp.register(name, task)
from (values ('other', 'blocked'), ('plain', 'plain'), ('locked', 'locked'), ('hot', 'hot'), ('idle', 'nothing')) w(name, task) \g /dev/null
select procrastinate_define_task(task, max_attempts => 9, retry_wait => '1 h') from unnest('{plain,locked,hot}'::text[]) task \g /dev/null

-- Plans made now are for tables with next to nothing in them, and so are the statistics.
select pg_temp.load(kind, 10) from unnest('{later,ended,broken,blocked,hot}'::text[]) kind \g /dev/null
select pg_temp.load(kind, 25) from unnest('{plain,locked}'::text[]) kind \g /dev/null
analyze
    procrastinate_jobs, procrastinate_attempts, procrastinate_tokens, procrastinate_agenda, procrastinate_lock_queue,
    procrastinate_queueing_locks, procrastinate_leases, procrastinate_retention;
set local plan_cache_mode = force_generic_plan;
select pg_temp.pass(1) \g /dev/null
select is_empty('select * from procrastinate_check()', 'all is well with what was loaded, and with what was done to it');

select format('do $do$ begin perform pg_temp.load(%L, 50000); end; $do$', kind)
from (values ('later', 7), ('ended', 5), ('broken', 2), ('blocked', 4), ('hot', 2)) k(kind, times)
cross join generate_series(1, times) \gexec
select pg_temp.load(kind, 9000) from unnest('{plain,locked}'::text[]) kind \g /dev/null
select cmp_ok(pg_temp.pages('procrastinate_jobs'), '>', 40000::bigint, 'to read all jobs is to read more than 40,000 pages');

select pg_temp.pass(1) \g /dev/null
select is_empty('table too_many', 'with plans of when the tables were empty no call for a job reads many pages');
select pg_temp.pass(100) \g /dev/null
select is_empty('table too_many', 'with plans of when the tables were empty no call for a hundred reads many');

discard plans;
select pg_temp.pass(1) \g /dev/null
select is_empty('table too_many', 'with statistics of when the tables were empty no call for a job reads many pages');
select pg_temp.pass(100) \g /dev/null
select is_empty('table too_many', 'with statistics of when the tables were empty no call for a hundred reads many');
set local plan_cache_mode = force_custom_plan;
select pg_temp.pass(1) \g /dev/null
select is_empty('table too_many', 'with such statistics, and a plan for each call, no call for a job reads many');

analyze
    procrastinate_jobs, procrastinate_attempts, procrastinate_tokens, procrastinate_agenda, procrastinate_lock_queue,
    procrastinate_queueing_locks, procrastinate_leases, procrastinate_retention;
discard plans;
select pg_temp.pass(1) \g /dev/null
select is_empty('table too_many', 'with fresh statistics, and a plan for each call, no call for a job reads many pages');
set local plan_cache_mode = force_generic_plan;
discard plans;
select pg_temp.pass(1) \g /dev/null
select is_empty('table too_many', 'with fresh statistics no call for a job reads many pages');
select pg_temp.pass(100) \g /dev/null
select is_empty('table too_many', 'with fresh statistics no call for a hundred reads many');

select * from finish();
rollback;
