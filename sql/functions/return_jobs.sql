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
as $function$
begin
    perform procrastinate_check_held(worker_id, job_ids);
    perform procrastinate_wait_for(worker_id, job_ids);
    return query select g.job_id, g.outcome from procrastinate_give_back(worker_id, job_ids) g where g.outcome <> 'returned';
end;
$function$;

comment on function procrastinate_return_jobs(bigint, bigint[]) is
    'Give jobs back that were not run to an end: todo again, no attempt counted, before the others of their priority; aborted, if their abort was requested. '
    'Returns only those that could not be given back: lost, for they are not held by this worker, or busy, for an open transaction has the row: '
    'give those back again, each alone. One job alone waits. Raises PJ001 (invalid argument), PJ003 (worker not registered).';

-- Mends an answer that never arrived: the fetch was committed, the worker does not know its jobs. It may even be on its way
-- still, its connection cut; it holds the worker's row until it has committed, so we wait for that and then look at the leases.
create or replace function procrastinate_keep_jobs(worker_id bigint, job_ids bigint[])
returns table (job_id bigint, outcome text)
language plpgsql
volatile
security definer
set search_path from current
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
    'A worker, with no fetch on its way, says which jobs it has: all others that it holds by the database go back to todo, uncounted. '
    'Returns those: returned, or busy when an open transaction has the row; then call again. Raises PJ001 (invalid argument), PJ003 (worker not registered).';

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
    'The handler wants to be called again in snooze_in; no attempt is counted. Returns the new status: todo, or aborted when the job''s abort was requested. '
    'Raises PJ001 (invalid argument), PJ002 (not held by this worker), PJ003 (worker not registered).';

create or replace function procrastinate_abort_job(worker_id bigint, job_id bigint, error text default null)
returns procrastinate_job_status
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    perform procrastinate_lock_held(worker_id, job_id);
    return (
        select e.status
        from procrastinate_end_jobs(array[row(job_id, 'aborted', 'aborted', null, error)::procrastinate_end]) e);
end;
$function$;

comment on function procrastinate_abort_job(bigint, bigint, text) is
    'The handler stopped because it was asked to: the job ends as aborted, its attempt counts. '
    'Raises PJ001 (invalid argument), PJ002 (not held by this worker), PJ003 (worker not registered).';
