-- Notifications are hints: a worker that polls is as correct, only later. Each costs the commit a global lock, so callers
-- send none where workers must be busy already. pg_notify drops repeats within a transaction.
create or replace function procrastinate_notify(p_queue text, p_type text, p_job_id bigint)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_payload text := json_build_object('type', p_type, 'job_id', p_job_id)::text;
begin
    if current_setting('procrastinate.notify', true) = 'off' then
        return;
    end if;
    perform pg_notify('procrastinate_any_queue_v1', v_payload);
    -- a cast to name cuts exactly as LISTEN does
    perform pg_notify(('procrastinate_queue_v1#' || p_queue)::name::text, v_payload);
end;
$function$;

comment on function procrastinate_notify(text, text, bigint) is
    'Tell the listeners of a queue, and those of all queues. p_type is job_inserted or abort_job_requested. Does nothing with procrastinate.notify = off.';
