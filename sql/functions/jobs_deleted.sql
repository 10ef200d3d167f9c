-- Clients delete from procrastinate_jobs, and so do delete_jobs and prune_jobs: nothing may be left dangling. Who deletes a
-- row holds it, so this is its one owner. (On an old snapshot, not under READ COMMITTED, a place in the lock queue may stay
-- behind; the next look at the lock sweeps it away.) Tokens, agenda and leases of jobs that are no more are dropped by whoever
-- finds them.
create or replace function procrastinate_jobs_deleted()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
begin
    if exists (select from old_rows o where o.status in ('todo', 'doing')) then      -- what ended has no locks
        delete from procrastinate_queueing_locks q
        using old_rows j
        where q.queueing_lock = any (array(select o.queueing_lock from old_rows o where o.status = 'todo' and o.queueing_lock is not null))
          and q.queueing_lock = j.queueing_lock and q.job_id = j.id;

        delete from procrastinate_lock_queue q
        where q.ctid = any (array(
            select h.place
            from old_rows j
            cross join unnest('{t,f}'::boolean[]) s(held)       -- not held = any, which may be planned to read the whole lock
            cross join lateral (
                select x.ctid as place
                from procrastinate_lock_queue x
                where x.key = j.lock_key and x.held = s.held and x.priority = j.priority and x.job_id = j.id
                offset 0
            ) h
            where j.lock_key is not null and j.status in ('todo', 'doing')));

        insert into procrastinate_tokens (lane, id)
        select distinct 0, j.lock_key
        from old_rows j
        where j.lock_key is not null and j.status in ('todo', 'doing');
    end if;

    delete from procrastinate_attempts a
    where a.job_id = any (array(select j.id from old_rows j));
    return null;
end;
$function$;

comment on function procrastinate_jobs_deleted() is 'Trigger: deleted jobs leave their locks, their queueing locks and their attempts behind in order.';

create or replace trigger procrastinate_jobs_deleted
    after delete on procrastinate_jobs
    referencing old table as old_rows
    for each statement execute function procrastinate_jobs_deleted();

create or replace function procrastinate_jobs_truncated()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    delete from procrastinate_attempts;
    perform procrastinate_repair();
    return null;
end;
$function$;

comment on function procrastinate_jobs_truncated() is 'Trigger: without jobs there are no hints.';

create or replace trigger procrastinate_jobs_truncated
    after truncate on procrastinate_jobs
    for each statement execute function procrastinate_jobs_truncated();
