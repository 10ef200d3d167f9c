-- Write the hints that these todo jobs need now. Not due: the agenda; due: a token; due with a lock: a place in the lock
-- queue and a token for the lock. Whoever calls holds the jobs' rows, so nobody else writes or deletes their places in the
-- lock queue meanwhile.
--
-- Plans are made once, often while the tables are empty, and must not read all of a table when it is full. A join by id would,
-- so the other side of each is a lateral subquery (offset 0 keeps it one), a look for a row a scalar subquery, and a row to
-- change is named by = any (array(...)), here and in every function that may meet many jobs.
--
-- Not under READ COMMITTED the lanes may be seen as they were long ago, and the token may land in a parked one; a row in
-- the agenda makes tick write another.
create or replace function procrastinate_hint_jobs(p_job_ids bigint[], p_returned boolean default false)
returns void
language plpgsql
volatile
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
as $function$
declare
    v_old_snapshot boolean := current_setting('transaction_isolation') <> 'read committed';
    v_next         timestamptz;
begin
    with job as materialized (
        select
            j.id, j.queue_name, j.task_name, j.priority, j.scheduled_at, j.lock_key,
            coalesce(j.scheduled_at <= clock_timestamp(), true) as due,
            case
                when j.lock is null then case when p_returned then 'returned' else 'plain' end
                else case when p_returned then 'handover' else 'locked' end
            end as kind
        from unnest(p_job_ids) i
        cross join lateral (select * from procrastinate_jobs x where x.id = i and x.status = 'todo' offset 0) j
    ), later as (
        insert into procrastinate_agenda (at, id)
        select case when j.due then clock_timestamp() else j.scheduled_at end, j.id
        from job j
        where (not j.due or v_old_snapshot)
          -- debounced, a job has a row for each time it would have been due: each of them comes here, and must not add another
          and (select 1 from procrastinate_agenda a where a.at = j.scheduled_at and a.id = j.id and not j.due limit 1) is null
        returning at
    ), queued as (
        insert into procrastinate_lock_queue (key, held, priority, job_id)
        select j.lock_key, false, j.priority, j.id
        from job j
        where j.due and j.lock_key is not null
          and (
              select 1 from procrastinate_lock_queue q
              where q.key = j.lock_key and not q.held and q.priority = j.priority and q.job_id = j.id limit 1) is null
    ), lane as materialized (
        select d.*, case when d.kind = 'handover' then 0 else procrastinate_lane_for(d.queue_name, d.task_name, d.priority, d.kind) end as lane
        from (select distinct j.queue_name, j.task_name, j.priority, j.kind from job j where j.due) d
    ), token as (
        insert into procrastinate_tokens (lane, id)
        select l.lane, coalesce(j.lock_key, j.id)
        from job j
        join lane l using (queue_name, task_name, priority, kind)
        where j.due
    )
    select min(l.at) into v_next from later l;
    if v_next is not null then
        perform procrastinate_wake_clock(v_next);
    end if;
end;
$function$;

comment on function procrastinate_hint_jobs(bigint[], boolean) is
    'Write the hints that todo jobs need now; p_returned: before the others of their priority. The caller holds the jobs'' rows.';
