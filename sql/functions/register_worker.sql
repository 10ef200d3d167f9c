-- Tasks are noted as native for good: a Python worker, which fetches without naming tasks, must not get them even while we are down.
create or replace function procrastinate_register_worker(
    worker_name   text,
    queues        text[]   default null,
    tasks         text[]   default null,
    stalled_after interval default '30 s',
    info          jsonb    default '{}'
)
returns bigint
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_id   bigint;
    v_name text;
begin
    perform procrastinate_check_name('worker_name', worker_name);
    foreach v_name in array coalesce(queues, '{}') loop
        perform procrastinate_check_name('queues', v_name);
    end loop;
    foreach v_name in array coalesce(tasks, '{}') loop
        perform procrastinate_check_name('tasks', v_name);
    end loop;
    if stalled_after is null then
        raise exception 'invalid stalled_after: NULL' using errcode = 'PJ001';
    end if;
    perform procrastinate_check_span('stalled_after', stalled_after, '1 s');

    perform procrastinate_repair_copy();

    insert into procrastinate_tasks as t (task_name, native)
    select distinct u.task, true
    from unnest(tasks) u(task)
    order by 1
    on conflict on constraint procrastinate_tasks_pkey do update set native = true where not t.native;

    insert into procrastinate_workers (worker_name, queues, tasks, stalled_after, info)
    values (
        worker_name, procrastinate_register_worker.queues, procrastinate_register_worker.tasks,
        procrastinate_register_worker.stalled_after, coalesce(procrastinate_register_worker.info, '{}'))
    returning id into v_id;
    return v_id;
end;
$function$;

comment on function procrastinate_register_worker(text, text[], text[], interval, jsonb) is
'Register a worker. From then on it beats: procrastinate_beat, several times in each stalled_after.
In a copy from another cluster, as after a restore, it first calls procrastinate_repair.
worker_name: for people, 1 to 128 characters; several workers may have one name.
queues: the queues it serves, each a name of 1 to 128 characters; NULL: all.
tasks: the tasks it has handlers for, each a name of 1 to 128 characters, noted as native in procrastinate_tasks; NULL: all.
stalled_after: silent for longer it is removed and its jobs are taken back, by procrastinate_tick; from 1 s to 100 years.
info: any JSON, for people; NULL: {}.
Returns the worker''s id, which no other worker ever gets.
Raises PJ001 (an argument is out of its range).';

create or replace function procrastinate_beat(worker_id bigint)
returns setof bigint
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    -- a worker that was led to a copy of its database need not notice, and goes on as the one it was; before any row is locked
    perform procrastinate_repair_copy();
    update procrastinate_workers w
    set last_heartbeat = clock_timestamp(), spared = 0, spared_until = null
    where w.id = worker_id;
    if not found then
        perform procrastinate_no_such_worker(worker_id);
    end if;
    return query
    select j.id
    from procrastinate_jobs j
    where j.abort_requested and j.status = 'doing' and j.worker_id = procrastinate_beat.worker_id;
end;
$function$;

comment on function procrastinate_beat(bigint) is
'A worker says that it is alive.
worker_id: the worker''s id, from procrastinate_register_worker.
Returns the ids of the jobs it holds whose abort is requested, each time until they end.
Raises PJ001 (worker_id is NULL), PJ003 (the worker is not registered, or not any more).';

-- The row first: a fetch that is on its way is waited for, and then its lease is seen.
create or replace function procrastinate_unregister_worker(worker_id bigint)
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    perform from procrastinate_workers w where w.id = worker_id for update;
    if not found then
        perform procrastinate_no_such_worker(worker_id);
    end if;
    perform procrastinate_keep_jobs(worker_id, '{}');
    delete from procrastinate_workers w where w.id = worker_id;
end;
$function$;

comment on function procrastinate_unregister_worker(bigint) is
'A worker says goodbye. What it still holds goes back to todo, uncounted, or ends as aborted if its abort was requested.
A job that an open transaction has is taken back by procrastinate_tick, as a rescue. Waits for a fetch of the worker that is on
its way.
worker_id: the worker''s id, from procrastinate_register_worker.
Raises PJ001 (worker_id is NULL), PJ003 (the worker is not registered, or not any more).';

-- Also for those who delete workers by hand: tick finds here whose jobs to take back. Without a look at the leases, for the
-- snapshot of a deleting transaction may be too old to show the last of them.
create or replace function procrastinate_workers_removed()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    insert into procrastinate_removed_workers (worker_id)
    select w.id
    from old_rows w;
    return null;
end;
$function$;

comment on function procrastinate_workers_removed() is 'Trigger: note the workers whose jobs tick has to take back.';

create or replace trigger procrastinate_workers_removed
    after delete on procrastinate_workers
    referencing old table as old_rows
    for each statement execute function procrastinate_workers_removed();

create or replace function procrastinate_workers_truncated()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    insert into procrastinate_removed_workers (worker_id)
    select distinct l.worker_id
    from procrastinate_leases l
    on conflict do nothing;
    return null;
end;
$function$;

comment on function procrastinate_workers_truncated() is 'Trigger: all workers are gone.';

create or replace trigger procrastinate_workers_truncated
    after truncate on procrastinate_workers
    for each statement execute function procrastinate_workers_truncated();
