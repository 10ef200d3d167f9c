-- Start jobs of a lane without locks, in one statement, and drop their tokens.
--
-- Of two fetches only one locks a token (skip locked), and of two tokens of one job only one finds it todo. The body is
-- locked skip locked too: an open transaction that has it (cancels it, say) must not hold up the fetch. What was not
-- started and may still be todo (somebody has it, it moved, it is not due) gets a row in the agenda, which is always a
-- valid hint; a job that is not todo in our snapshot but goes back to todo meanwhile gets a hint from who puts it back.
--
-- A body that changed between the snapshot and our lock on it is left alone too (xmin): the statement would see the job as it
-- is now, but its queueing lock as it was then, and leave it taken for ever.
create or replace function procrastinate_start_plain(
    p_worker_id bigint,
    p_lane      procrastinate_heads,
    p_max_jobs  integer
)
returns setof procrastinate_job
language plpgsql
volatile
set search_path from current
as $function$
begin
    return query
    with token as materialized (
        select t.ctid as place, t.id
        from procrastinate_tokens t
        where t.lane = p_lane.lane and (t.xid, t.id) >= (p_lane.first_xid, p_lane.first_id) and t.xid <= p_lane.last_xid
        order by t.xid, t.id
        limit p_max_jobs
        for update skip locked
    ), body as materialized (
        select j.id, j.queueing_lock
        from token t
        cross join lateral (
            select x.id, x.queueing_lock
            from procrastinate_jobs x
            join procrastinate_jobs seen on seen.id = t.id and seen.xmin = x.xmin
            where x.id = t.id and x.status = 'todo' and (x.scheduled_at is null or x.scheduled_at <= clock_timestamp())
              -- not by =, which would let the index on task_name be taken instead of the key
              and (x.queue_name, x.task_name, x.priority) is not distinct from (p_lane.queue_name, p_lane.task_name, p_lane.priority)
              and x.lock is null
            for update of x skip locked
        ) j
    ), dropped as (
        delete from procrastinate_tokens t
        where t.ctid = any (array(select t.place from token t))
    ), lease as (
        insert into procrastinate_leases (worker_id, job_ids)
        select p_worker_id, array_agg(b.id)
        from body b
        having count(*) > 0
    ), later as (
        insert into procrastinate_agenda (at, id)
        select greatest(j.scheduled_at, clock_timestamp()), j.id
        from token t
        cross join lateral (
            select x.id, x.scheduled_at from procrastinate_jobs x where x.id = t.id and x.status = 'todo' offset 0
        ) j
        where t.id not in (select b.id from body b)
    ), queueing as (
        delete from procrastinate_queueing_locks q
        where q.queueing_lock = any (array(select b.queueing_lock from body b where b.queueing_lock is not null))
          and q.job_id in (select b.id from body b)
    ), started as (
        update procrastinate_jobs j
        set status = 'doing', worker_id = p_worker_id, started_at = clock_timestamp()
        where j.id = any (array(select b.id from body b))
        returning j.*
    )
    select
        s.id, s.task_name, s.queue_name, s.args, s.priority, s.lock, s.attempts + 1, s.max_attempts, s.timeout,
        s.scheduled_at, s.deferred_at, s.metadata, null::text
    from started s
    order by greatest(s.deferred_at, s.scheduled_at), s.id;
end;
$function$;

comment on function procrastinate_start_plain(bigint, procrastinate_heads, integer) is
    'Start at most p_max_jobs jobs of a lane without locks, from its head on.';
