-- Jobs of the agenda that are due get their tokens. Called by tick only, with the newest row of procrastinate_ticks, which
-- it moves on.
--
-- What to look at: rows from agenda_at on, and below it those of transactions that the tick which set agenda_at did not
-- see ended; all from one snapshot, from which the next position is made. Dead rows below are not walked over.
--
-- A row is promoted by who has both it and the job's body, for only the owner of the body writes hints; of two ticks one
-- gets it (skip locked). A row whose body somebody has open moves on by a second, so it holds up nobody; a row whose job
-- is no more is deleted. The position moves only if each row that was seen was dealt with: another tick, perhaps in a
-- long transaction, may have some of them and yet roll back.
create or replace function procrastinate_promote_agenda(inout p_tick procrastinate_ticks)
language plpgsql
volatile
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
declare
    c_limit    constant integer := 10000;
    v_now      timestamptz := clock_timestamp();
    v_snapshot pg_snapshot;
    v_seen     bigint;
    v_dealt    bigint;
    v_last     timestamptz;
    v_job_ids  bigint[];
begin
    with seen as materialized (
        (
            select a.ctid as place, a.at
            from procrastinate_agenda a
            where a.at >= p_tick.agenda_at and a.at <= v_now
            order by a.at, a.id
            limit c_limit
        )
        union
        select a.ctid, a.at
        from procrastinate_agenda a
        where a.xid >= p_tick.agenda_xid and a.at < p_tick.agenda_at and a.at <= v_now
        union
        select a.ctid, a.at
        from unnest(p_tick.agenda_late) x
        cross join lateral (
            select r.ctid, r.at
            from procrastinate_agenda r
            where r.xid = x and r.at < p_tick.agenda_at and r.at <= v_now
            offset 0
        ) a
    ), dealt as materialized (
        select a.ctid as place, a.id
        from procrastinate_agenda a
        where a.ctid = any (array(select s.place from seen s))
        for update skip locked
    ), taken as materialized (
        select d.id
        from dealt d
        cross join lateral (select 1 from procrastinate_jobs j where j.id = d.id for update skip locked) j
    ), gone as (
        delete from procrastinate_agenda a
        where a.ctid = any (array(select d.place from dealt d))
    ), moved as (
        insert into procrastinate_agenda (at, id)
        select distinct v_now + interval '1 second', d.id
        from dealt d
        where d.id not in (select t.id from taken t) and (select 1 from procrastinate_jobs j where j.id = d.id) = 1
    )
    select
        pg_current_snapshot(),
        (select count(*) from seen),
        (select count(*) from dealt),
        (select max(s.at) from seen s where s.at >= p_tick.agenda_at),
        (select array_agg(distinct t.id) from taken t)      -- one job may have many rows, and must not get a place in the lock queue for each
    into v_snapshot, v_seen, v_dealt, v_last, v_job_ids;

    if v_job_ids is not null then
        perform procrastinate_hint_jobs(v_job_ids);
    end if;
    if v_seen = v_dealt then
        p_tick.agenda_at := case when v_seen >= c_limit then coalesce(v_last, v_now) else v_now end;
        p_tick.agenda_xid := pg_snapshot_xmax(v_snapshot);
        p_tick.agenda_late := array(select pg_snapshot_xip(v_snapshot) union select pg_current_xact_id());
    end if;
end;
$function$;

comment on function procrastinate_promote_agenda(procrastinate_ticks) is
    'Write the tokens of the jobs that became due, at most 10,000 at once; returns the position moved on.';
