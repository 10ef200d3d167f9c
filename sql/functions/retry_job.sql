create or replace function procrastinate_retry_job(job_id bigint, schedule_in interval default null)
returns procrastinate_job_status
language plpgsql
volatile
security definer
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_status procrastinate_job_status;
begin
    perform procrastinate_check_span('schedule_in', schedule_in);
    select j.status into v_status from procrastinate_jobs j where j.id = job_id for update;
    if not found then
        perform procrastinate_no_such_job(job_id);
    elsif v_status not in ('failed', 'cancelled', 'aborted') then
        raise exception 'job % is %', job_id, v_status
            using errcode = 'PJ005', detail = 'Only a failed, cancelled or aborted job can be retried.',
                  hint = 'A waiting job is moved to another time by procrastinate_change_job.';
    end if;
    return (
        select e.status
        from procrastinate_end_jobs(array[
            row(job_id, 'retried', 'todo', clock_timestamp() + coalesce(schedule_in, '0'), null)::procrastinate_end]) e);
end;
$function$;

comment on function procrastinate_retry_job(bigint, interval) is
'Let a job that failed, was cancelled or was aborted run once more.
Its attempts stay counted: when they are used up and this one fails too, it fails for good. When another todo job has its queueing
lock, it goes without. Waits for an open transaction that has the job.
job_id: the job''s id.
schedule_in: how long to wait before, from 0 to 100 years; NULL: not at all.
Returns the new status: todo.
Raises PJ001 (job_id is NULL, or schedule_in is out of its range), PJ004 (there is no such job), PJ005 (the job is todo, doing or
succeeded).';
