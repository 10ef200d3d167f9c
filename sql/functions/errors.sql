-- The errors that more than one function raises.
create or replace function procrastinate_no_such_job(p_job_id bigint)
returns void
language plpgsql
immutable
set search_path from current
as $function$
begin
    if p_job_id is null then
        raise exception 'invalid job_id: NULL' using errcode = 'PJ001';
    end if;
    raise exception 'job % does not exist', p_job_id
        using errcode = 'PJ004', hint = 'It may have been deleted or pruned.';
end;
$function$;

comment on function procrastinate_no_such_job(bigint) is 'Raises PJ004, or PJ001 for NULL.';

create or replace function procrastinate_no_such_worker(p_worker_id bigint)
returns void
language plpgsql
immutable
set search_path from current
as $function$
begin
    if p_worker_id is null then
        raise exception 'invalid worker_id: NULL' using errcode = 'PJ001';
    end if;
    raise exception 'worker % is not registered', p_worker_id
        using errcode = 'PJ003',
              detail = 'It never was, or it was silent for longer than its stalled_after and its jobs went back to todo.',
              hint = 'Cancel the running handlers and register again.';
end;
$function$;

comment on function procrastinate_no_such_worker(bigint) is 'Raises PJ003, or PJ001 for NULL.';

create or replace function procrastinate_not_held(p_worker_id bigint, p_job_id bigint)
returns void
language plpgsql
immutable
set search_path from current
as $function$
begin
    raise exception 'job % is not held by worker %', p_job_id, p_worker_id
        using errcode = 'PJ002', hint = 'It was cancelled, rescued, given back or already finished.';
end;
$function$;

comment on function procrastinate_not_held(bigint, bigint) is 'Raises PJ002.';
