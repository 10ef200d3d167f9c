create or replace function procrastinate_cancel_job(
    job_id bigint,
    abort  boolean default false
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
    select * into v_job from procrastinate_jobs j where j.id = job_id for update;
    if not found then
        perform procrastinate_no_such_job(job_id);
    end if;

    case
        when v_job.status = 'todo' then
            return (
                select e.status
                from procrastinate_end_jobs(array[row(job_id, 'cancelled', 'cancelled', null, null)::procrastinate_end]) e);
        when v_job.status = 'doing' and abort then
            if not v_job.abort_requested then
                update procrastinate_jobs j set abort_requested = true where j.id = job_id;
                insert into procrastinate_attempts (job_id, kind, attempt, started_at, worker_id)
                values (v_job.id, 'abort_requested', v_job.attempts + 1, v_job.started_at, v_job.worker_id);
            end if;
            perform procrastinate_notify(v_job.queue_name, 'abort_job_requested', job_id);
            return procrastinate_job_status 'doing';
        when v_job.status = 'cancelled' then
            return procrastinate_job_status 'cancelled';
        when v_job.status = 'doing' then
            raise exception 'job % is doing', job_id
                using errcode = 'PJ005', detail = 'Only a waiting job can be cancelled.', hint = 'abort => true asks its handler to stop.';
        else
            raise exception 'job % is %', job_id, v_job.status
                using errcode = 'PJ005', detail = 'Only a waiting job can be cancelled, or a running one aborted.';
    end case;
end;
$function$;

comment on function procrastinate_cancel_job(bigint, boolean) is
'Cancel a waiting job, or ask a running one to stop. Waits for an open transaction that has the job.
A request to stop stays until the job ends: its worker is notified, and told with every beat. Such a job does not go back to todo.
job_id: the job''s id.
abort: true: also a running job is asked to stop.
Returns the status the job now has: cancelled, also when it was already; doing, until its handler has stopped.
Raises PJ001 (job_id is NULL), PJ004 (there is no such job), PJ005 (the job is doing and abort is not true, or it ended
otherwise).';
