-- {name} in a task's lock stands for an argument: customer-{customer_id}. The value of an argument is never looked into for braces.
create or replace function procrastinate_fill_template(
    p_template text,
    p_args     jsonb,
    p_what     text default 'lock of the task',
    p_whose    text default 'args'
)
returns text
language plpgsql
immutable
set search_path from current
as $function$
declare
    v_piece  text[];
    v_filled text := '';
begin
    -- a loop, for it can name the argument that is missing; each piece is some text and a {name}, the last name empty
    for v_piece in select m.piece from regexp_matches(p_template || '{}', '([^{}]*)\{([^{}]*)\}', 'g') m(piece) loop
        if v_piece[2] <> '' and p_args ->> v_piece[2] is null then
            raise exception '% lack %, which the % names', p_whose, v_piece[2], p_what
                using errcode = 'PJ008', detail = format('The %s is %s.', p_what, p_template),
                      hint = case p_whose when 'args' then 'Give the argument, or the lock.'
                          else 'A column that is NULL counts as none; a WHEN of the trigger can leave such rows out.' end;
        end if;
        v_filled := v_filled || v_piece[1] || coalesce(p_args ->> v_piece[2], '');
    end loop;
    return v_filled;
end;
$function$;

comment on function procrastinate_fill_template(text, jsonb, text, text) is
    'The template with each {name} replaced by that argument, or column. Raises PJ008 for one that is absent or null.';

-- A loop with one small expression, for that is what the single job of most calls is checked by fastest: a query, or an
-- expression for each rule, is prepared anew in every transaction. It finds what is wrong; how to say it is looked up after.
create or replace function procrastinate_check_new_jobs(p_jobs procrastinate_new_job[])
returns void
language plpgsql
immutable
set search_path from current
as $function$
declare
    v_job   procrastinate_new_job;
    v_fault text;
begin
    foreach v_job in array p_jobs loop
        v_fault := case
            when (char_length(v_job.task_name) between 1 and 128) is not true then 'task'
            when char_length(v_job.queue_name) not between 1 and 128 then 'queue'
            when jsonb_typeof(v_job.args) <> 'object' then 'args'
            when octet_length(v_job.lock) > 1024 then 'lock'
            when octet_length(v_job.queueing_lock) > 1024 then 'queueing_lock'
            when not isfinite(v_job.scheduled_at) then 'schedule_at'
            when v_job.max_attempts < 1 then 'max_attempts'
            when v_job.timeout < '1 ms' or v_job.timeout > '100 years' then 'timeout'
            when v_job.on_conflict not in ('error', 'skip', 'replace', 'update') then 'on_conflict'
            when jsonb_typeof(v_job.metadata) <> 'object' then 'metadata'
        end;
        continue when v_fault is null;
        if v_fault = 'args' then
            raise exception 'args of task % are a JSON %, not an object', v_job.task_name, jsonb_typeof(v_job.args)
                using errcode = 'PJ008', hint = 'Arguments are given by name: {"to": "a@b.c"}.';
        end if;
        raise exception 'invalid %: %', v_fault, case v_fault
                when 'task' then coalesce(char_length(v_job.task_name) || ' characters, 1 to 128 are accepted', 'NULL')
                when 'queue' then char_length(v_job.queue_name) || ' characters, 1 to 128 are accepted'
                when 'lock' then octet_length(v_job.lock) || ' bytes, at most 1024 are accepted'
                when 'queueing_lock' then octet_length(v_job.queueing_lock) || ' bytes, at most 1024 are accepted'
                when 'schedule_at' then v_job.scheduled_at || ', a finite time is accepted'
                when 'max_attempts' then v_job.max_attempts || ', a job runs at least once'
                when 'timeout' then v_job.timeout || ', from 1 ms to 100 years are accepted'
                when 'on_conflict' then v_job.on_conflict || ', accepted are error, skip, replace and update'
                when 'metadata' then 'a JSON ' || jsonb_typeof(v_job.metadata) || ', not an object'
            end
            using errcode = 'PJ001', detail = 'Nothing was deferred.';
    end loop;
end;
$function$;

comment on function procrastinate_check_new_jobs(procrastinate_new_job[]) is
    'Raises PJ001 (invalid argument) or PJ008 (args) for the first job that may not be deferred as it is.';

-- When a job is to run. Spans count from the moment of the call, on the database's clock.
create or replace function procrastinate_due_at(p_schedule_at timestamptz, p_schedule_in interval)
returns timestamptz
language plpgsql
volatile
set search_path from current
as $function$
begin
    if p_schedule_in is null then
        return p_schedule_at;
    elsif p_schedule_at is not null then
        raise exception 'invalid schedule_in: schedule_at is given too' using errcode = 'PJ001', hint = 'Give one of them.';
    end if;
    perform procrastinate_check_span('schedule_in', p_schedule_in);
    return clock_timestamp() + p_schedule_in;
end;
$function$;

comment on function procrastinate_due_at(timestamptz, interval) is
    'The instant meant by schedule_at or schedule_in; NULL for neither. Raises PJ001 when both are given, or the span is negative or over 100 years.';

