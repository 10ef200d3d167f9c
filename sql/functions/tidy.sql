-- A lane that nobody used for a while costs every fetch a look, so it is parked: nobody reads it. Before that it is closed:
-- nobody new writes to it, but fetch still reads it. In between, every transaction that may have seen it open has to end.
--
-- A writer has its transaction id before it looks for a lane. So one that saw the lane open has a lower id than a
-- transaction that gets its own after it saw the lane closed: that id is noted as settled_xid. When all up to it have
-- ended and the lane is empty, no token can be in it or come to it. (A transaction that looks at lanes through an old
-- snapshot, not under READ COMMITTED, writes to the agenda too.)
create or replace function procrastinate_park_lanes()
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    c_idle constant interval := interval '5 min';
    v_closed integer[];
begin
    if pg_current_xact_id_if_assigned() is null then
        v_closed := array(select l.lane from procrastinate_lanes l where l.state = 'closed' and l.settled_xid is null);
        if v_closed <> '{}' then
            update procrastinate_lanes l
            set settled_xid = pg_current_xact_id()
            where l.lane in (
                select x.lane from procrastinate_lanes x
                where x.lane = any (v_closed) and x.state = 'closed' and x.settled_xid is null
                for update skip locked);
        end if;
    end if;

    update procrastinate_lanes l
    set state = 'parked'
    where l.lane in (
        select x.lane from procrastinate_lanes x
        where x.state = 'closed' and x.settled_xid < pg_snapshot_xmin(pg_current_snapshot())
          and not exists (select from procrastinate_heads h where h.lane = x.lane)
        for update skip locked);

    update procrastinate_lanes l
    set state = 'closed'
    where l.lane in (
        select x.lane from procrastinate_lanes x
        where x.state = 'open' and x.lane <> 0 and x.opened_at < clock_timestamp() - c_idle
          and not exists (select from procrastinate_heads h where h.lane = x.lane)
          and not exists (select from procrastinate_floors f where f.lane = x.lane and f.at >= clock_timestamp() - c_idle)
        for update skip locked);
end;
$function$;

comment on function procrastinate_park_lanes() is
    'Close the lanes that were empty for five minutes, and park the closed ones to which nobody can still write.';

-- What is superseded goes. Each part begins where the last one ended, so nothing walks twice over what is gone.
create or replace function procrastinate_tidy(inout p_tick procrastinate_ticks)
language plpgsql
volatile
set search_path from current
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
declare
    c_every constant interval := interval '10 s';
    c_limit constant integer  := 10000;         -- jobs of leases looked at, which take some 40 ms
    c_sweep constant interval := interval '1 min';
    v_top    bigint;
    v_places tid[];
    v_rest   timestamptz;
    v_until  timestamptz := clock_timestamp() - c_every;
begin
    if p_tick.tidied_at > clock_timestamp() then        -- the clock was set back: leases are written at times gone past
        p_tick.tidied_at := '-infinity';
        p_tick.tidied_lease := '-infinity';
    end if;
    -- two-key locks are apart from the keys of jobs' locks; an open transaction that has it keeps only tidying waiting
    if p_tick.tidied_at > v_until or not pg_try_advisory_xact_lock('procrastinate_lanes'::regclass::oid::integer, 0) then
        return;
    end if;
    perform procrastinate_park_lanes();

    -- Floors: of each lane that got a new one, all but the newest. Those up to tidied_floor were dealt with, save the one that
    -- was the newest then (and perhaps a few of transactions that were on their way).
    select max(newest.n) into v_top
    from procrastinate_lanes l
    cross join lateral (select f.n from procrastinate_floors f where f.lane = l.lane order by f.n desc limit 1) newest
    where l.state <> 'parked';
    delete from procrastinate_floors f
    where f.ctid = any (array(
        select old.place
        from procrastinate_lanes l
        cross join lateral (select x.n from procrastinate_floors x where x.lane = l.lane order by x.n desc limit 1) newest
        cross join lateral (
            (
                select x.ctid as place
                from procrastinate_floors x
                where x.lane = l.lane and x.n > p_tick.tidied_floor and x.n < newest.n
            )
            union all
            (
                select x.ctid
                from procrastinate_floors x
                where x.lane = l.lane and x.n <= p_tick.tidied_floor
                order by x.n desc
                limit 10
            )
        ) old
        where l.state <> 'parked' and newest.n > p_tick.tidied_floor));

    -- Leases: those whose jobs all ended go; one with jobs still running is written anew with only those. A fetch that takes
    -- longer than c_every to commit leaves its lease behind, and a long transaction its notes of what it cancelled: they are
    -- looked for from the beginning once a minute, which may be to walk over all that a long transaction keeps.
    -- Those of workers that went without our trigger's knowing are for rescue.
    if not p_tick.swept_at between clock_timestamp() - c_sweep and clock_timestamp() then
        p_tick.swept_at := clock_timestamp();
        p_tick.tidied_lease := '-infinity';
        p_tick.pruned_until := '-infinity';
    end if;
    insert into procrastinate_removed_workers (worker_id)
    select distinct l.worker_id
    from procrastinate_leases l
    where l.at >= p_tick.tidied_lease and l.at < v_until
      and not exists (select from procrastinate_workers w where w.id = l.worker_id)
      -- whom an open transaction rescues this moment is there still, and to conflict with that would be to wait for it
      and not exists (select from procrastinate_removed_workers r where r.worker_id = l.worker_id)
    on conflict do nothing;
    select array_agg(l.place) filter (where l.before < c_limit), min(l.at) filter (where l.before >= c_limit)
    into v_places, v_rest
    from (
        select x.place, x.at, sum(x.jobs) over (order by x.at, x.place) - x.jobs as before
        from (
            select l.ctid as place, l.at, cardinality(l.job_ids) as jobs
            from procrastinate_leases l
            where l.at >= p_tick.tidied_lease and l.at < v_until
              and exists (select from procrastinate_workers w where w.id = l.worker_id)
            order by l.at
            limit c_limit + 1
            for update skip locked
        ) x
    ) l;
    perform procrastinate_note_jobs(p_leases => v_places);

    if v_rest is null then
        p_tick.tidied_at := clock_timestamp();
    else
        v_until := v_rest;      -- the next tick goes on from there
    end if;
    p_tick.tidied_floor := greatest(v_top, p_tick.tidied_floor);
    p_tick.tidied_lease := v_until;
end;
$function$;

comment on function procrastinate_tidy(procrastinate_ticks) is
    'Delete superseded floors and finished leases and park idle lanes, every ten seconds; returns the position moved on.';
