-- The waiting job gets the new one's values. Its row is locked first, so no fetch can start it meanwhile; a job that was
-- started or cancelled before we got the row is not touched.
create or replace function procrastinate_replace_waiting(p_job_id bigint, p_job procrastinate_new_job)
returns boolean
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_job  procrastinate_jobs;
    v_what text;
begin
    select * into v_job
    from procrastinate_jobs j
    where j.id = p_job_id and j.status = 'todo' and j.queueing_lock = p_job.queueing_lock
    for update;
    if not found then
        return false;
    end if;

    v_what := case
        when v_job.task_name <> p_job.task_name then 'task'
        when v_job.queue_name <> p_job.queue_name then 'queue'
        when v_job.lock is distinct from p_job.lock then 'lock'
    end;
    if v_what is not null then
        raise exception 'invalid %: the waiting job % has another one', v_what, p_job_id
            using errcode = 'PJ001',
                  detail = format('on_conflict %s changes the job that waits with this queueing lock.', p_job.on_conflict);
    end if;

    if p_job.on_conflict = 'update' then
        p_job.scheduled_at := v_job.scheduled_at;
    end if;
    update procrastinate_jobs j
    set args = p_job.args, timeout = p_job.timeout, max_attempts = p_job.max_attempts, metadata = p_job.metadata
    where j.id = p_job_id;
    perform procrastinate_move_job(v_job, p_job.priority, p_job.queue_name, p_job.scheduled_at);
    return true;
end;
$function$;

comment on function procrastinate_replace_waiting(bigint, procrastinate_new_job) is
    'Give a todo job the values of a new one that has its queueing lock; false when it no longer waits. Raises PJ001 for another task, queue or lock.';

-- Somebody's uncommitted defer of the same queueing lock is waited for, as with any unique value. The row may also vanish
-- between our look and our insert, when its job starts: then we look again.
create or replace function procrastinate_take_place(p_job procrastinate_new_job, out job_id bigint, out is_new boolean)
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
begin
    if p_job.on_conflict = 'try' then       -- of a tick
        job_id := nextval('procrastinate_jobs_id_seq');
        is_new := procrastinate_retake_queueing_lock(p_job.queueing_lock, job_id);
        job_id := case when is_new then job_id end;
        return;
    end if;
    for v_try in 1 .. 100 loop
        select q.job_id into job_id
        from procrastinate_queueing_locks q
        where q.queueing_lock = p_job.queueing_lock;
        is_new := not found;

        if not is_new then
            if p_job.on_conflict = 'skip' or procrastinate_replace_waiting(job_id, p_job) then
                return;
            end if;
        else
            job_id := nextval('procrastinate_jobs_id_seq');
            insert into procrastinate_queueing_locks as q (queueing_lock, job_id)
            values (p_job.queueing_lock, procrastinate_take_place.job_id)
            on conflict on constraint procrastinate_jobs_queueing_lock_idx_v1 do nothing;
            if found then
                return;
            end if;
        end if;
    end loop;
    raise exception 'the queueing lock changed hands a hundred times'
        using errcode = '40001', hint = 'Defer again.';
end;
$function$;

comment on function procrastinate_take_place(procrastinate_new_job) is
    'Which job has the queueing lock now: the one that waits with it (changed as on_conflict says), or a new one, for which the id is taken. NULL with on_conflict try, which waits for nobody: another one.';

create or replace function procrastinate_defer(
    task          text,
    args          jsonb       default '{}',
    queue         text        default null,
    priority      integer     default null,
    lock          text        default null,
    queueing_lock text        default null,
    schedule_at   timestamptz default null,
    schedule_in   interval    default null,
    max_attempts  integer     default null,
    timeout       interval    default null,
    on_conflict   text        default 'error',
    metadata      jsonb       default '{}'
)
returns bigint
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_policy procrastinate_tasks := procrastinate_policy(task);
    v_job    procrastinate_new_job := row(
        task,
        coalesce(args, '{}'),
        coalesce(queue, v_policy.queue_name),
        coalesce(priority, v_policy.priority),
        lock,
        queueing_lock,
        case when schedule_in is null then schedule_at else procrastinate_due_at(schedule_at, schedule_in) end,
        coalesce(max_attempts, v_policy.max_attempts),
        coalesce(timeout, v_policy.timeout),
        coalesce(on_conflict, 'error'),
        coalesce(metadata, '{}'));
begin
    if lock is null and v_policy.lock is not null then
        v_job.lock := procrastinate_fill_template(v_policy.lock, v_job.args);
    end if;
    perform procrastinate_check_new_jobs(array[v_job]);
    return procrastinate_insert_job(v_job);
