-- Jobs of the agenda that are due get their tokens, and schedules defer theirs. Called by tick only, with the newest row of
-- procrastinate_ticks, which it moves on.
--
-- What to look at: rows from agenda_at on, and below it those of transactions that the tick which set agenda_at did not
-- see ended; all from one snapshot, from which the next position is made. Dead rows below are not walked over.
--
-- A row is promoted by who has both it and the body of the job or schedule, for only the owner of the body writes hints; of
-- two ticks one gets it (skip locked). A row whose body somebody has open moves on by a second, so it holds up nobody; a row
-- whose job or schedule is no more is deleted. The position moves only if each row that was seen was dealt with: another tick,
-- perhaps in a long transaction, may have some of them and yet roll back. A transaction that has no id yet gets one that is not
-- below the snapshot's end, so it need not be remembered: a tick that finds nothing need not have one, and commits for nothing.
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
    c_limit        constant integer := 10000;
    v_now          timestamptz := clock_timestamp();
    v_snapshot     pg_snapshot;
    v_any          boolean;
    v_seen         bigint;
    v_dealt        bigint;
    v_last         timestamptz;
    v_back         timestamptz;
    v_job_ids      bigint[];
    v_schedule_ids bigint[];
begin
    -- most ticks find nothing; to know that is a tenth of the work
    select
        pg_current_snapshot(),
        exists (select from procrastinate_agenda a where a.at >= p_tick.agenda_at and a.at <= v_now)
        or exists (select from procrastinate_agenda a where a.xid >= p_tick.agenda_xid and a.at < p_tick.agenda_at and a.at <= v_now)
        or exists (
            select
            from unnest(p_tick.agenda_late) x
            cross join lateral (
                select from procrastinate_agenda r where r.xid = x and r.at < p_tick.agenda_at and r.at <= v_now offset 0
            ) a)
    into v_snapshot, v_any;

    if v_any then
        with late as materialized (
            select a.ctid as place, a.at
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
        ), seen as materialized (
            (
                select a.ctid as place, a.at
                from procrastinate_agenda a
                where a.at >= p_tick.agenda_at and a.at <= v_now
                order by a.at, a.id
                limit c_limit
            )
            union all
            (
                select l.place, l.at
                from late l
                order by l.at
                limit c_limit
            )
        ), dealt as materialized (
            select a.ctid as place, a.id
            from procrastinate_agenda a
            where a.ctid = any (array(select s.place from seen s))
            for update skip locked
        ), taken as materialized (
            select d.id
            from dealt d
            cross join lateral (select 1 from procrastinate_jobs j where j.id = d.id for update skip locked) j
            where d.id >= 0
            union all
            select d.id
            from dealt d
            cross join lateral (select 1 from procrastinate_schedules s where s.id = -d.id for update skip locked) s
            where d.id < 0
        ), gone as (
            delete from procrastinate_agenda a
            where a.ctid = any (array(select d.place from dealt d))
        ), moved as (
            insert into procrastinate_agenda (at, id)
            select distinct v_now + interval '1 second', d.id
            from dealt d
            where d.id not in (select t.id from taken t)
              and case
                  when d.id < 0 then (select 1 from procrastinate_schedules s where s.id = -d.id)
                  else (select 1 from procrastinate_jobs j where j.id = d.id)
              end = 1
        )
        select
            pg_current_snapshot(),
            (select count(*) from seen),
            (select count(*) from dealt),
            (select max(s.at) from seen s where s.at >= p_tick.agenda_at),
            (select min(l.at) from late l having count(*) > c_limit),
            -- one job may have many rows, and must not get a place in the lock queue for each
            (select array_agg(distinct t.id) from taken t where t.id >= 0),
            (select array_agg(distinct -t.id) from taken t where t.id < 0)
        into v_snapshot, v_seen, v_dealt, v_last, v_back, v_job_ids, v_schedule_ids;
        if v_job_ids is not null then
            perform procrastinate_hint_jobs(v_job_ids);
        end if;
        if v_schedule_ids is not null then
            perform procrastinate_run_schedules(v_schedule_ids);
        end if;
    end if;
    if not v_any or v_seen = v_dealt then
        p_tick.agenda_at := case
            when v_back is not null then v_back     -- one late transaction may have millions: what is left of it is found by its time
            when v_seen >= c_limit then coalesce(v_last, v_now)
            else v_now
        end;
        p_tick.agenda_xid := pg_snapshot_xmax(v_snapshot);
        p_tick.agenda_late := array(
            select pg_snapshot_xip(v_snapshot) union select pg_current_xact_id_if_assigned() where pg_current_xact_id_if_assigned() is not null);
    end if;
end;
$function$;

comment on function procrastinate_promote_agenda(procrastinate_ticks) is
    'Write the tokens of the jobs that became due and run the schedules that did, at most 10,000 at once and as many of late transactions; returns the position moved on.';
