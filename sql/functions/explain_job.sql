-- Why a job does not run, from one snapshot, for somebody who is in a hurry: nothing here writes or waits, and each look ends
-- after a thousand rows, whatever is in the tables. What such a look did not find is then called unknown, not missing.
-- The settings of the planner are those of procrastinate_explain_job, which all others here are called by.
create or replace function procrastinate_seconds(p_span interval)
returns numeric
language plpgsql
immutable
set search_path from current
as $function$
begin
    return round(extract(epoch from p_span), 1);
end;
$function$;

comment on function procrastinate_seconds(interval) is 'The span in seconds, to a tenth.';

-- A worker that is silent for too long has not been removed yet if no tick came by, or a tick spared it.
create or replace function procrastinate_explain_doing(p_job procrastinate_jobs)
returns table (reason text, detail jsonb)
language plpgsql
stable
set search_path from current
as $function$
declare
    v_now    timestamptz := clock_timestamp();
    v_worker procrastinate_workers;
    v_alive  boolean;
begin
    select * into v_worker from procrastinate_workers w where w.id = p_job.worker_id;
    v_alive := found and v_worker.last_heartbeat >= v_now - v_worker.stalled_after;
    return query
    select
        case when v_alive then 'running' else 'rescue' end,
        jsonb_strip_nulls(jsonb_build_object(
            'worker', p_job.worker_id,
            'worker_name', v_worker.worker_name,
            'registered', v_worker.id is not null,
            'since', p_job.started_at,
            'seconds', procrastinate_seconds(v_now - p_job.started_at),
            'attempt', p_job.attempts + 1,
            'timeout_at', p_job.started_at + p_job.timeout,
            'abort_requested', p_job.abort_requested,
            'last_heartbeat', v_worker.last_heartbeat,
            'silent_seconds', procrastinate_seconds(v_now - v_worker.last_heartbeat),
            'stalled_after', v_worker.stalled_after,
            'last_tick', case when not v_alive then (select t.at from procrastinate_ticks t order by t.n desc limit 1) end));
end;
$function$;

comment on function procrastinate_explain_doing(procrastinate_jobs) is
    'Why a doing job does not end: running at a live worker, or rescue.';

-- A row's xmax is the transaction that locked it or writes it anew: if that is still going on it has the lock of its own id. (A
-- multixact could have the same number as somebody else's id; no function of ours makes one.)
create or replace function procrastinate_explain_busy(p_job_id bigint)
returns jsonb
language plpgsql
stable
set search_path from current
as $function$
declare
    v_xid  xid;
    v_busy jsonb;
begin
    select j.xmax into v_xid from procrastinate_jobs j where j.id = p_job_id and j.xmax <> 0::text::xid;
    if not found then
        return null;
    end if;
    select jsonb_strip_nulls(jsonb_build_object(
        'pid', l.pid,
        'application_name', nullif(a.application_name, ''),
        'state', a.state,
        'since', a.xact_start,
        'seconds', procrastinate_seconds(clock_timestamp() - a.xact_start)))
    into v_busy
    from pg_locks l
    left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'transactionid' and l.transactionid = v_xid and l.mode = 'ExclusiveLock' and l.granted and l.pid <> pg_backend_pid();
    return v_busy;
end;
$function$;

comment on function procrastinate_explain_busy(bigint) is
    'The open transaction that has the job''s row, if it is not our own; NULL: none.';

-- Who could run a job; NULL: somebody does.
create or replace function procrastinate_explain_worker(p_queue text, p_task text)
returns jsonb
language plpgsql
stable
set search_path from current
as $function$
declare
    v_now     timestamptz := clock_timestamp();
    v_serving bigint;
    v_detail  jsonb;
begin
    select
        count(*) filter (where w.alive and w.of_queue and w.of_task),
        jsonb_build_object(
            'queue', p_queue,
            'task', p_task,
            'alive', count(*) filter (where w.alive),
            'serve_queue', count(*) filter (where w.alive and w.of_queue),
            'have_task', count(*) filter (where w.alive and w.of_task),
            'silent', count(*) filter (where not w.alive))
    into v_serving, v_detail
    from (
        select
            x.last_heartbeat >= v_now - x.stalled_after as alive,
            x.queues is null or p_queue = any (x.queues) as of_queue, x.tasks is null or p_task = any (x.tasks) as of_task
        from procrastinate_workers x
    ) w;
    return case when v_serving = 0 then v_detail end;
end;
$function$;

