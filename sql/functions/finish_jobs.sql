-- What became of jobs that a worker wanted to end and did not get: lost, or busy. A job lost between two statements may be
-- called busy once; the next call knows better.
create or replace function procrastinate_not_ended(p_worker_id bigint, p_job_ids bigint[], p_ended bigint[])
returns table (job_id bigint, outcome text)
language sql
stable
set search_path from current
as $function$
    select distinct i, case when (
        select 1 from procrastinate_jobs j where j.id = i and j.status = 'doing' and j.worker_id = p_worker_id
    ) is null then 'lost' else 'busy' end
    from unnest(p_job_ids) i
    where i not in (select e from unnest(p_ended) e)
$function$;

comment on function procrastinate_not_ended(bigint, bigint[], bigint[]) is
    'Those of p_job_ids that are not in p_ended, as lost (not held by the worker) or busy (an open transaction has the row).';

-- Ends with success the jobs whose bodies can be had at once, and returns their ids.
--
-- The fence: only a job that is doing and held by this worker ends. Whoever takes jobs from a worker holds their bodies
-- while it does, so exactly one of the two gets each job. First the lock, then the look, as in choose_plain: the held rows
-- are looked for in a statement that sees what the bodies' last owners committed (or, on an older snapshot, the lock on a
-- body that changed since fails with 40001). A held lock is passed on by a token in the hand-over lane, always, without a
-- look at who waits: no need to have the key's advisory lock, so no need to wait for it.
create or replace function procrastinate_succeed(p_worker_id bigint, p_job_ids bigint[], p_results jsonb[])
returns bigint[]
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_places  tid[];
    v_ids     bigint[];
    v_locked  bigint[];
    v_keep    boolean := not exists (select from procrastinate_tasks t where t.keep_succeeded = '0');       -- all of them
    v_task    text;
    v_other   text;
    v_results jsonb;        -- by id: where each is found at once
    v_brief   tid[];
    v_deleted bigint;
begin
    select
        array_agg(b.place), array_agg(b.id), array_agg(b.id) filter (where b.lock_key is not null),
        min(b.task_name collate "C"), max(b.task_name collate "C")
    into v_places, v_ids, v_locked, v_task, v_other
    from (
        select j.ctid as place, j.id, j.lock_key, case when not v_keep then j.task_name end as task_name
        from procrastinate_jobs j
        where j.id = any (p_job_ids) and j.status = 'doing' and j.worker_id = p_worker_id
        for update skip locked
    ) b;
    if v_ids is null then
        return '{}'::bigint[];
    end if;

    -- what is not kept: the trigger on jobs does what a deletion entails, and what is gone is passed over below
    if not v_keep and v_task = v_other then
        v_brief := case when (procrastinate_policy(v_task)).keep_succeeded = '0' then v_places end;
    elsif not v_keep then
        with job as materialized (
            select j.ctid as place, j.task_name from procrastinate_jobs j where j.ctid = any (v_places)
        ), policy as materialized (
            select t.task_name, procrastinate_policy(t.task_name) as policy
            from (select distinct j.task_name from job j) t
        )
        select array_agg(j.place) into v_brief
        from job j
        where j.task_name in (select p.task_name from policy p where (p.policy).keep_succeeded = '0');
    end if;
    if v_brief is not null then
        delete from procrastinate_jobs j where j.ctid = any (v_brief);
        get diagnostics v_deleted = row_count;      -- a trigger of users' may keep some: they end as if they were kept
        if v_deleted = cardinality(v_places) then
            return v_ids;
        end if;
    end if;

    if v_locked is not null then
        perform procrastinate_leave_locks(v_locked);
    end if;

    if p_results is not null then
        select jsonb_object_agg(r.id, r.result) into v_results
        from unnest(p_job_ids, p_results) r(id, result)
        where r.result is not null;
    end if;
    update procrastinate_jobs j
    set status = 'succeeded', attempts = j.attempts + 1, abort_requested = false, worker_id = null,
        finished_at = clock_timestamp(), result = v_results -> j.id::text
    where j.ctid = any (v_places);
    return v_ids;
end;
$function$;

comment on function procrastinate_succeed(bigint, bigint[], jsonb[]) is
    'End jobs with success; returns the ids of those that ended.';

-- A worker that was removed is told so even when its jobs were not taken back yet. One test for all, for each is prepared
-- anew in every transaction; what is wrong is looked for only then.
create or replace function procrastinate_check_held(p_worker_id bigint, p_job_ids bigint[], p_results jsonb[] default null)
returns void
language plpgsql
stable
set search_path from current
as $function$
begin
    if array_position(p_job_ids, null) is null
        and coalesce(cardinality(p_results), cardinality(p_job_ids)) = cardinality(p_job_ids)
        and exists (select from procrastinate_workers w where w.id = p_worker_id)
    then
        return;
    elsif p_job_ids is null or array_position(p_job_ids, null) is not null then
        raise exception 'invalid job_ids: NULL' using errcode = 'PJ001';
    elsif cardinality(p_results) <> cardinality(p_job_ids) then
        raise exception 'invalid results: % for % jobs', cardinality(p_results), cardinality(p_job_ids)
            using errcode = 'PJ001', detail = 'One for each job is accepted, or NULL for none at all.';
    end if;
    perform procrastinate_no_such_worker(p_worker_id);
