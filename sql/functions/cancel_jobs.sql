create or replace function procrastinate_cancel_jobs(
    task       text     default null,
    queue      text     default null,
    statuses   text[]   default null,
    older_than interval default null,
    max_jobs   integer  default 10000,
    abort      boolean  default false
)
returns bigint
language plpgsql
volatile
security definer
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_statuses procrastinate_job_status[];
    v_ids      bigint[];
begin
    if 'doing' = any (statuses) and abort is not true then
        raise exception 'invalid statuses: %', statuses
            using errcode = 'PJ001', detail = 'Only waiting jobs can be cancelled.', hint = 'abort => true asks the handlers of running ones to stop.';
    end if;
    v_statuses := procrastinate_check_filter(
        task, queue, statuses, older_than, max_jobs, case when abort then '{todo,doing}' else '{todo}' end::text[], '{todo,doing}');
    v_ids := procrastinate_take_jobs('cancel', task, queue, v_statuses, older_than, max_jobs);

    perform procrastinate_end_jobs(array(
        select row(j.id, 'cancelled', 'cancelled', null, null)::procrastinate_end
        from procrastinate_jobs j
        where j.id = any (v_ids) and j.status = 'todo'
        order by j.id));

    update procrastinate_jobs j
    set abort_requested = true
    where j.id = any (v_ids) and j.status = 'doing';
    insert into procrastinate_attempts (job_id, kind, attempt, started_at, worker_id)
    select j.id, 'abort_requested', j.attempts + 1, j.started_at, j.worker_id
    from procrastinate_jobs j
    where j.id = any (v_ids) and j.status = 'doing'
    order by j.id;
    perform procrastinate_notify(j.queue_name, 'abort_job_requested', j.id)
    from procrastinate_jobs j
    where j.id = any (v_ids) and j.status = 'doing';
    return cardinality(v_ids)::bigint;
end;
$function$;

comment on function procrastinate_cancel_jobs(text, text, text[], interval, integer, boolean) is
'Cancel waiting jobs, or ask running ones to stop, by filter. What an open transaction has is left for the next call.
At least one of task, queue, statuses and older_than is needed.
task: of this task only; NULL: of any.
queue: in this queue only; NULL: in any.
statuses: todo, and with abort also doing; NULL: todo, or both with abort.
older_than: deferred longer ago than this, or started if running; from 0 to 100 years; NULL: no matter when.
max_jobs: how many jobs at most, from 1. Call again until it returns fewer.
abort: true: also running jobs are asked to stop, those that were not yet.
Returns how many jobs were cancelled or asked to stop.
Raises PJ001 (nothing says which jobs, doing is among statuses and abort is not true, or an argument is out of its range).';
