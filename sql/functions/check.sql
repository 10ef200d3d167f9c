-- One statement, so one snapshot: what is half done by others is not seen. A token counts only where fetch would
-- look, an agenda row only where tick would.
-- Written for hash joins: it may meet millions of jobs, of which the planner knows nothing.
create or replace function procrastinate_check()
returns table (invariant text, job_id bigint, detail text)
language sql
stable
security definer
set search_path from current
set jit = off
set enable_nestloop = off
as $function$
    with lane as materialized (
        select * from procrastinate_heads
    ), token as materialized (
        select distinct t.lane, t.id, l.queue_name, l.task_name, l.priority, l.kind
        from lane l
        join procrastinate_tokens t
          on t.lane = l.lane and (t.xid, t.id) >= (l.first_xid, l.first_id) and t.xid <= l.last_xid
    ), agenda as materialized (
        select distinct a.id
        from procrastinate_agenda a
        cross join (select * from procrastinate_ticks x order by x.n desc limit 1) t
        where a.at >= t.agenda_at or a.xid >= t.agenda_xid or a.xid = any (t.agenda_late)
    ), lease as materialized (
        select distinct i as job_id, l.worker_id
        from procrastinate_leases l
        cross join unnest(l.job_ids) i
        where l.worker_id in (
            select w.id from procrastinate_workers w
            union all
            select r.worker_id from procrastinate_removed_workers r)
    ), noted as materialized (
        select unnest(r.job_ids) as job_id from procrastinate_retention r
        union all
        select l.job_id from lease l
    ), job as materialized (
        select
            j.id, j.queue_name, j.task_name, j.priority, j.lock, j.lock_key, j.queueing_lock, j.status, j.scheduled_at, j.worker_id,
            coalesce(j.scheduled_at <= clock_timestamp(), true) as due, a.id is not null as in_agenda, q.held
        from procrastinate_jobs j
        left join agenda a on a.id = j.id
        left join (
            select l.job_id, l.key, l.priority, bool_or(l.held) as held
            from procrastinate_lock_queue l
            group by 1, 2, 3
        ) q on q.job_id = j.id and q.key = j.lock_key and q.priority = j.priority
        where j.status in ('todo', 'doing')
    ), head as materialized (
        select distinct on (q.key) q.key, q.held, q.job_id
        from procrastinate_lock_queue q
        order by q.key, q.held desc, q.priority desc, q.job_id
    )
    select 'a future job is in the agenda', j.id, format('due at %s', j.scheduled_at)
    from job j
    where j.status = 'todo' and not j.due and not j.in_agenda

    union all
    select 'a due job without a lock has a token', j.id, format('queue %s, task %s, priority %s', j.queue_name, j.task_name, j.priority)
    from job j
    where j.status = 'todo' and j.due and j.lock_key is null and not j.in_agenda
      and not exists (
          select from token t
          where t.id = j.id and t.kind in ('plain', 'returned')
            and t.queue_name = j.queue_name and t.task_name = j.task_name and t.priority = j.priority)

    union all
    select 'a due job with a lock is in the lock queue', j.id, format('lock %s', j.lock)
    from job j
    where j.status = 'todo' and j.due and j.lock_key is not null and not j.in_agenda and j.held is distinct from false

    union all
    select 'a running job holds its lock', j.id, format('lock %s', j.lock)
    from job j
    where j.status = 'doing' and j.lock_key is not null and j.held is distinct from true

    union all
    select 'only due and running jobs are in the lock queue', q.job_id, format('key %s, %s', q.key, case when q.held then 'held' else 'waiting' end)
    from procrastinate_lock_queue q
    where not exists (
        select from job j
        where j.id = q.job_id and j.lock_key = q.key and j.priority = q.priority
          and (j.status = 'doing') = q.held and (q.held or j.due))

    union all
    select 'a free lock with a job waiting has a token', h.job_id, format('key %s', h.key)
    from head h
    where not h.held
      and not exists (select from token t where t.id = h.key and t.kind in ('locked', 'handover'))
      and not exists (select from agenda a where a.id = h.job_id)

    union all
    select 'a lock is held by jobs of one worker', min(j.id), format('key %s, workers %s', j.lock_key, array_agg(distinct j.worker_id))
    from job j
    where j.status = 'doing' and j.lock_key is not null
    group by j.lock_key
    having count(distinct coalesce(j.worker_id, 0)) > 1

    union all
    select 'a job''s columns fit its status', j.id, format('status %s', j.status)
    from procrastinate_jobs j
    where j.status = 'aborting'
       or j.status = 'doing' and j.started_at is null
       or j.status <> 'doing' and (j.worker_id is not null or j.abort_requested)

    union all
    select 'a job''s lock key is that of its lock', j.id, format('lock %s', j.lock)
    from procrastinate_jobs j
    where j.lock_key is distinct from hashtextextended(j.lock, 0)

    union all
    select 'a waiting job has its queueing lock', j.id, format('queueing lock %s', j.queueing_lock)
    from job j
    where j.status = 'todo' and j.queueing_lock is not null
      and not exists (select from procrastinate_queueing_locks q where q.queueing_lock = j.queueing_lock and q.job_id = j.id)

    union all
    select 'a queueing lock belongs to a waiting job', q.job_id, format('queueing lock %s', q.queueing_lock)
    from procrastinate_queueing_locks q
    where not exists (select from job j where j.id = q.job_id and j.status = 'todo' and j.queueing_lock = q.queueing_lock)

    union all
    select 'a running job is in a lease of its worker', j.id, format('worker %s', j.worker_id)
    from job j
    where j.status = 'doing'
      and not exists (select from lease l where l.job_id = j.id and l.worker_id = coalesce(j.worker_id, l.worker_id))

    union all
    select 'an enabled schedule is in the agenda', null, format('schedule %s, next run %s', s.schedule_name, s.next_at)
    from procrastinate_schedules s
    where s.enabled and not exists (select from agenda a where a.id = -s.id)

    union all
    select 'a job that ended is noted for retention', j.id, format('status %s', j.status)
    from procrastinate_jobs j
    where j.finished_at is not null
      and not exists (select from noted n where n.job_id = j.id)

    union all
    select 'hints were made in this cluster', null, 'this is a copy from another cluster; call procrastinate_repair()'
    from procrastinate_install i, pg_control_system() c
    where i.system_identifier <> c.system_identifier
$function$;

comment on function procrastinate_check() is
'What is wrong between the jobs and their hints. Reads everything and changes nothing; procrastinate_repair mends what is not in the jobs themselves.
Returns no rows when all is well.
invariant: a sentence that should be true, and is not.
job_id: id of the job; NULL: none in particular.
detail: what is known of it.';
