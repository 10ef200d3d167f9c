-- Choose jobs of a lane without locks, from its head on, and drop their tokens. The caller starts them.
--
-- Of two fetches only one gets a token (skip locked), and of two tokens of one job only one finds it todo. The body is
-- locked skip locked too: an open transaction that has it (cancels it, say) must not hold up the fetch. A token that chose
-- nothing and whose job may still be todo (somebody has it, it moved, it is not due) is exchanged for a row in the agenda,
-- which is always a valid hint; a job that is not todo but goes back to todo meanwhile gets a hint from who puts it back.
--
-- First the lock, then the look: each statement here has a snapshot of its own, so the ones after the lock on a body see
-- whatever its last owner committed, its queueing lock among it.
create or replace function procrastinate_choose_plain(
    p_lane     procrastinate_heads,
    p_max_jobs integer,
    out chosen tid[],
    out tokens integer
)
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_tokens   bigint[];
    v_ids      bigint[];
    v_queueing text[];
begin
    with token as (
        delete from procrastinate_tokens t
        where t.ctid = any (array(
            select x.ctid
            from procrastinate_tokens x
            where x.lane = p_lane.lane and (x.xid, x.id) >= (p_lane.first_xid, p_lane.first_id) and x.xid <= p_lane.last_xid
            order by x.xid, x.id
            limit p_max_jobs
            for update skip locked))
        returning t.id
    )
    select array_agg(t.id) into v_tokens from token t;
    tokens := coalesce(cardinality(v_tokens), 0);
    chosen := '{}';
    if tokens = 0 then
        return;
    end if;

    select coalesce(array_agg(b.place), '{}'), array_agg(b.id), array_agg(b.queueing_lock) filter (where b.queueing_lock is not null)
    into chosen, v_ids, v_queueing
    from (
        select j.ctid as place, j.id, j.queueing_lock
        from procrastinate_jobs j
        where j.id = any (v_tokens) and j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= clock_timestamp())
          -- not by =, which would let the index on task_name be taken instead of the key
          and (j.queue_name, j.task_name, j.priority) is not distinct from (p_lane.queue_name, p_lane.task_name, p_lane.priority)
          and j.lock is null
        for update skip locked
    ) b;

    if cardinality(v_ids) is distinct from tokens then
        insert into procrastinate_agenda (at, id)
        select greatest(j.scheduled_at, clock_timestamp()), j.id
        from unnest(v_tokens) i
        cross join lateral (
            select x.id, x.scheduled_at from procrastinate_jobs x where x.id = i and x.status = 'todo' offset 0
        ) j
        where i not in (select c from unnest(v_ids) c);
    end if;
    if v_queueing is not null then
        delete from procrastinate_queueing_locks q
        where q.queueing_lock = any (v_queueing) and q.job_id in (select c from unnest(v_ids) c);
    end if;
end;
$function$;

comment on function procrastinate_choose_plain(procrastinate_heads, integer) is
    'Lock at most p_max_jobs jobs of a lane without locks, from its head on, drop their tokens and queueing locks. Returns where the jobs'' rows are, and how many tokens it looked at.';
