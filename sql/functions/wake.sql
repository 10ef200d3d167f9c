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

-- Workers tick once a second and then know what is due within the next; of what comes nearer they are told here. Not if something else
-- on the agenda will make them tick before it: they learn of this one then.
create or replace function procrastinate_wake_clock(p_at timestamptz)
returns void
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_now timestamptz := clock_timestamp();
begin
    if p_at >= v_now + interval '1 s' or current_setting('procrastinate.notify', true) = 'off' then
        return;
    elsif current_setting('transaction_isolation') <> 'read committed'
        or not exists (select from procrastinate_agenda a where a.at >= v_now and a.at < p_at)
    then
        perform pg_notify('procrastinate_clock_v1', greatest(ceil(extract(epoch from p_at - v_now) * 1000), 0)::text);
    end if;
end;
$function$;

comment on function procrastinate_wake_clock(timestamptz) is
    'Tell those who tick that something on the agenda will be due: the milliseconds until then, on channel procrastinate_clock_v1. Does nothing if that is more than a second, or with procrastinate.notify = off.';
