-- plpgsql, although it could be one query: a function in SQL is planned anew in every transaction that calls it, and two
-- short looks, which mostly find nothing, are faster than one that joins.
create or replace function procrastinate_policy(p_task text)
returns procrastinate_tasks
language plpgsql
stable
set search_path from current
as $function$
declare
    t procrastinate_tasks;
    d procrastinate_tasks;
begin
    select x.* into t from procrastinate_tasks x where x.task_name = p_task;
    select x.* into d from procrastinate_tasks x where x.task_name = '*';
    return row(
        p_task,
        t.defined_at,
        coalesce(t.native, false),
        coalesce(t.queue_name, d.queue_name, 'default'),
        coalesce(t.priority, d.priority, 0),
        coalesce(t.lock, d.lock),
        coalesce(t.max_attempts, d.max_attempts),
        coalesce(t.retry_wait, d.retry_wait, '0'),
        coalesce(t.retry_linear, d.retry_linear, '0'),
        coalesce(t.retry_exponential, d.retry_exponential, 0),
        coalesce(t.retry_max_wait, d.retry_max_wait, '1 year'),
        coalesce(t.retry_jitter, d.retry_jitter, 0),
        coalesce(t.timeout, d.timeout),
        coalesce(t.on_stall, d.on_stall, 'retry'),
        coalesce(t.max_rescues, d.max_rescues, 3),
        coalesce(t.keep_succeeded, d.keep_succeeded, '7 days'),
        coalesce(t.keep_failed, d.keep_failed, '30 days'),
        coalesce(t.shared, d.shared, false))::procrastinate_tasks;
end;
$function$;

comment on function procrastinate_policy(text) is
    'The task''s defaults and policy, completed from those of * and the built-in ones. max_attempts, timeout and lock stay NULL when nobody said.';