comment on function procrastinate_explain_worker(text, text) is
    'How many workers there are for the queue and the task, if no live one serves both; else NULL.';

-- Which job goes before a due one in its lock. Rows of the lock queue that do not fit their job are passed over, as in fetch.
create or replace function procrastinate_explain_lock(p_job procrastinate_jobs)
returns jsonb
language plpgsql
stable
set search_path from current
as $function$
declare
    c_look  constant integer := 1000;
    v_first bigint;
    v_ahead bigint;
    v_why   record;
begin
    select f.job_id into v_first
    from (
        select x.held, x.priority, x.job_id
        from procrastinate_lock_queue x
        where x.key = p_job.lock_key
        order by x.held desc, x.priority desc, x.job_id
        limit c_look
    ) f
    where exists (
        select from procrastinate_jobs j
        where j.id = f.job_id and j.lock_key = p_job.lock_key and j.priority = f.priority
          and j.status = case when f.held then 'doing' else 'todo' end::procrastinate_job_status)
    order by f.held desc, f.priority desc, f.job_id
    limit 1;
    if v_first is null or v_first = p_job.id then
        return null;
    end if;

    -- three ranges of the index; one filter would read all of the lock
    select count(*) into v_ahead
    from (
        select from procrastinate_lock_queue q where q.key = p_job.lock_key and q.held
        union all
        select from procrastinate_lock_queue q where q.key = p_job.lock_key and not q.held and q.priority > p_job.priority
        union all
        select from procrastinate_lock_queue q
        where q.key = p_job.lock_key and not q.held and q.priority = p_job.priority and q.job_id < p_job.id
        limit c_look
    ) a;
    select e.reason, e.detail into v_why from procrastinate_explain_job(v_first) e limit 1;
    return jsonb_build_object(
        'lock', p_job.lock, 'job', v_first, 'reason', v_why.reason, 'detail', v_why.detail,
        'ahead', v_ahead, 'at_least', v_ahead >= c_look);
end;
$function$;

comment on function procrastinate_explain_lock(procrastinate_jobs) is
    'The job that goes first in the lock of a due job, why that one does not end or start, and how many go before ours; NULL: none.';

