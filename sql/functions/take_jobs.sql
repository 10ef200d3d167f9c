-- What the functions that act by filter have in common: which jobs are meant, and how to get their rows.
create or replace function procrastinate_check_filter(
    p_task       text,
    p_queue      text,
    p_statuses   text[],
    p_older_than interval,
    p_max_jobs   integer,
    p_usual      text[],
    p_accepted   text[]
)
returns procrastinate_job_status[]
language plpgsql
immutable
set search_path from current
as $function$
begin
    if num_nonnulls(p_task, p_queue, p_statuses, p_older_than) = 0 then
        raise exception 'invalid filter: task, queue, statuses and older_than are all NULL'
            using errcode = 'PJ001', detail = 'Nothing says which jobs are meant.', hint = format('For all of them: statuses => %L.', p_usual);
    elsif p_statuses = '{}' or not p_statuses <@ p_accepted then
        raise exception 'invalid statuses: %', p_statuses
            using errcode = 'PJ001', detail = format('Some of %s are accepted.', p_accepted);
    elsif p_max_jobs is null or p_max_jobs < 1 then
        raise exception 'invalid max_jobs: %', coalesce(p_max_jobs::text, 'NULL') using errcode = 'PJ001', detail = 'At least 1 is accepted.';
    end if;
    if p_task is not null then
        perform procrastinate_check_name('task', p_task);
    end if;
    if p_queue is not null then
        perform procrastinate_check_name('queue', p_queue);
    end if;
    perform procrastinate_check_span('older_than', p_older_than);
    return array(select distinct s::procrastinate_job_status from unnest(coalesce(p_statuses, p_usual)) s);
end;
$function$;

comment on function procrastinate_check_filter(text, text, text[], interval, integer, text[], text[]) is
    'The statuses that are meant, p_usual if none were named. Raises PJ001 for what is out of its range, and when nothing was said at all.';

-- No index of jobs mentions the status. But what waits or runs is in the hints, what failed has an error, and a task has an
-- index: when one of these names few jobs, they are all that need be looked at. That none is missing is invariants 1 to 4, 6 and 10
-- (docs/ARCHITECTURE.md), in each snapshot; which of them really match, the caller sees. Tokens are read without floors: dead
-- entries cost only time.
create or replace function procrastinate_few_jobs(p_task text, p_queue text, p_statuses procrastinate_job_status[])
returns bigint[]
language plpgsql
stable
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    c_few constant integer := 100000;
    v_ids bigint[];
begin
    if p_statuses <@ '{todo,doing}' then
        v_ids := array(
            select h.id
            from (
                select t.id
                from procrastinate_lanes l
                cross join lateral (select x.id from procrastinate_tokens x where x.lane = l.lane offset 0) t
                where l.kind in ('plain', 'returned') and 'todo' = any (p_statuses)
                  and coalesce(l.task_name = p_task, true) and coalesce(l.queue_name = p_queue, true)
                union all
                select q.job_id from procrastinate_lock_queue q where not q.held and 'todo' = any (p_statuses)
                union all
                select a.id from procrastinate_agenda a where 'todo' = any (p_statuses)
                union all
                select unnest(l.job_ids) from procrastinate_leases l where 'doing' = any (p_statuses)
            ) h
            limit c_few + 1);
    elsif p_statuses = '{failed}' then
        v_ids := array(select j.id from procrastinate_jobs j where j.error is not null limit c_few + 1);
    end if;
    if p_task is not null and (v_ids is null or cardinality(v_ids) > c_few) then
        v_ids := array(select j.id from procrastinate_jobs j where j.task_name = p_task limit c_few + 1);
    end if;
    return case when cardinality(v_ids) <= c_few then array(select distinct i from unnest(v_ids) i order by 1) end;
end;
$function$;

comment on function procrastinate_few_jobs(text, text, procrastinate_job_status[]) is
    'Ids of jobs, in order, among which are all that have one of the statuses and are of the task and queue (NULL: of any); NULL if they may be more than 100,000.';

-- Rows are taken skip locked, so several calls share the work, nobody is waited for, and the order in which others take
-- them does not matter; what somebody has is for the next call. The condition holds for the newest version of a row, which is the one
-- that gets locked. What belongs to the jobs the caller looks for in later statements: first the lock, then the look.
--
-- Where the filter may mean many jobs, all of them are walked over in the order of their ids. A call for the same filter goes on
-- where the session's last one ended, else a million jobs in batches would be walked over fifty million times, and at the end it
-- turns to the beginning. So the place is a hint: a call that finds fewer than p_max_jobs has looked everywhere. It is in
-- a setting, not in a table, for there other calls would wait for it; behind a transaction pooler it may be that of another client.
create or replace function procrastinate_take_jobs(
    p_act        text,
    p_task       text,
    p_queue      text,
    p_statuses   procrastinate_job_status[],
    p_older_than interval,
    p_max_jobs   integer
)
returns bigint[]
language plpgsql
volatile
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    c_first  constant bigint := -9223372036854775808;
    c_last   constant bigint := 9223372036854775807;
    v_before timestamptz := clock_timestamp() - p_older_than;
    v_filter text        := row(p_act, p_task, p_queue, p_statuses)::text;
    v_place  bigint;
    v_few    bigint[];
    v_ids    bigint[]    := '{}'::bigint[];
begin
    if current_setting('procrastinate.bulk_filter', true) = v_filter then
        v_place := nullif(current_setting('procrastinate.bulk_place', true), '')::bigint;
    end if;
    if v_place is null then
        v_place := c_first;
        v_few := procrastinate_few_jobs(p_task, p_queue, p_statuses);
    end if;
    if v_few is not null then
        return array(
            select j.id
            from unnest(v_few) i
            cross join lateral (
                select x.id
                from procrastinate_jobs x
                where x.id = i
                  and x.status = any (p_statuses) and not x.abort_requested
                  and (p_task is null or x.task_name = p_task) and (p_queue is null or x.queue_name = p_queue)
                  and (v_before is null
                       or case x.status when 'todo' then x.deferred_at when 'doing' then x.started_at else x.finished_at end < v_before)
                for update skip locked
            ) j
            limit p_max_jobs);
    end if;

    for v_lap in 1 .. 2 loop
        v_ids := v_ids || array(
            select x.id
            from procrastinate_jobs x
            where x.id > case v_lap when 1 then v_place else c_first end and x.id <= case v_lap when 1 then c_last else v_place end
              and x.status = any (p_statuses) and not x.abort_requested
              and (p_task is null or x.task_name = p_task) and (p_queue is null or x.queue_name = p_queue)
              and (v_before is null
                   or case x.status when 'todo' then x.deferred_at when 'doing' then x.started_at else x.finished_at end < v_before)
            order by x.id
            limit p_max_jobs - cardinality(v_ids)
            for update skip locked);
        exit when cardinality(v_ids) = p_max_jobs;
    end loop;
    perform
        set_config('procrastinate.bulk_filter', v_filter, false),
        set_config('procrastinate.bulk_place', case when cardinality(v_ids) = p_max_jobs then v_ids[p_max_jobs]::text else '' end, false);
    return v_ids;
end;
$function$;

comment on function procrastinate_take_jobs(text, text, text, procrastinate_job_status[], interval, integer) is
    'Lock the rows of jobs that have one of the statuses, and had it for p_older_than, are of the task and queue (NULL: any), and are not asked to abort; p_act: for what. Returns at most p_max_jobs ids; fewer: there were no more, but those that somebody has.';