end;
$function$;

comment on function procrastinate_check_held(bigint, bigint[], jsonb[]) is
    'Raises PJ001 unless a worker and job ids are given, and a result for each job or none at all; PJ003 unless the worker is registered.';

-- One job alone is waited for, when somebody has its row: nobody else's end waits behind it.
create or replace function procrastinate_wait_for(p_worker_id bigint, p_job_ids bigint[])
returns void
language plpgsql
volatile
set search_path from current
as $function$
begin
    if cardinality(p_job_ids) = 1 then
        perform from procrastinate_jobs j where j.id = p_job_ids[1] and j.status = 'doing' and j.worker_id = p_worker_id for update;
    end if;
end;
$function$;

comment on function procrastinate_wait_for(bigint, bigint[]) is
    'With one job, wait until its row can be had; with more, do nothing.';

create or replace function procrastinate_finish_jobs(worker_id bigint, job_ids bigint[], results jsonb[] default null)
returns table (job_id bigint, outcome text)
language plpgsql
volatile
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
    v_ended bigint[];
begin
    perform procrastinate_check_held(worker_id, job_ids, results);
    v_ended := procrastinate_succeed(worker_id, job_ids, results);
    if v_ended = '{}' and cardinality(job_ids) = 1 then
        perform procrastinate_wait_for(worker_id, job_ids);
        v_ended := procrastinate_succeed(worker_id, job_ids, results);
    end if;
    if cardinality(v_ended) <> cardinality(job_ids) then
        return query select n.job_id, n.outcome from procrastinate_not_ended(worker_id, job_ids, v_ended) n;
    end if;
end;
$function$;

comment on function procrastinate_finish_jobs(bigint, bigint[], jsonb[]) is
'End jobs with success. One job alone waits for an open transaction that has it, several do not.
worker_id: the worker''s id, from procrastinate_register_worker.
job_ids: the jobs'' ids.
results: what the handlers returned, an entry for each job, any JSON or NULL; NULL: nothing at all.
Returns only the jobs that did not end.
job_id: id of such a job.
outcome: lost: not held by this worker (any more). busy: an open transaction has it; finish it again, alone.
Raises PJ001 (worker_id, job_ids or an entry of it is NULL, or results are not as many as job_ids), PJ003 (the worker is not
registered, or not any more; nothing was finished).';

-- The fast path of a busy worker: one round trip and one commit for the end of one batch and the start of the next.
create or replace function procrastinate_exchange_jobs(
    worker_id    bigint,
    job_ids      bigint[],
    results      jsonb[],
    max_jobs     integer,
    max_per_lock integer default 1
)
returns setof procrastinate_job
language plpgsql
volatile
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
    v_ended bigint[];
begin
    perform procrastinate_check_held(worker_id, job_ids, results);
    v_ended := procrastinate_succeed(worker_id, job_ids, results);
    if cardinality(v_ended) <> cardinality(job_ids) then
        return query
        select
            n.job_id, null::text, null::text, null::jsonb, null::integer, null::text, null::integer, null::integer, null::interval,
            null::timestamptz, null::timestamptz, null::jsonb, n.outcome
        from procrastinate_not_ended(worker_id, job_ids, v_ended) n;
    end if;
    return query select * from procrastinate_fetch_jobs(worker_id, max_jobs, max_per_lock);
end;
$function$;

comment on function procrastinate_exchange_jobs(bigint, bigint[], jsonb[], integer, integer) is
'procrastinate_finish_jobs and procrastinate_fetch_jobs in one: the fast path of a busy worker. Never waits for a job that an open
transaction has.
worker_id: the worker''s id, from procrastinate_register_worker.
job_ids: ids of the jobs to finish; may be empty.
results: what the handlers returned, an entry for each of job_ids, any JSON or NULL; NULL: nothing at all.
max_jobs: how many jobs to fetch at most, from 1; of those with locks at most 200.
max_per_lock: how many jobs of one lock to fetch at most, from 1. The worker runs them one after the other, in the order given.
Returns first the jobs that did not end, with nothing but id and outcome (lost or busy), then those that were fetched, each as a
procrastinate_job.
Raises PJ001 (an argument but results, or an entry of job_ids, is NULL, max_jobs or max_per_lock is below 1, or results are not as
many as job_ids), PJ003 (the worker is not registered, or not any more; nothing was finished), PJ009 (the transaction is not READ
COMMITTED; nothing was finished).';