-- Where a todo job will be found: by its token (or its lock's), in a lane of which kind, at what place; else in the agenda.
-- A lock's token may be in any lane of locks. p_token: whether it should have one.
create or replace function procrastinate_explain_hint(
    p_job   procrastinate_jobs,
    p_token boolean,
    out place text,
    out xid   xid8,
    out id    bigint
)
language plpgsql
stable
set search_path from current
as $function$
declare
    c_look  constant integer := 1000;
    v_seen  bigint := 0::bigint;
    v_tick  procrastinate_ticks;
    v_due   boolean := coalesce(p_job.scheduled_at <= clock_timestamp(), true);
    v_until timestamptz := greatest(p_job.scheduled_at, clock_timestamp() + interval '1 s');
begin
    if p_token then
        with lane as materialized (
            select h.*
            from procrastinate_heads h
            where h.kind in ('plain', 'returned') = (p_job.lock_key is null)
              and (
                  p_job.lock_key is not null
                  or (h.queue_name, h.task_name, h.priority) = (p_job.queue_name, p_job.task_name, p_job.priority))
            order by
                h.lane <> 0, (h.queue_name, h.task_name, h.priority) is distinct from (p_job.queue_name, p_job.task_name, p_job.priority),
                h.kind <> 'returned', h.first_xid
        ), token as materialized (
            select l.kind, t.xid, t.id, row_number() over () as n
            from lane l
            cross join lateral (
                select x.xid, x.id
                from procrastinate_tokens x
                where x.lane = l.lane and (x.xid, x.id) >= (l.first_xid, l.first_id) and x.xid <= l.last_xid
                order by x.xid, x.id
                limit c_look
            ) t
            limit 3 * c_look
        )
        select s.seen, f.kind, f.xid, f.id into v_seen, place, xid, id
        from (select count(*) as seen from token) s
        left join lateral (
            select t.kind, t.xid, t.id from token t where t.id = coalesce(p_job.lock_key, p_job.id) order by t.n limit 1
        ) f on true;
        if place is not null then
            return;
        end if;
    end if;

    -- A future job has an entry of its own time. One that is due may have any of those that tick looks at next; if these are too
    -- many to be sure that it has, what else should we say of a job that has no token?
    select * into v_tick from procrastinate_ticks t order by t.n desc limit 1;
    if exists (
        select from procrastinate_agenda a
        where a.at = p_job.scheduled_at and a.id = p_job.id
          and (a.at >= v_tick.agenda_at or a.xid >= v_tick.agenda_xid or a.xid = any (v_tick.agenda_late)))
    then
        place := 'agenda';
        return;
    end if;
    with entry as materialized (
        (
            select a.id
            from procrastinate_agenda a
            where a.at >= v_tick.agenda_at and a.at <= v_until
            order by a.at, a.id
            limit c_look
        )
        union all
        (select a.id from procrastinate_agenda a where a.xid >= v_tick.agenda_xid order by a.xid limit c_look)
        union all
        (select a.id from unnest(v_tick.agenda_late) x cross join lateral (select y.id from procrastinate_agenda y where y.xid = x offset 0) a limit c_look)
    )
    select case
        when bool_or(e.id = p_job.id) then 'agenda'
        when v_seen >= c_look then null
        when count(*) >= c_look and v_due then 'agenda'
        else 'none'
    end
    into place
    from entry e;
end;
$function$;

comment on function procrastinate_explain_hint(procrastinate_jobs, boolean, out text, out xid8, out bigint) is
    'Where a todo job has a hint: the kind of the lane that its token is in, with the token; agenda; none. NULL: not among the first thousand tokens.';

-- What goes before a due job whose token is in a lane of that kind, at that place: as fetch reads the lanes, for a worker that
-- serves this job. A lock counts as one, for one of its jobs can start.
create or replace function procrastinate_explain_ahead(
    p_job   procrastinate_jobs,
    p_place text,
    p_xid   xid8,
    p_id    bigint,
    out ahead    bigint,
    out at_least boolean
)
language plpgsql
stable
set search_path from current
as $function$
declare
    c_look constant integer := 1000;
    v_now  timestamptz := clock_timestamp();
begin
    with lane as materialized (
        select
            h.*,
            case when w.wholly then '18446744073709551615' else p_xid end as until_xid,
            case
                when w.wholly then 9223372036854775807
                when (h.queue_name, h.task_name, h.kind) = (p_job.queue_name, p_job.task_name, p_place) then p_id
                else -9223372036854775808           -- ids of jobs and keys of locks cannot be compared
            end as until_id
        from procrastinate_heads h
        cross join lateral (
            select h.priority > p_job.priority or h.kind = 'returned' and p_place is distinct from 'returned' or p_xid is null as wholly
        ) w
        where p_place is distinct from 'handover'
          and (h.priority > p_job.priority or h.priority = p_job.priority and (h.kind = 'returned' or p_place is distinct from 'returned'))
          and h.queue_name not in (select q.queue_name from procrastinate_queues q)
          and exists (
              select from procrastinate_workers w
              where w.last_heartbeat >= v_now - w.stalled_after
                and (w.queues is null or w.queues @> array[h.queue_name, p_job.queue_name])
                and (w.tasks is null or w.tasks @> array[h.task_name, p_job.task_name]))
    ), token as materialized (
        select l.kind = 'locked' as is_lock, t.id, l.queue_name, l.task_name, l.priority
        from lane l
        cross join lateral (
            select x.id
            from procrastinate_tokens x
            where x.lane = l.lane and (x.xid, x.id) >= (l.first_xid, l.first_id) and x.xid <= l.last_xid
              and (x.xid, x.id) < (l.until_xid, l.until_id)
            order by x.xid, x.id
            limit c_look
        ) t
        limit c_look
    )
    select count(distinct (t.is_lock, t.id)) filter (where f.first), count(*) >= c_look into ahead, at_least
    from token t
    cross join lateral (
        select case
            when t.is_lock
                then t.id is distinct from p_job.lock_key
                    and (select not q.held from procrastinate_lock_queue q where q.key = t.id order by q.held desc limit 1)
            else (
                select j.status = 'todo' and (j.queue_name, j.task_name, j.priority) = (t.queue_name, t.task_name, t.priority)
                from procrastinate_jobs j
                where j.id = t.id)
        end as first
    ) f;
end;
$function$;

comment on function procrastinate_explain_ahead(procrastinate_jobs, text, xid8, bigint, out bigint, out boolean) is
    'How many jobs a worker would start before this one; at_least: not more than a thousand were looked at.';

create or replace function procrastinate_explain_job(job_id bigint)
returns table (reason text, detail jsonb)
language plpgsql
stable
security definer
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
declare
    v_now    timestamptz := clock_timestamp();
    v_job    procrastinate_jobs;
    v_due    boolean;
    v_queued boolean;
    v_lock   jsonb;
    v_hint   record;
    v_alone  boolean := true;
begin
    select * into v_job from procrastinate_jobs j where j.id = procrastinate_explain_job.job_id;
    if not found then
        perform procrastinate_no_such_job(procrastinate_explain_job.job_id);
    end if;

    if v_job.status not in ('todo', 'doing') then
        return query select 'done', jsonb_strip_nulls(jsonb_build_object(
            'status', v_job.status,
            'finished_at', v_job.finished_at,
            'seconds', procrastinate_seconds(v_now - v_job.finished_at),
            'attempts', v_job.attempts,
            'error', case when v_job.status <> 'succeeded' then v_job.error end));
        return;
    elsif v_job.status = 'doing' then
        return query select d.reason, d.detail from procrastinate_explain_doing(v_job) d;
        return query select 'busy', b.detail from procrastinate_explain_busy(v_job.id) b(detail) where b.detail is not null;
        return;
    end if;

    v_due := coalesce(v_job.scheduled_at <= v_now, true);
    v_queued := v_due and exists (
        select from procrastinate_lock_queue q
        where q.key = v_job.lock_key and not q.held and q.priority = v_job.priority and q.job_id = v_job.id);
    if v_queued then
        v_lock := procrastinate_explain_lock(v_job);
    end if;
    select null::text as place, null::xid8 as xid, null::bigint as id into v_hint;
    if v_lock is null then
        v_hint := procrastinate_explain_hint(v_job, v_due and (v_job.lock_key is null or v_queued));
    end if;

    return query
    select r.reason, r.detail
    from (values
        ('hint', case when v_hint.place = 'none' then jsonb_build_object('call', 'procrastinate_repair()') end),
        ('future', case when not v_due then jsonb_strip_nulls(jsonb_build_object(
            'scheduled_at', v_job.scheduled_at,
            'seconds', procrastinate_seconds(v_job.scheduled_at - v_now),
            'attempts', v_job.attempts,
            'error', v_job.error)) end),
        ('paused', (
            select jsonb_build_object(
                'queue', p.queue_name, 'since', p.paused_at, 'seconds', procrastinate_seconds(v_now - p.paused_at))
            from procrastinate_queues p
            where p.queue_name = v_job.queue_name)),
        ('worker', procrastinate_explain_worker(v_job.queue_name, v_job.task_name)),
        ('lock', v_lock),
        ('busy', procrastinate_explain_busy(v_job.id)),
        ('tick', case when v_due and v_hint.place = 'agenda' then (
            select jsonb_build_object(
                'since', coalesce(v_job.scheduled_at, v_job.deferred_at),
                'seconds', procrastinate_seconds(v_now - coalesce(v_job.scheduled_at, v_job.deferred_at)),
                'last_tick', t.at,
                'tick_seconds', procrastinate_seconds(v_now - t.at))
            from procrastinate_ticks t
            order by t.n desc
            limit 1) end)
    ) r(reason, detail)
    where r.detail is not null;
    v_alone := not found;

    if v_alone then
        return query
        select
            case when a.ahead > 0 or a.at_least then 'behind' else 'ready' end,
            jsonb_build_object(
                'since', greatest(v_job.deferred_at, v_job.scheduled_at),
                'seconds', procrastinate_seconds(v_now - greatest(v_job.deferred_at, v_job.scheduled_at)),
                'ahead', a.ahead, 'at_least', a.at_least)
        from procrastinate_explain_ahead(v_job, v_hint.place, v_hint.xid, v_hint.id) a;
    end if;
end;
$function$;

comment on function procrastinate_explain_job(bigint) is
'Why a job is not running: whatever is in its way now, the decisive first. Reads little, whatever is in the tables; waits for nobody and
changes nothing.
job_id: the job''s id.
Returns a row for each reason, at least one.
reason: one of these, in this order. done: it ended. running: a worker has it. rescue: its worker is gone, or silent; the tick that
removes that worker takes the job back. hint: no worker will find it; procrastinate_repair mends that. future: it is not due yet, or not
again after an attempt. paused: its queue is. worker: no live worker serves both its queue and its task. lock: another job goes first in
its lock; why that one does not end or start is told too. busy: an open transaction has its row. tick: it is due, and the next tick lets
it in. behind: others go first. ready: nothing is in its way; a worker starts it when it has room and looks, at a notification or after its poll
interval.
detail: what is known of it, a JSON object. seconds: how long ago, or from now, the time beside it is. at_least: not all were counted.
Raises PJ001 (job_id is NULL), PJ004 (there is no such job).';
