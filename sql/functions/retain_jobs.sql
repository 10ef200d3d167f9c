-- Whether a job goes is decided on its newest version, whose row is locked, by the policy as it is now.
create or replace function procrastinate_delete_kept(p_job_ids bigint[], p_now timestamptz)
returns bigint[]
language plpgsql
volatile
set search_path from current
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
as $function$
declare
    v_gone bigint[];
begin
    with job as materialized (
        select j.*
        from unnest(p_job_ids) i
        cross join lateral (
            select x.ctid as place, x.task_name, x.status, x.finished_at
            from procrastinate_jobs x
            where x.id = i and x.finished_at is not null
            for update skip locked
        ) j
    ), policy as materialized (
        select t.task_name, procrastinate_policy(t.task_name) as policy
        from (select distinct j.task_name from job j) t
    ), gone as (
        delete from procrastinate_jobs j
        where j.ctid = any (array(
            select o.place
            from job o
            join policy p using (task_name)
            where o.finished_at + case when o.status = 'succeeded' then (p.policy).keep_succeeded else (p.policy).keep_failed end <= p_now))
        returning j.id
    )
    select array_agg(g.id) into v_gone
    from gone g;
    return v_gone;
end;
$function$;

comment on function procrastinate_delete_kept(bigint[], timestamptz) is
    'Delete those of the jobs that ended and were kept as long as their tasks say; returns which.';

-- Deletes jobs whose time has come: one small batch, which takes some 10 ms, so that work beside it goes on. While there is more,
-- the tick that deleted comes again after c_cycle; so one worker goes on, and the others, whose ticks find that somebody deletes
-- or has just deleted, keep to their second.
--
-- A note only says where to look. Notes of jobs that are gone or todo again are dropped; a job that has to stay, or whose row
-- somebody has, is noted anew. Notes are read from the last one on, for a long transaction keeps the dead ones before it.
--
-- A foreign key or a trigger of users' may refuse: the clockwork must not stop for that.
create or replace function procrastinate_retain_jobs(inout p_at timestamptz, inout p_until timestamptz, out p_again interval)
language plpgsql
volatile
set search_path from current
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
as $function$
declare
    c_batch constant integer  := 1000;
    c_cycle constant interval := interval '30 ms';
    c_pause constant interval := interval '10 ms';
    v_now    timestamptz := clock_timestamp();
    v_note   record;
    v_places tid[] := '{}'::tid[];
    v_count  integer := 0;
    v_ids    bigint[];
    v_id     bigint;
    v_gone   bigint[];
    v_again  interval := interval '1 min';
begin
    if p_at between v_now - c_pause and v_now
        or not exists (select from procrastinate_retention r where r.delete_at >= p_until and r.delete_at <= v_now)
        or not pg_try_advisory_xact_lock('procrastinate_retention'::regclass::oid::integer, 0)
    then
        return;
    end if;

    -- in a loop, for how many notes make a batch is not known before
    for v_note in
        select r.ctid as place, r.delete_at, cardinality(r.job_ids) as jobs
        from procrastinate_retention r
        where r.delete_at >= p_until and r.delete_at <= v_now
        order by r.delete_at
    loop
        v_places := v_places || v_note.place;
        v_count := v_count + v_note.jobs;
        p_until := v_note.delete_at;
        exit when v_count >= c_batch;
    end loop;
    with note as (
        delete from procrastinate_retention r
        where r.ctid = any (array(
            select x.ctid from procrastinate_retention x where x.ctid = any (v_places) for update skip locked))
        returning r.job_ids
    )
    select array_agg(distinct i) into v_ids
    from note n
    cross join unnest(n.job_ids) i;

    begin
        v_gone := procrastinate_delete_kept(v_ids, v_now);
    exception when integrity_constraint_violation or raise_exception then
        raise warning 'jobs whose time has come cannot be deleted: %', sqlerrm using errcode = sqlstate;
        v_again := interval '1 hour';
        foreach v_id in array v_ids loop        -- the others go all the same
            begin
                v_gone := v_gone || procrastinate_delete_kept(array[v_id], v_now);
            exception when integrity_constraint_violation or raise_exception then
                null;
            end;
        end loop;
    end;
    if cardinality(v_gone) is distinct from cardinality(v_ids) then
        perform procrastinate_note_jobs(array(select unnest(v_ids) except select unnest(v_gone)), p_earliest => v_again);
    end if;
    p_at := clock_timestamp();
    if v_count >= c_batch then
        p_again := greatest(c_cycle - (p_at - v_now), c_pause);
    end if;
end;
$function$;

comment on function procrastinate_retain_jobs(timestamptz, timestamptz) is
    'Delete a batch of the jobs that were kept long enough. Given when that was last done and up to which note, returns the same moved on, and
the span after which to come again if there may be more.';
