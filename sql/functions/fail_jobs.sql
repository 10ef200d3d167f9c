-- The policy decides, unless the handler has said: a span (retry_in), or that it is of no use (final). Either way the
-- number of attempts is bounded. Bodies that an open transaction has are left, and said to be busy.
create or replace function procrastinate_fail(p_worker_id bigint, p_job_ids bigint[], p_errors text[], p_retry_in interval[], p_final boolean[])
returns table (job_id bigint, status text)
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_ends procrastinate_end[];
begin
    with body as materialized (
        select j.id, j.task_name, j.attempts, j.max_attempts, f.error, f.retry_in, f.final
        from unnest(p_job_ids, p_errors, p_retry_in, p_final) f(id, error, retry_in, final)
        cross join lateral (
            select x.id, x.task_name, x.attempts, x.max_attempts
            from procrastinate_jobs x
            where x.id = f.id and x.status = 'doing' and x.worker_id = p_worker_id
            for update skip locked
        ) j
    ), policy as materialized (
        select t.task_name, procrastinate_policy(t.task_name) as policy
        from (select distinct b.task_name from body b) t
    ), fate as (
        select distinct on (b.id)
            b.id, b.error,
            not coalesce(b.final, false) and b.attempts + 1 < coalesce(b.max_attempts, (p.policy).max_attempts, 1) as again,
            coalesce(b.retry_in, procrastinate_retry_delay(p.policy, b.attempts)) as delay
        from body b
        join policy p using (task_name)
    )
    select array_agg(row(
        f.id, 'failed', case when f.again then 'todo' else 'failed' end,
        case when f.again then clock_timestamp() + f.delay end, coalesce(f.error, 'no reason given'))::procrastinate_end)
    into v_ends
    from fate f;

    return query select e.job_id, e.status::text from procrastinate_end_jobs(v_ends) e;
    return query
    select n.job_id, n.outcome
    from procrastinate_not_ended(p_worker_id, p_job_ids, array(select e.job_id from unnest(v_ends) e)) n;
end;
$function$;

comment on function procrastinate_fail(bigint, bigint[], text[], interval[], boolean[]) is
    'Attempts end in failure; returns for each job its new status, or lost, or busy.';

create or replace function procrastinate_fail_jobs(
    worker_id bigint,
    job_ids   bigint[],
    errors    text[]     default null,
    retry_in  interval[] default null,
    final     boolean[]  default null
)
returns table (job_id bigint, status text)
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
    v_span interval;
begin
    perform procrastinate_check_held(worker_id, job_ids);
    if cardinality(errors) <> cardinality(job_ids) or cardinality(retry_in) <> cardinality(job_ids) or cardinality(final) <> cardinality(job_ids) then
        raise exception 'invalid errors, retry_in or final: not as many as jobs'
            using errcode = 'PJ001', detail = 'One for each job is accepted, or NULL for none at all.';
    end if;
    foreach v_span in array coalesce(retry_in, '{}') loop
        perform procrastinate_check_span('retry_in', v_span);
    end loop;

    perform procrastinate_wait_for(worker_id, job_ids);
    return query select f.job_id, f.status from procrastinate_fail(worker_id, job_ids, errors, retry_in, final) f;
end;
$function$;

comment on function procrastinate_fail_jobs(bigint, bigint[], text[], interval[], boolean[]) is
'Attempts ended in failure. A job that may run again (by its max_attempts, else its task''s) goes back to todo, the others fail.
One job alone waits for an open transaction that has it, several do not.
worker_id: the worker''s id, from procrastinate_register_worker.
job_ids: the jobs'' ids.
errors: what went wrong, an entry for each job, cut to 10,000 characters; NULL: no reason given.
retry_in: how long to wait before the next attempt, an entry for each job, from 0 to 100 years; NULL: as the task''s policy says.
final: an entry for each job; true: it does not run again, whatever is left; NULL: none is final.
Returns a row for each job.
job_id: the job''s id.
status: its new status: todo, failed, or aborted instead of todo when its abort was requested. lost: not held by this worker (any
more). busy: an open transaction has it; fail it again, alone.
Raises PJ001 (worker_id, job_ids or an entry of it is NULL, a span is out of its range, or another array is not as long as
job_ids), PJ003 (the worker is not registered, or not any more; nothing was failed).';

create or replace function procrastinate_fail_job(
    worker_id bigint,
    job_id    bigint,
    error     text     default null,
    retry_in  interval default null,
    final     boolean  default false
)
returns procrastinate_job_status
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_status text;
begin
    select f.status into v_status
    from procrastinate_fail_jobs(worker_id, array[job_id], array[error], array[retry_in], array[final]) f;
    if v_status = 'lost' then
        perform procrastinate_not_held(worker_id, job_id);
    end if;
    return v_status::procrastinate_job_status;
end;
$function$;

comment on function procrastinate_fail_job(bigint, bigint, text, interval, boolean) is
'procrastinate_fail_jobs for one job. Waits for an open transaction that has it.
worker_id: the worker''s id, from procrastinate_register_worker.
job_id: the job''s id.
error: what went wrong, cut to 10,000 characters; NULL: no reason given.
retry_in: how long to wait before the next attempt, from 0 to 100 years; NULL: as the task''s policy says.
final: true: it does not run again, whatever is left.
Returns the new status: todo, failed, or aborted instead of todo when its abort was requested.
Raises PJ001 (worker_id or job_id is NULL, or retry_in is out of its range), PJ002 (the job is not held by this worker), PJ003
(the worker is not registered, or not any more).';
