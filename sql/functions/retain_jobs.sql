-- Whether a job goes is decided on its newest version, whose row is locked, by the policy as it is now. Foreign keys and triggers of
-- users' lead to rows of theirs, which somebody may have open: we hold jobs, and do not wait for them.
create or replace function procrastinate_delete_kept(p_job_ids bigint[], p_now timestamptz)
returns bigint[]
language plpgsql
volatile
set search_path from current
set lock_timeout = '10ms'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set enable_hashjoin = on        -- see note_jobs
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

-- In a loop, for each of them has to be named.
create or replace function procrastinate_defer_constraints(p_deferred boolean)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_constraint record;
begin
    for v_constraint in
        select distinct n.nspname, c.conname
        from pg_trigger t
        join pg_constraint c on c.oid = t.tgconstraint
        join pg_namespace n on n.oid = c.connamespace
        where t.tgrelid = 'procrastinate_jobs'::regclass and t.tginitdeferred
    loop
        if p_deferred then
            execute format('set constraints %I.%I deferred', v_constraint.nspname, v_constraint.conname);
        else
            execute format('set constraints %I.%I immediate', v_constraint.nspname, v_constraint.conname);
        end if;
    end loop;
end;
$function$;

comment on function procrastinate_defer_constraints(boolean) is
    'Let constraints of users'' on jobs, which speak at the commit, speak at each statement; or at the commit again.';

-- Deletes those of the jobs whose time has come, and notes the others anew; p_until: until when to begin with more. What is refused
-- is tried job by job, so that the others go. How much is taken at once is found by trying: a job with hundreds of attempts, or a foreign
-- key without an index, can make a job take a thousand times as long as another.
--
-- A trigger of users' may raise anything, and to fail here would stop the clockwork for good: hence others. A deferred constraint
-- would speak at the commit of the tick, so it is made to speak here.
create or replace function procrastinate_delete_in_steps(p_job_ids bigint[], p_now timestamptz, p_until timestamptz)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    c_first constant integer := 5;
    v_from    integer  := 1;
    v_step    integer  := c_first;
    v_began   timestamptz := clock_timestamp();
    v_ended   timestamptz;
    v_gone    bigint[] := '{}'::bigint[];
    v_refused bigint[] := '{}'::bigint[];
begin
    while v_from <= cardinality(p_job_ids) and v_began < p_until loop
        begin
            perform procrastinate_defer_constraints(false);
            v_gone := v_gone || procrastinate_delete_kept(p_job_ids[v_from : v_from + v_step - 1], p_now);
            perform procrastinate_defer_constraints(true);
            v_ended := clock_timestamp();
            v_from := v_from + v_step;
            v_step := greatest(1, floor(v_step * least(
                10, date_part('epoch', p_until - v_ended) / greatest(date_part('epoch', v_ended - v_began), 0.000001))))::integer;
            v_began := v_ended;
        exception when others then
            v_began := clock_timestamp();
            if v_step > 1 then
                v_step := 1;
            else
                if sqlstate <> '55P03' then        -- a lock is another matter: it passes
                    if v_refused = '{}' then
                        raise warning 'jobs whose time has come cannot be deleted: %', sqlerrm using errcode = sqlstate;
                    end if;
                    v_refused := v_refused || p_job_ids[v_from];
                end if;
                v_from := v_from + 1;
            end if;
        end;
    end loop;

    if v_refused <> '{}' then
        perform procrastinate_note_jobs(v_refused, p_earliest => '1 hour');
    end if;
    if v_from <= cardinality(p_job_ids) then
        perform procrastinate_note_jobs(p_job_ids[v_from :]);
    end if;
    if cardinality(v_gone) + cardinality(v_refused) < least(v_from - 1, cardinality(p_job_ids)) then
        perform procrastinate_note_jobs(
            array(select unnest(p_job_ids[: v_from - 1]) except select unnest(v_gone || v_refused)), p_earliest => '1 min');
    end if;
end;
$function$;

comment on function procrastinate_delete_in_steps(bigint[], timestamptz, timestamptz) is
    'Delete those of the jobs that were kept long enough, in steps that keep to the time, past what is refused; the others are noted anew.';

-- Deletes jobs whose time has come: one small batch, which takes some 10 ms, so that work beside it goes on. While there is more,
-- the tick that deleted comes again after c_cycle; so one worker goes on, and the others, whose ticks find that somebody deletes
-- or has just deleted, keep to their second. Where ticks are rare one makes up for it: it goes on for p_span.
--
-- A note only says where to look. Notes of jobs that are gone or todo again are dropped; a job that has to stay, or whose row
-- somebody has, is noted anew. Notes are read from the last one on, or from what is now as good as done, for a long transaction keeps
-- the dead ones before it.
create or replace function procrastinate_retain_jobs(
    inout p_at    timestamptz,
    inout p_until timestamptz,
    p_span        interval default '0',
    out   p_again interval
)
language plpgsql
volatile
set search_path from current
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
as $function$
declare
    c_batch  constant integer  := 1000;
    c_cycle  constant interval := interval '30 ms';
    c_pause  constant interval := interval '10 ms';
    c_most   constant interval := interval '0.25 s';
    c_commit constant interval := interval '1 s';
    v_now    timestamptz := clock_timestamp();
    v_note   record;
    v_places tid[];
    v_count  integer;
    v_ids    bigint[];
begin
    if p_at between v_now - c_pause and v_now then
        return;
    elsif not exists (select from procrastinate_retention r where r.delete_at >= p_until and r.delete_at <= v_now) then
        p_until := greatest(p_until, v_now - c_commit);
        return;
    elsif not pg_try_advisory_xact_lock('procrastinate_retention'::regclass::oid::integer, 0) then
        return;
    end if;

    loop
        v_places := '{}'::tid[];
        v_count := 0;
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
        perform procrastinate_delete_in_steps(v_ids, v_now, v_now + greatest(p_span, c_most));

        p_at := clock_timestamp();
        exit when v_count < c_batch or v_ids is null or p_at >= v_now + p_span;
    end loop;
    if v_count >= c_batch then
        p_again := greatest(c_cycle - (p_at - v_now), c_pause);
    end if;
end;
$function$;

comment on function procrastinate_retain_jobs(timestamptz, timestamptz, interval) is
    'Delete a batch of the jobs that were kept long enough, or batches for p_span. Given when that was last done and up to which note, returns
the same moved on, and the span after which to come again if there may be more.';
