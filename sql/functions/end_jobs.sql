-- A job on its way back to todo wants its queueing lock again. We hold its row, and whoever holds a row waits for nobody:
-- a defer of the same queueing lock that is still open counts as having it. The lock timeout is what cuts that wait off.
create or replace function procrastinate_retake_queueing_lock(p_queueing_lock text, p_job_id bigint)
returns boolean
language plpgsql
volatile
set search_path from current
set lock_timeout = '10ms'
as $function$
begin
    insert into procrastinate_queueing_locks (queueing_lock, job_id)
    values (p_queueing_lock, p_job_id)
    on conflict do nothing;
    return found;
exception when lock_not_available then
    return false;
end;
$function$;

comment on function procrastinate_retake_queueing_lock(text, bigint) is
    'Give a job that returns to todo its queueing lock; false when another waiting job, or an open transaction, has it.';

-- Every way of a job out of the status it has, but plain success: failed, aborted, cancelled, snoozed, returned, rescued,
-- retried. The caller holds the rows and has checked that each may go this way.
--
-- A job whose abort was requested does not go back to todo: it ends as aborted. One that ends and is not kept at all ends as any
-- other, and then is deleted, and its attempts with it.
create or replace function procrastinate_end_jobs(p_ends procrastinate_end[])
returns table (job_id bigint, status procrastinate_job_status)
language plpgsql
volatile
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_end    procrastinate_end;
    v_job    procrastinate_jobs;
    v_counts integer;
    v_rescue integer;
    v_unique boolean;
    v_front  bigint[] := '{}'::bigint[];
    v_back   bigint[] := '{}'::bigint[];
    v_brief  boolean  := exists (select from procrastinate_tasks t where t.keep_failed = '0');
    v_gone   bigint[] := '{}'::bigint[];
    v_noted  bigint[] := '{}'::bigint[];
begin
    if p_ends is null then
        return;
    end if;
    perform procrastinate_leave_locks(array(select e.job_id from unnest(p_ends) e));

    -- One by one, for each may take the queueing lock that the next one wants too; and an update that joins an array of rows
    -- is planned to read the whole table when it was planned while the table was empty.
    foreach v_end in array p_ends loop
        select * into v_job from procrastinate_jobs j where j.id = v_end.job_id;
        v_counts := (v_end.kind in ('failed', 'aborted'))::integer;
        v_rescue := (v_end.kind = 'rescued')::integer;
        v_unique := true;
        if v_end.status = 'todo' and v_job.abort_requested then
            v_end.status := 'aborted';
        end if;
        if v_end.status = 'aborted' then
            v_end.kind := 'aborted';
        end if;
        if v_end.status = 'todo' then
            v_end.scheduled_at := coalesce(v_end.scheduled_at, clock_timestamp());
        else
            v_end.scheduled_at := null;
        end if;

        if v_job.queueing_lock is not null then
            if v_job.status = 'todo' then
                delete from procrastinate_queueing_locks q where q.queueing_lock = v_job.queueing_lock and q.job_id = v_job.id;
            elsif v_end.status = 'todo' then
                v_unique := procrastinate_retake_queueing_lock(v_job.queueing_lock, v_job.id);
            end if;
        end if;

        update procrastinate_jobs j
        set status = v_end.status,
            attempts = j.attempts + v_counts,
            rescues = j.rescues + v_rescue,
            scheduled_at = coalesce(v_end.scheduled_at, j.scheduled_at),
            queueing_lock = case when v_unique then j.queueing_lock end,
            error = coalesce(left(v_end.error, 10000), j.error),
            abort_requested = false,
            worker_id = null,
            finished_at = case when v_end.status <> 'todo' then clock_timestamp() end
        where j.id = v_job.id;

        insert into procrastinate_attempts (job_id, kind, attempt, started_at, worker_id, error, scheduled_at, queueing_lock)
        values (
            v_job.id, v_end.kind,
            case when v_job.status = 'doing' then v_job.attempts + 1 end,
            case when v_job.status = 'doing' then v_job.started_at end,
            v_job.worker_id, left(v_end.error, 10000), v_end.scheduled_at,
            case when not v_unique then v_job.queueing_lock end);

        if v_end.status = 'todo' and v_end.kind in ('returned', 'rescued') then
            v_front := v_front || v_job.id;
        elsif v_end.status = 'todo' then
            v_back := v_back || v_job.id;
        elsif v_brief and (procrastinate_policy(v_job.task_name)).keep_failed = '0' then
            v_gone := v_gone || v_job.id;
        elsif v_job.status = 'todo' then        -- all others are in a lease
            v_noted := v_noted || v_job.id;
        end if;
        job_id := v_job.id;
        status := v_end.status;
        return next;
    end loop;

    if v_gone <> '{}' then
        delete from procrastinate_jobs j where j.id = any (v_gone);
        v_noted := v_noted || array(select j.id from procrastinate_jobs j where j.id = any (v_gone));     -- a trigger of users' may keep some
    end if;
    if v_noted <> '{}' then
        perform procrastinate_note_jobs(v_noted);
    end if;
    if v_front <> '{}' then
        perform procrastinate_hint_jobs(v_front, p_returned => true);
    end if;
    if v_back <> '{}' then
        perform procrastinate_hint_jobs(v_back);
    end if;
end;
$function$;

comment on function procrastinate_end_jobs(procrastinate_end[]) is
    'Jobs leave the status they have: the row, its attempts, locks and hints. Returns the status each now has. The caller holds the jobs'' rows.';
