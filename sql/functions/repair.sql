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
declare
    v_ids  bigint[];
    v_last bigint := -9223372036854775808;
begin
    lock table procrastinate_jobs in exclusive mode;

    delete from procrastinate_floors;
    delete from procrastinate_tokens;
    delete from procrastinate_agenda;
    delete from procrastinate_lock_queue;
    delete from procrastinate_queueing_locks;
    delete from procrastinate_leases;
    delete from procrastinate_removed_workers;
    delete from procrastinate_retention;
    delete from procrastinate_ticks;
    update procrastinate_lanes l set state = 'open', settled_xid = null where l.state <> 'open';

    insert into procrastinate_ticks (at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease)
    values (clock_timestamp(), '-infinity', '0', '{}', clock_timestamp(), 0, '-infinity');
    update procrastinate_install i
    set system_identifier = c.system_identifier
    from pg_control_system() c
    where i.system_identifier is distinct from c.system_identifier;

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

    -- a dump may come from a version or machine with another hash
    update procrastinate_jobs j
    set lock_key = hashtextextended(j.lock, 0)
    where j.lock_key is distinct from hashtextextended(j.lock, 0);
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
    insert into procrastinate_agenda (at, id)
    select s.next_at, -s.id
    from procrastinate_schedules s
    where s.enabled;

    -- in portions, for of these there may be more than an array holds
    loop
        v_ids := array(
            select j.id from procrastinate_jobs j where j.id > v_last and j.finished_at is not null order by j.id limit 100000);
        exit when v_ids = '{}';
        perform procrastinate_note_jobs(v_ids);
        v_last := v_ids[cardinality(v_ids)];
    end loop;
end;
$function$;

comment on function procrastinate_repair() is
'Rebuild all hints from the jobs: after procrastinate_check found something, or a restore.
Waits for the open transactions that wrote to jobs; nobody can defer, fetch or finish until it commits. Workers then go on.
Of several todo jobs with one queueing lock the first keeps it.';

-- A dump is one snapshot, so the hints in it agree with its jobs. But floors and positions of the clockwork speak of the
-- transactions of the cluster where they were made, and keys of locks of its version's hash function.
--
-- In the same cluster (another database) all of it stays true: what was in progress at the dump brings nothing here, and what
-- is written here comes later. In another cluster a floor may lie above the tokens that are written now, and hide them; so
-- all is built anew. The system identifier tells, and where it does not (clusters copied from one image have the same) a
-- clockwork that is ahead of this cluster's transactions. An extension's dump brings neither floors nor positions, nor
-- whence it came: after create extension, by which pg_restore begins, the identifier is NULL, and the first worker repairs.
create or replace function procrastinate_is_copy()
returns boolean
language plpgsql
stable
set search_path from current
as $function$
begin
    return exists (
        select from procrastinate_install i, pg_control_system() c where i.system_identifier is distinct from c.system_identifier
    ) or (
        select t.agenda_xid from procrastinate_ticks t order by t.n desc limit 1
    ) > pg_snapshot_xmax(pg_current_snapshot());
end;
$function$;

comment on function procrastinate_is_copy() is
    'Whether the hints may have been made in another cluster: a dump was restored, or create extension has just made the tables.';

-- Of the workers that come after a restore one repairs; the others wait for it, and look again.
create or replace function procrastinate_repair_copy()
returns void
language plpgsql
volatile
set search_path from current
as $function$
begin
    if procrastinate_is_copy() then
        lock table procrastinate_jobs in exclusive mode;
        if procrastinate_is_copy() then
            perform procrastinate_repair();
        end if;
    end if;
end;
$function$;

comment on function procrastinate_repair_copy() is
    'Rebuild all hints if they may have been made in another cluster.';
