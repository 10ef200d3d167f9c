-- Remove the workers that were silent for longer than their stalled_after.
--
-- Not those whose fetch is on its way (its key share makes us skip them). And not those that had perhaps nobody to beat to:
-- when no tick was seen for long, the database or the way to it was away. Long is a quarter of stalled_after, for a worker may
-- beat as rarely as every three quarters of it; but longer than the second or two between ticks. Then whoever has not beaten
-- since is spared for another stalled_after, which his next beat ends. Spared twice in a row he is removed all the same, for
-- where ticks are rare the clockwork always seems to have stood still.
--
-- A beat of later than now is from before the clock was set back, and counts as one of now.
create or replace function procrastinate_remove_silent_workers(p_last_tick_at timestamptz)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    c_pace constant interval := interval '3 s';
    v_now  timestamptz := clock_timestamp();
begin
    -- most ticks find the clockwork going and nobody silent; to see that is half the price
    if p_last_tick_at between v_now - c_pace and v_now and not exists (
        select from procrastinate_workers x
        where x.last_heartbeat < v_now - x.stalled_after
           or greatest(x.last_heartbeat, x.spared_until - x.stalled_after) > v_now + interval '1 s')
    then
        return;
    end if;
    update procrastinate_workers w
    set spared = w.spared + 1, spared_until = v_now + w.stalled_after, last_heartbeat = least(w.last_heartbeat, v_now)
    where w.id in (
        select x.id
        from procrastinate_workers x
        cross join lateral (select v_now - least(x.stalled_after, greatest(x.stalled_after / 4, c_pace)) as at) long_ago
        where x.last_heartbeat < long_ago.at and p_last_tick_at < long_ago.at
              and x.spared < 2 and coalesce(x.spared_until < v_now, true)
           or greatest(x.last_heartbeat, x.spared_until - x.stalled_after) > v_now + interval '1 s'
        for no key update skip locked);

    delete from procrastinate_workers w
    where w.id in (
        select x.id from procrastinate_workers x
        where x.last_heartbeat < v_now - x.stalled_after and coalesce(x.spared_until < v_now, true)
        for update skip locked);
end;
$function$;

comment on function procrastinate_remove_silent_workers(timestamptz) is
    'Remove the workers that are dead; p_last_tick_at is when the clockwork was last seen going.';

-- The jobs of removed workers go back to todo, each counting a rescue: it may be the job that kills its workers. A new
-- statement after the removal, so it sees every lease that they ever got. One tick at a time works on a removed worker
-- (skip locked); a job whose body somebody has open stays for the next tick, in a new lease. So do jobs beyond a thousand, which take
-- about a tenth of a second: what the tick promoted can run only when it commits.
create or replace function procrastinate_rescue_jobs()
returns boolean
language plpgsql
volatile
set search_path from current
as $function$
declare
    c_limit   constant integer := 1000;
    v_workers bigint[] := array(select r.worker_id from procrastinate_removed_workers r for update skip locked);
    v_ends    procrastinate_end[];
begin
    if v_workers = '{}' then
        return false;
    end if;

    with body as materialized (
        select j.id, j.task_name, j.rescues + 1 as rescues
        from unnest(v_workers) w
        join procrastinate_leases l on l.worker_id = w
        cross join unnest(l.job_ids) i
        cross join lateral (
            select x.id, x.task_name, x.rescues
            from procrastinate_jobs x
            where x.id = i and x.status = 'doing' and (x.worker_id = w or x.worker_id is null)
            for update skip locked
        ) j
        limit c_limit
    ), policy as materialized (
        select t.task_name, procrastinate_policy(t.task_name) as policy
        from (select distinct b.task_name from body b) t
    )
    select array_agg(distinct row(
        b.id, 'rescued',
        case when (p.policy).on_stall = 'fail' or b.rescues >= (p.policy).max_rescues then 'failed' else 'todo' end,
        null,
        case when b.rescues = 1 then 'worker died' else format('worker died %s times', b.rescues) end)::procrastinate_end)
    into v_ends
    from body b
    join policy p using (task_name);
    perform procrastinate_end_jobs(v_ends);

    perform procrastinate_note_jobs(p_leases => array(
        select x.ctid
        from procrastinate_leases x
        where x.worker_id = any (v_workers)
        for update skip locked));
    delete from procrastinate_removed_workers r
    where r.worker_id = any (v_workers)
      and not exists (select from procrastinate_leases l where l.worker_id = r.worker_id);
    return coalesce(cardinality(v_ends) >= c_limit, false);
end;
$function$;

comment on function procrastinate_rescue_jobs() is
    'Take back the jobs of removed workers: todo again, or failed by the task''s on_stall or max_rescues. Returns whether there are more.';