-- A new job and its hints, as hint_jobs writes them; nobody else can have written any. For one job only: the statement of
-- insert_jobs, planned for a thousand, costs three times as much.
create or replace function procrastinate_insert_job(p_job procrastinate_new_job)
returns bigint
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_id     bigint;
    v_is_new boolean;
    v_key    bigint  := hashtextextended(p_job.lock, 0);
    v_later  boolean := coalesce(p_job.scheduled_at > clock_timestamp(), false);
begin
    if p_job.queueing_lock is not null and p_job.on_conflict <> 'error' then
        select p.job_id, p.is_new into v_id, v_is_new from procrastinate_take_place(p_job) p;
        if not v_is_new then
            return v_id;
        end if;
    end if;

    insert into procrastinate_jobs as j
        (id, queue_name, task_name, priority, lock, lock_key, queueing_lock, args, scheduled_at, max_attempts, timeout, metadata)
    values (
        coalesce(v_id, nextval('procrastinate_jobs_id_seq')), p_job.queue_name, p_job.task_name, p_job.priority, p_job.lock, v_key,
        p_job.queueing_lock, p_job.args, p_job.scheduled_at, p_job.max_attempts, p_job.timeout, p_job.metadata)
    returning j.id into v_id;
    if p_job.queueing_lock is not null and p_job.on_conflict = 'error' then
        insert into procrastinate_queueing_locks (queueing_lock, job_id) values (p_job.queueing_lock, v_id);
    end if;

    if v_later then
        perform procrastinate_wake_clock(p_job.scheduled_at);
    end if;
    if v_later or current_setting('transaction_isolation') <> 'read committed' then
        insert into procrastinate_agenda (at, id)
        values (case when v_later then p_job.scheduled_at else clock_timestamp() end, v_id);
    end if;
    if v_later then
        return v_id;
    end if;
    if v_key is not null then
        insert into procrastinate_lock_queue (key, held, priority, job_id) values (v_key, false, p_job.priority, v_id);
    end if;
    insert into procrastinate_tokens (lane, id)
    values (
        procrastinate_lane_for(p_job.queue_name, p_job.task_name, p_job.priority, case when v_key is null then 'plain' else 'locked' end),
        coalesce(v_key, v_id));
    return v_id;
end;
$function$;

comment on function procrastinate_insert_job(procrastinate_new_job) is
    'Insert one checked job with its hints, or take the one that waits with its queueing lock. Returns the id.';

-- Sorted by queueing lock, so that two calls with the same ones wait for each other and do not deadlock.
create or replace function procrastinate_insert_jobs(p_jobs procrastinate_new_job[])
returns setof bigint
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_old_snapshot boolean := current_setting('transaction_isolation') <> 'read committed';
    v_ids          bigint[];
    v_next         timestamptz;
begin
    with job as (
        insert into procrastinate_jobs as j
            (queue_name, task_name, priority, lock, lock_key, queueing_lock, args, scheduled_at, max_attempts, timeout, metadata)
        select
            n.queue_name, n.task_name, n.priority, n.lock, hashtextextended(n.lock, 0), n.queueing_lock, n.args, n.scheduled_at,
            n.max_attempts, n.timeout, n.metadata
        from unnest(p_jobs) with ordinality n
        order by n.ordinality
        returning
            j.id, j.queue_name, j.task_name, j.priority, j.lock_key, j.queueing_lock, j.scheduled_at,
            case when j.scheduled_at > clock_timestamp() then null when j.lock_key is null then 'plain' else 'locked' end as kind
    ), waiting as (
        insert into procrastinate_queueing_locks (queueing_lock, job_id)
        select j.queueing_lock, j.id
        from job j
        where j.queueing_lock is not null
        order by j.queueing_lock
    ), later as (
        insert into procrastinate_agenda (at, id)
        select case when j.kind is null then j.scheduled_at else clock_timestamp() end, j.id
        from job j
        where j.kind is null or v_old_snapshot
    ), queued as (
        insert into procrastinate_lock_queue (key, held, priority, job_id)
        select j.lock_key, false, j.priority, j.id
        from job j
        where j.kind = 'locked'
    ), lane as materialized (
        select d.*, procrastinate_lane_for(d.queue_name, d.task_name, d.priority, d.kind) as lane
        from (select distinct j.queue_name, j.task_name, j.priority, j.kind from job j where j.kind is not null) d
    ), token as (
        insert into procrastinate_tokens (lane, id)
        select l.lane, coalesce(j.lock_key, j.id)
        from job j
        join lane l using (queue_name, task_name, priority, kind)
        order by 1, 2       -- as in the index, so that whoever reads them goes from page to page once
    )
    select array_agg(j.id order by j.id), min(j.scheduled_at) filter (where j.kind is null) into v_ids, v_next from job j;
    if v_next is not null then
        perform procrastinate_wake_clock(v_next);
    end if;
    return query select unnest(v_ids);
end;
$function$;

comment on function procrastinate_insert_jobs(procrastinate_new_job[]) is
    'Insert checked jobs with their hints; a queueing lock that is taken is an error. Returns the ids in the same order.';
