-- The truth changes and new hints are written; an old token no longer matches its lane and is dropped by whoever finds it.
-- With a lock, the job leaves its place in the lock queue first, and the lock is looked at again: its head may be another.
-- The caller holds the job's row.
create or replace function procrastinate_move_job(p_job procrastinate_jobs, p_priority integer, p_queue text, p_scheduled_at timestamptz)
returns void
language plpgsql
volatile
set search_path from current
as $function$
begin
    if (p_priority, p_queue, p_scheduled_at) is not distinct from (p_job.priority, p_job.queue_name, p_job.scheduled_at) then
        return;
    end if;
    perform procrastinate_leave_locks(array[p_job.id]);
    update procrastinate_jobs j
    set priority = p_priority, queue_name = p_queue, scheduled_at = p_scheduled_at
    where j.id = p_job.id;
    perform procrastinate_hint_jobs(array[p_job.id]);
end;
$function$;

comment on function procrastinate_move_job(procrastinate_jobs, integer, text, timestamptz) is
    'Give a todo job another priority, queue and time. The caller holds its row.';

create or replace function procrastinate_change_job(
    job_id      bigint,
    priority    integer     default null,
    queue       text        default null,
    schedule_at timestamptz default null
)
returns procrastinate_job_status
language plpgsql
volatile
security definer
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_job procrastinate_jobs;
begin
    if queue is not null then
        perform procrastinate_check_name('queue', queue);
    end if;
    if not isfinite(schedule_at) then
        raise exception 'invalid schedule_at: %', schedule_at using errcode = 'PJ001', detail = 'A finite time is accepted.';
    end if;
    select * into v_job from procrastinate_jobs j where j.id = job_id for update;
    if not found then
        perform procrastinate_no_such_job(job_id);
    elsif v_job.status <> 'todo' then
        raise exception 'job % is %', job_id, v_job.status
            using errcode = 'PJ005', detail = 'Only a waiting job can be changed.';
    end if;
    perform procrastinate_move_job(
        v_job, coalesce(priority, v_job.priority), coalesce(queue, v_job.queue_name), coalesce(schedule_at, v_job.scheduled_at));
    return procrastinate_job_status 'todo';
end;
$function$;

comment on function procrastinate_change_job(bigint, integer, text, timestamptz) is
'Give a waiting job another priority, queue or time. What is left NULL stays. Waits for an open transaction that has the job.
job_id: the job''s id.
priority: higher runs first.
queue: a name of 1 to 128 characters.
schedule_at: not before this time; a time that has passed: at once.
Returns the status: todo.
Raises PJ001 (job_id is NULL, or another argument is out of its range), PJ004 (there is no such job), PJ005 (the job is not todo).';