end;
$function$;

comment on function procrastinate_defer(text, jsonb, text, integer, text, text, timestamptz, interval, integer, interval, text, jsonb) is
'Defer one job. It runs if and when the transaction commits.
What is left NULL of queue, priority, lock, max_attempts and timeout comes from the task''s definition, else from that of *, else
it is built in.
task: what to run, a name of 1 to 128 characters. It needs no definition.
args: a JSON object; NULL: {}.
queue: a name of 1 to 128 characters; built in: default.
priority: higher runs first; built in: 0.
lock: jobs sharing it run one at a time, those that are due, by priority and then id; at most 1,024 bytes; built in: none.
queueing_lock: at most one todo job has it; at most 1,024 bytes; NULL: none.
schedule_at: not before this time; NULL: at once.
schedule_in: not before this span from now, from 0 to 100 years; instead of schedule_at.
max_attempts: how many times the job may run, at least 1; built in: 1. Runs, not retries.
timeout: bound of one attempt, from 1 ms to 100 years, kept by the worker; built in: none.
on_conflict: what to do when a todo job has the queueing_lock. error: raise 23505. skip: leave that job as it is. replace: give it
the new args, schedule, priority, timeout, max_attempts and metadata (debounce). update: the same, but it keeps its schedule
(throttle). NULL: error.
metadata: a JSON object, handed to the worker as it is; NULL: {}.
Returns the job''s id; when on_conflict spared a new job, the id of the one that has the queueing lock.
Raises 23505 (a todo job has the queueing_lock, and on_conflict is error; constraint procrastinate_jobs_queueing_lock_idx_v1),
40001 (the queueing lock changed hands a hundred times: defer again), PJ001 (an argument is out of its range, schedule_at and
schedule_in are both given, or replace or update found a job of another task, queue or lock), PJ008 (args are not an object, or
lack what the task''s lock names).';

-- Called when it is known that a value is wrong. A loop, for it can name the value, as one query over all cannot.
create or replace function procrastinate_refuse_jobs(p_jobs jsonb, p_error text)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_job   jsonb;
    v_place bigint;
    v_key   text;
begin
    begin
        for v_job, v_place in select e.value, e.ordinality from jsonb_array_elements(p_jobs) with ordinality e order by e.ordinality loop
            if jsonb_typeof(v_job) <> 'object' then
                raise exception 'invalid jobs: element %: a JSON %, not an object', v_place, jsonb_typeof(v_job)
                    using errcode = 'PJ001', hint = 'No job was deferred.';
            end if;
            v_key := 'priority';        perform (v_job ->> v_key)::integer;
            v_key := 'schedule_at';     perform (v_job ->> v_key)::timestamptz;
            v_key := 'schedule_in';     perform (v_job ->> v_key)::interval;
            v_key := 'max_attempts';    perform (v_job ->> v_key)::integer;
            v_key := 'timeout';         perform (v_job ->> v_key)::interval;
        end loop;
    exception when data_exception then
        raise exception 'invalid jobs: element %, %: %', v_place, v_key, sqlerrm using errcode = 'PJ001', hint = 'No job was deferred.';
    end;
    raise exception 'invalid jobs: %', p_error using errcode = 'PJ001', hint = 'No job was deferred.';
end;
$function$;

comment on function procrastinate_refuse_jobs(jsonb, text) is
    'Raises PJ001 with the first element of the array that is no object, or has a value of another type; with p_error if there is none.';

-- All checks come before the first insert. The block around the parsing writes nothing, so it costs no transaction id.
create or replace function procrastinate_parse_jobs(p_jobs jsonb)
returns procrastinate_new_job[]
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_jobs    procrastinate_new_job[];
    v_key     text;
    v_place   bigint;
    v_no_task bigint;
