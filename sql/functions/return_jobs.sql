-- Jobs go back without an attempt, to where they are fetched before the others of their priority.
create or replace function procrastinate_give_back(p_worker_id bigint, p_job_ids bigint[])
returns table (job_id bigint, outcome text)
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_ends procrastinate_end[];
begin
    with body as materialized (
        select j.id
        from (select distinct unnest(p_job_ids)) i(id)
        cross join lateral (
            select x.id
            from procrastinate_jobs x
            where x.id = i.id and x.status = 'doing' and x.worker_id = p_worker_id
            for update skip locked
        ) j
    )
    select array_agg(row(b.id, 'returned', 'todo', null, null)::procrastinate_end) into v_ends from body b;
    return query select e.job_id, 'returned' from procrastinate_end_jobs(v_ends) e;
    return query
    select n.job_id, n.outcome
    from procrastinate_not_ended(p_worker_id, p_job_ids, array(select e.job_id from unnest(v_ends) e)) n;
end;
$function$;

comment on function procrastinate_give_back(bigint, bigint[]) is
    'Give jobs back, uncounted; says of each: returned, lost or busy.';

create or replace function procrastinate_return_jobs(worker_id bigint, job_ids bigint[])
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
begin
    perform procrastinate_check_held(worker_id, job_ids);
    perform procrastinate_wait_for(worker_id, job_ids);
    return query select g.job_id, g.outcome from procrastinate_give_back(worker_id, job_ids) g where g.outcome <> 'returned';
end;
$function$;

comment on function procrastinate_return_jobs(bigint, bigint[]) is
'Give jobs back that were not run to an end: todo again, before the others of their priority, and no attempt is counted. Aborted,
if their abort was requested.
One job alone waits for an open transaction that has it, several do not.
worker_id: the worker''s id, from procrastinate_register_worker.
job_ids: the jobs'' ids.
Returns only the jobs that could not be given back.
job_id: id of such a job.
outcome: lost: not held by this worker (any more). busy: an open transaction has it; give it back again, alone.
Raises PJ001 (worker_id, job_ids or an entry of it is NULL), PJ003 (the worker is not registered, or not any more; nothing was
given back).';

-- Mends an answer that never arrived: the fetch was committed, the worker does not know its jobs. It may even be on its way
-- still, its connection cut; it holds the worker's row until it has committed, so we wait for that and then look at the leases.
create or replace function procrastinate_keep_jobs(worker_id bigint, job_ids bigint[])
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
    v_others bigint[];
begin
    perform procrastinate_check_held(worker_id, job_ids);
    perform from procrastinate_workers w where w.id = worker_id for update;
    v_others := array(
        select i
        from procrastinate_leases l
        cross join unnest(l.job_ids) i
        where l.worker_id = procrastinate_keep_jobs.worker_id and i not in (select k from unnest(procrastinate_keep_jobs.job_ids) k));
    return query select g.job_id, g.outcome from procrastinate_give_back(worker_id, v_others) g where g.outcome <> 'lost';
end;
$function$;

comment on function procrastinate_keep_jobs(bigint, bigint[]) is
'After an answer that never arrived: a worker says which jobs it has, and all others that it holds by the database are given back,
uncounted.
For a worker with no fetch on its way; a fetch that is still on its way in the database is waited for.
worker_id: the worker''s id, from procrastinate_register_worker.
job_ids: ids of the jobs it has; may be empty.
Returns a row for each of the others.
job_id: id of such a job.
outcome: returned. busy: an open transaction has it; call again.
Raises PJ001 (worker_id, job_ids or an entry of it is NULL), PJ003 (the worker is not registered, or not any more).';

-- Locks the job's row, waiting if need be, so that what follows finds it as it is now.
create or replace function procrastinate_lock_held(p_worker_id bigint, p_job_id bigint)
returns void
language plpgsql
volatile
set search_path from current
as $function$
begin
    perform procrastinate_check_held(p_worker_id, array[p_job_id]);
    perform from procrastinate_jobs j where j.id = p_job_id and j.status = 'doing' and j.worker_id = p_worker_id for update;
    if not found then
        perform procrastinate_not_held(p_worker_id, p_job_id);
    end if;
end;
$function$;

comment on function procrastinate_lock_held(bigint, bigint) is
    'Lock the row of a job that the worker holds. Raises PJ001, PJ002 (not held), PJ003 (worker not registered).';

create or replace function procrastinate_snooze_job(worker_id bigint, job_id bigint, snooze_in interval)
returns procrastinate_job_status
language plpgsql
volatile
security definer
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
begin
    if snooze_in is null then
        raise exception 'invalid snooze_in: NULL' using errcode = 'PJ001';
    end if;
    perform procrastinate_check_span('snooze_in', snooze_in);
    perform procrastinate_lock_held(worker_id, job_id);
    return (
        select e.status
        from procrastinate_end_jobs(array[row(job_id, 'snoozed', 'todo', clock_timestamp() + snooze_in, null)::procrastinate_end]) e);
end;
$function$;

comment on function procrastinate_snooze_job(bigint, bigint, interval) is
'The handler wants to be called again later. No attempt is counted. Waits for an open transaction that has the job.
worker_id: the worker''s id, from procrastinate_register_worker.
job_id: the job''s id.
snooze_in: how much later, from 0 to 100 years.
Returns the new status: todo, or aborted when the job''s abort was requested.
Raises PJ001 (an argument is NULL, or snooze_in is out of its range), PJ002 (the job is not held by this worker), PJ003 (the
worker is not registered, or not any more).';

create or replace function procrastinate_abort_job(worker_id bigint, job_id bigint, error text default null)
returns procrastinate_job_status
language plpgsql
volatile
security definer
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
begin
    perform procrastinate_lock_held(worker_id, job_id);
    return (
        select e.status
        from procrastinate_end_jobs(array[row(job_id, 'aborted', 'aborted', null, error)::procrastinate_end]) e);
end;
$function$;

comment on function procrastinate_abort_job(bigint, bigint, text) is
'The handler stopped because it was asked to. The job ends as aborted; the attempt counts. Waits for an open transaction that has
the job.
worker_id: the worker''s id, from procrastinate_register_worker.
job_id: the job''s id.
error: what there is to say, cut to 10,000 characters; NULL: nothing.
Returns the new status: aborted.
Raises PJ001 (worker_id or job_id is NULL), PJ002 (the job is not held by this worker), PJ003 (the worker is not registered, or
not any more).';
