-- Jobs whose lease goes (p_leases), or that never were in one (p_job_ids): what the lease's worker still runs gets a new one, what
-- ended is noted for retention, and all else has, or will get, another lease. One look at each job, for there may be a million.
-- A job that was taken off its worker, by a client that set worker_id to NULL, is put down to worker 0, which does not exist: rescue
-- takes it back.
--
-- The clockwork does not look at notes of times that it has gone past, so a note is of one by which it has been committed:
-- p_earliest from now. A transaction that is open longer has its notes found by tidy, which looks from the beginning. In one note
-- are jobs that go within 10 s of each other, or within a hundredth of what they are kept.
create or replace function procrastinate_note_jobs(p_job_ids bigint[] default '{}', p_leases tid[] default '{}', p_earliest interval default '1 s')
returns void
language plpgsql
volatile
set search_path from current
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set enable_hashjoin = on        -- tick's is off, and thousands of tasks would each be compared with each
set enable_sort = off
as $function$
begin
    with old as (
        delete from procrastinate_leases l
        where l.ctid = any (p_leases)
        returning l.worker_id, l.job_ids
    ), fate as materialized (
        select j.worker_id, j.task_name, j.succeeded, max(j.finished_at) as finished_at, array_agg(h.id) as job_ids
        from (
            select o.worker_id, unnest(o.job_ids) as id from old o
            union all
            select null, unnest(p_job_ids)
        ) h
        cross join lateral (
            select
                case when x.finished_at is null then coalesce(x.worker_id, 0) end as worker_id,
                x.task_name, x.status = 'succeeded' as succeeded, x.finished_at
            from procrastinate_jobs x
            where x.id = h.id and (x.finished_at is not null or x.status = 'doing' and coalesce(x.worker_id, h.worker_id) = h.worker_id)
            offset 0
        ) j
        group by j.worker_id, j.task_name, j.succeeded, date_bin('10 s', j.finished_at, 'epoch')
    ), lease as (
        insert into procrastinate_leases (worker_id, job_ids)
        select f.worker_id, array_agg(i)
        from fate f
        cross join unnest(f.job_ids) i
        where f.finished_at is null
        group by f.worker_id
    ), nobodys as (
        insert into procrastinate_removed_workers (worker_id)
        select 0
        where exists (select from fate f where f.worker_id = 0)
          and not exists (select from procrastinate_removed_workers r where r.worker_id = 0)      -- see tidy
        on conflict do nothing
    ), policy as materialized (
        select t.task_name, procrastinate_policy(t.task_name) as policy
        from (select distinct f.task_name from fate f where f.finished_at is not null) t
    ), kept as materialized (
        select
            f.job_ids, f.finished_at + k.keep as delete_at,
            row(k.keep, floor(date_part('epoch', f.finished_at) / greatest(date_part('epoch', k.keep) / 100, 10)))::text as about
        from fate f
        join policy p using (task_name)
        cross join lateral (select case when f.succeeded then (p.policy).keep_succeeded else (p.policy).keep_failed end as keep) k
        where f.finished_at is not null
    ), note as (
        select greatest(max(k.delete_at), clock_timestamp() + p_earliest) as delete_at, array_agg(i) as job_ids
        from kept k
        cross join unnest(k.job_ids) i
        group by k.about
    )
    insert into procrastinate_retention (delete_at, job_ids)
    select n.delete_at, n.job_ids[first : first + 999]
    from note n
    cross join generate_series(1, cardinality(n.job_ids), 1000) first;
end;
$function$;

comment on function procrastinate_note_jobs(bigint[], tid[], interval) is
    'Note when to delete those of the jobs that ended; those that their worker still runs get a new lease.';