begin
    if jsonb_typeof(p_jobs) is distinct from 'array' then
        raise exception 'invalid jobs: %, not an array', coalesce(jsonb_typeof(p_jobs), 'NULL')
            using errcode = 'PJ001', hint = 'Give an array of objects: [{"task": "a"}, {"task": "b"}].';
    end if;

    begin
        select k.key, rest.place into v_key, v_place
        from (
            select e.value - '{task,args,queue,priority,lock,queueing_lock,schedule_at,schedule_in,max_attempts,timeout,on_conflict,metadata}'::text[],
                e.ordinality
            from jsonb_array_elements(p_jobs) with ordinality e
        ) rest(e, place)
        cross join jsonb_object_keys(rest.e) k(key)
        where rest.e <> '{}'
        limit 1;

        select array_agg(row(
                r.task, coalesce(r.args, '{}'), coalesce(r.queue, p.queue_name), coalesce(r.priority, p.priority),
                case when r.lock is null and p.lock is not null
                    then procrastinate_fill_template(p.lock, coalesce(r.args, '{}')) else r.lock end,
                r.queueing_lock,
                case when r.schedule_in is null then r.schedule_at else procrastinate_due_at(r.schedule_at, r.schedule_in) end,
                coalesce(r.max_attempts, p.max_attempts), coalesce(r.timeout, p.timeout),
                coalesce(r.on_conflict, 'error'), coalesce(r.metadata, '{}')
            )::procrastinate_new_job order by r.ordinality),
            min(r.ordinality) filter (where r.task is null)
        into v_jobs, v_no_task
        from rows from (jsonb_to_recordset(p_jobs) as (
                 task text, args jsonb, queue text, priority integer, lock text, queueing_lock text, schedule_at timestamptz,
                 schedule_in interval, max_attempts integer, timeout interval, on_conflict text, metadata jsonb)
             ) with ordinality r
        left join (
            select y.*
            from (select distinct e ->> 'task' from jsonb_array_elements(p_jobs) e) x(task)
            cross join lateral procrastinate_policy(x.task) y
        ) p on p.task_name = r.task;
    exception when data_exception then
        perform procrastinate_refuse_jobs(p_jobs, sqlerrm);
    end;

    if v_key is not null then
        raise exception 'invalid jobs: element %: unknown key %', v_place, v_key
            using errcode = 'PJ001', hint = 'The keys are the parameters of procrastinate_defer.';
    elsif v_no_task is not null then
        raise exception 'invalid jobs: element % has no task', v_no_task using errcode = 'PJ001', hint = 'No job was deferred.';
    end if;
    return coalesce(v_jobs, '{}');
end;
$function$;

comment on function procrastinate_parse_jobs(jsonb) is
    'The jobs of a JSON array, completed from their tasks'' definitions. Raises PJ001 for what does not fit, PJ008 for an argument that a lock names.';

create or replace function procrastinate_defer_jobs(p_jobs procrastinate_new_job[])
returns setof bigint
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_ids   bigint[];
    v_place integer;
begin
    perform procrastinate_check_new_jobs(p_jobs);
    if exists (select from unnest(p_jobs) n where n.queueing_lock is not null and n.on_conflict <> 'error') then
        -- One by one, for each may find the job that one before it inserted; sorted by queueing lock, so that two calls
        -- with the same ones wait for each other and do not deadlock.
        for v_place in
            select n.ordinality::integer from unnest(p_jobs) with ordinality n order by n.queueing_lock, n.ordinality
        loop
            v_ids[v_place] := procrastinate_insert_job(p_jobs[v_place]);
        end loop;
        return query select unnest(v_ids);
    else
        return query select procrastinate_insert_jobs(p_jobs);
    end if;
end;
$function$;

comment on function procrastinate_defer_jobs(procrastinate_new_job[]) is
    'Check and insert jobs, each as its on_conflict says. Returns the ids in the same order. Raises PJ001 and PJ008 for the first that may not be deferred.';

create or replace function procrastinate_defer_many(jobs jsonb)
returns setof bigint
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    return query select procrastinate_defer_jobs(procrastinate_parse_jobs(jobs));
end;
$function$;

comment on function procrastinate_defer_many(jsonb) is
'Defer many jobs, all or nothing.
jobs: a JSON array of objects, whose keys are the parameters of procrastinate_defer; only task is needed.
Returns the ids, in the order of the array; none for an empty array.
Raises 23505 (a todo job, perhaps of the same array, has the queueing_lock of one whose on_conflict is error), 40001 (a queueing
lock changed hands a hundred times: defer again), PJ001 (jobs are not an array of objects, a key is unknown, a value has another
type, or procrastinate_defer would raise it), PJ008 (args of a job are not an object, or lack what the task''s lock names).';

create or replace function procrastinate_job_status(job_id bigint)
returns procrastinate_job_status
language plpgsql
stable
security definer
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_status procrastinate_job_status;
begin
    select j.status into v_status from procrastinate_jobs j where j.id = job_id;
    if not found then
        perform procrastinate_no_such_job(job_id);
    end if;
    return v_status;
end;
$function$;

comment on function procrastinate_job_status(bigint) is
'The status of one job and nothing else of it: for who may defer, but not read other people''s args.
job_id: the job''s id, as a number or by name: a bare literal ''42'' would be read as the type of the same name.
Returns the status.
Raises PJ001 (job_id is NULL), PJ004 (there is no such job, perhaps no more).';
