-- The trigger on jobs does what a deletion entails (jobs_deleted.sql).
create or replace function procrastinate_delete_jobs(
    task       text     default null,
    queue      text     default null,
    statuses   text[]   default null,
    older_than interval default null,
    max_jobs   integer  default 10000
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
    if 'doing' = any (statuses) then
        raise exception 'invalid statuses: %', statuses
            using errcode = 'PJ001', detail = 'A running job is not deleted.', hint = 'procrastinate_cancel_jobs asks it to stop, with abort => true.';
    end if;
    v_statuses := procrastinate_check_filter(
        task, queue, statuses, older_than, max_jobs, '{succeeded,failed,cancelled,aborted}', '{todo,succeeded,failed,cancelled,aborted}');
    v_ids := procrastinate_take_jobs('delete', task, queue, v_statuses, older_than, max_jobs);
    delete from procrastinate_jobs j where j.id = any (v_ids);
    return cardinality(v_ids)::bigint;
end;
$function$;

comment on function procrastinate_delete_jobs(text, text, text[], interval, integer) is
'Delete jobs and their attempts, by filter. What an open transaction has is left for the next call.
At least one of task, queue, statuses and older_than is needed.
task: of this task only; NULL: of any.
queue: of this queue only; NULL: of any.
statuses: some of succeeded, failed, cancelled, aborted and todo; NULL: all of these but todo.
older_than: ended longer ago than this, or deferred if todo; from 0 to 100 years; NULL: no matter when.
max_jobs: how many jobs at most, from 1. Call again until it returns fewer.
Returns how many jobs were deleted.
Raises PJ001 (nothing says which jobs, doing is among statuses, or an argument is out of its range).';
