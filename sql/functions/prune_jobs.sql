create or replace function procrastinate_prune_jobs(
    older_than interval,
    statuses   text[]  default null,
    queue      text    default null,
    max_jobs   integer default 10000
)
returns bigint
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    if older_than is null then
        raise exception 'invalid older_than: NULL' using errcode = 'PJ001', hint = 'For jobs of any age: procrastinate_delete_jobs.';
    elsif 'todo' = any (statuses) then
        raise exception 'invalid statuses: %', statuses
            using errcode = 'PJ001', detail = 'What waits is not pruned.', hint = 'procrastinate_delete_jobs deletes waiting jobs too.';
    end if;
    return procrastinate_delete_jobs(queue => queue, statuses => statuses, older_than => older_than, max_jobs => max_jobs);
end;
$function$;

comment on function procrastinate_prune_jobs(interval, text[], text, integer) is
'Delete the jobs that ended long ago, and their attempts, sooner than procrastinate_tick does by keep_succeeded and keep_failed of
their tasks. What an open transaction has is left for the next call.
older_than: how long ago, from 0 to 100 years.
statuses: some of succeeded, failed, cancelled and aborted; NULL: all of them.
queue: of this queue only; NULL: of any.
max_jobs: how many jobs at most, from 1. Call again until it returns fewer.
Returns how many jobs were deleted.
Raises PJ001 (older_than is NULL, statuses has others, or an argument is out of its range).';
