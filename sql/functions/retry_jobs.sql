create or replace function procrastinate_retry_jobs(
    task        text     default null,
    queue       text     default null,
    statuses    text[]   default null,
    older_than  interval default null,
    max_jobs    integer  default 10000,
    schedule_in interval default null
)
returns bigint
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_statuses procrastinate_job_status[];
    v_ids      bigint[];
    v_at       timestamptz;
begin
    perform procrastinate_check_span('schedule_in', schedule_in);
    v_statuses := procrastinate_check_filter(task, queue, statuses, older_than, max_jobs, '{failed}', '{failed,cancelled,aborted}');
    v_ids := procrastinate_take_jobs('retry', task, queue, v_statuses, older_than, max_jobs);
    v_at := clock_timestamp() + coalesce(schedule_in, '0');
    perform procrastinate_end_jobs(array(select row(i, 'retried', 'todo', v_at, null)::procrastinate_end from unnest(v_ids) i));
    return cardinality(v_ids)::bigint;
end;
$function$;

comment on function procrastinate_retry_jobs(text, text, text[], interval, integer, interval) is
'Let jobs that failed, were cancelled or were aborted run once more, by filter. What an open transaction has is left for the next call.
Their attempts stay counted. Of several jobs with one queueing lock the first has it again, unless a todo job has it; the others go
without. At least one of task, queue, statuses and older_than is needed.
task: of this task only; NULL: of any.
queue: of this queue only; NULL: of any.
statuses: some of failed, cancelled and aborted; NULL: failed.
older_than: ended longer ago than this, from 0 to 100 years; NULL: no matter when. Who calls again and again says here how long ago
it began, or it meets the jobs that failed once more.
max_jobs: how many jobs at most, from 1. Call again until it returns fewer.
schedule_in: how long to wait before, from 0 to 100 years; NULL: not at all.
Returns how many jobs are todo again.
Raises PJ001 (nothing says which jobs, or an argument is out of its range).';
