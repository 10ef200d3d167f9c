-- Rebuild every hint from the truth, with nobody writing meanwhile: the lock on jobs waits for the open transactions that
-- wrote to it or locked a row of it, and keeps new ones out until we commit. All others take theirs on jobs before they touch
-- a hint. Workers go on afterwards as if nothing had been.
create or replace function procrastinate_repair()
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    lock table procrastinate_jobs in exclusive mode;

    delete from procrastinate_floors;
    delete from procrastinate_tokens;
    delete from procrastinate_agenda;
    delete from procrastinate_lock_queue;
    delete from procrastinate_queueing_locks;
    delete from procrastinate_leases;
    delete from procrastinate_removed_workers;
    delete from procrastinate_ticks;
    update procrastinate_lanes l set state = 'open', settled_xid = null where l.state <> 'open';

    insert into procrastinate_ticks (at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease)
    values (clock_timestamp(), '-infinity', '0', '{}', clock_timestamp(), 0, '-infinity');
    update procrastinate_install i
    set system_identifier = c.system_identifier
    from pg_control_system() c
    where i.system_identifier <> c.system_identifier;

    -- a job whose worker is no more, or that has none, is rescued by the next tick
    insert into procrastinate_leases (worker_id, job_ids)
    select coalesce(j.worker_id, 0), array_agg(j.id)
    from procrastinate_jobs j
    where j.status = 'doing'
    group by 1;
    insert into procrastinate_removed_workers (worker_id)
    select l.worker_id
    from procrastinate_leases l
    where not exists (select from procrastinate_workers w where w.id = l.worker_id)
    on conflict do nothing;

    insert into procrastinate_lock_queue (key, held, priority, job_id)
    select j.lock_key, true, j.priority, j.id
    from procrastinate_jobs j
    where j.status = 'doing' and j.lock_key is not null;

    -- of several with one queueing lock the first keeps it
    with twice as (
        select j.id, row_number() over (partition by j.queueing_lock order by j.id) > 1 as again
        from procrastinate_jobs j
        where j.status = 'todo' and j.queueing_lock is not null
    )
    update procrastinate_jobs j
    set queueing_lock = null
    from twice t
    where j.id = t.id and t.again;
    insert into procrastinate_queueing_locks (queueing_lock, job_id)
    select j.queueing_lock, j.id
    from procrastinate_jobs j
    where j.status = 'todo' and j.queueing_lock is not null;

    perform procrastinate_hint_jobs(array(select j.id from procrastinate_jobs j where j.status = 'todo' order by j.id));
end;
$function$;

comment on function procrastinate_repair() is
'Rebuild all hints from the jobs: after procrastinate_check found something, or a restore.
Waits for the open transactions that wrote to jobs; nobody can defer, fetch or finish until it commits. Workers then go on.
Of several todo jobs with one queueing lock the first keeps it.';
