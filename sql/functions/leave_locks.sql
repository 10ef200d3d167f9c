-- The waiting or running jobs leave their lock: their rows in the lock queue go, and a token in the hand-over lane makes
-- the next fetch or tick look who is next. The caller holds the jobs' rows and has not changed them yet.
create or replace function procrastinate_leave_locks(p_job_ids bigint[])
returns void
language plpgsql
volatile
set search_path from current
as $function$
begin
    with job as materialized (
        select j.*
        from unnest(p_job_ids) i
        cross join lateral (
            select x.id, x.lock_key, x.priority, x.status = 'doing' as held
            from procrastinate_jobs x
            where x.id = i and x.lock_key is not null and x.status in ('todo', 'doing')
            offset 0
        ) j
    ), gone as (
        delete from procrastinate_lock_queue q
        where q.ctid = any (array(
            select h.place
            from job j
            cross join lateral (
                select x.ctid as place
                from procrastinate_lock_queue x
                where x.key = j.lock_key and x.held = j.held and x.priority = j.priority and x.job_id = j.id
                offset 0
            ) h))
    )
    insert into procrastinate_tokens (lane, id)
    select distinct 0, j.lock_key
    from job j
    order by j.lock_key;        -- as in the index, so that whoever reads them goes from page to page once
end;
$function$;

comment on function procrastinate_leave_locks(bigint[]) is
    'Take todo and doing jobs out of the lock queue and pass their locks on. The caller holds the jobs'' rows.';
