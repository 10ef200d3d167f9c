-- How much waits and runs, for people. Views, for whoever is granted select on them: so they call no function of ours,
-- which the reader would need the right to execute.
--
-- Depths come from hints and leases, so jobs that ended cost nothing however many there are. A hint is not the truth (a
-- token may be of a job that was cancelled meanwhile), and it does not name the job's queue unless its lane does; the job
-- is at most a look by primary key away. Up to a thousand tokens in a lane, ten thousand jobs with locks and ten thousand in
-- the agenda each hint is looked up; of more than that about as many, picked by a hash of the id, and these tell how
-- many of all of them are what. A million looks take seconds, a thousand milliseconds. Where a part was looked at nothing
-- is said to be exact, nor is the 0 of a queue of which the part has none.
--
-- The laterals stay what they are by offset 0: a join by id may be planned to read all jobs.
create or replace view procrastinate_depths as
with piece as materialized (            -- of a lane, as fetch reads it
    select
        h.lane, h.queue_name, h.task_name, h.priority, h.first_xid, h.first_id, h.last_xid,
        n.tokens, 1 + (n.tokens - 1) / 1000 as every
    from procrastinate_heads h
    cross join lateral (
        select count(*) as tokens
        from procrastinate_tokens t
        where t.lane = h.lane and (t.xid, t.id) >= (h.first_xid, h.first_id) and t.xid <= h.last_xid
    ) n
    where h.kind in ('plain', 'returned')
), plain as (
    select p.queue_name, p.task_name, p.every, round(p.tokens::numeric * s.ready / greatest(s.seen, 1)) as ready, s.ready_at
    from piece p
    cross join lateral (
        select count(*) as seen, count(distinct j.id) as ready, min(j.ready_at) as ready_at
        from procrastinate_tokens t
        left join lateral (
            select x.id, greatest(x.deferred_at, x.scheduled_at) as ready_at
            from procrastinate_jobs x
            where x.id = t.id and x.status = 'todo' and (x.scheduled_at is null or x.scheduled_at <= clock_timestamp())
              -- not by =, which would let the index on task_name be taken instead of the key
              and x.task_name is not distinct from p.task_name and (x.queue_name, x.priority) = (p.queue_name, p.priority)
              and x.lock_key is null
            offset 0
        ) j on true
        where t.lane = p.lane and (t.xid, t.id) >= (p.first_xid, p.first_id) and t.xid <= p.last_xid
          and hashint8extended(t.id, 0) % p.every = 0
    ) s
), queue as materialized (            -- with the first of each lock; joined to it they could be searched for one by one, among all of them
    select
        f.key, f.held, f.priority, f.job_id,
        first_value(f.job_id) over (partition by f.key order by f.held desc, f.priority desc, f.job_id) as first_id
    from procrastinate_lock_queue f
), locked as (
    select
        j.queue_name, j.task_name, n.every, n.jobs::numeric / sum(count(*)) over () as each,
        count(j.id) filter (where q.first_id = j.id) as ready, count(j.id) filter (where q.first_id <> j.id) as locked,
        min(j.ready_at) filter (where q.first_id = j.id) as ready_at
    from (select count(*) as jobs, 1 + (count(*) - 1) / 10000 as every from procrastinate_lock_queue q where not q.held) n
    join queue q on not q.held and hashint8extended(q.job_id, 0) % n.every = 0
    left join lateral (
        select x.id, x.queue_name, x.task_name, greatest(x.deferred_at, x.scheduled_at) as ready_at
        from procrastinate_jobs x
        where x.id = q.job_id and x.status = 'todo' and (x.lock_key, x.priority) = (q.key, q.priority)
        offset 0
    ) j on true
    group by j.queue_name, j.task_name, n.every, n.jobs
), later as (
    select
        j.queue_name, j.task_name, n.every, n.entries::numeric / sum(count(*)) over () as each,
        count(distinct j.id) filter (where j.due) as ready, count(distinct j.id) filter (where not j.due) as future,
        min(j.ready_at) filter (where j.due) as ready_at
    from (select count(*) as entries, 1 + (count(*) - 1) / 10000 as every from procrastinate_agenda a where a.id >= 0) n
    join procrastinate_agenda a on a.id >= 0 and hashint8extended(a.id, 0) % n.every = 0
    left join lateral (
        select
            x.id, x.queue_name, x.task_name, greatest(x.deferred_at, x.scheduled_at) as ready_at,
            coalesce(x.scheduled_at <= clock_timestamp(), true) as due
        from procrastinate_jobs x
        where x.id = a.id and x.status = 'todo'
          -- a job that was put off or hastened has other entries too; one that somebody has open is looked at again a second later
          and (a.at = x.scheduled_at or a.at >= coalesce(x.scheduled_at, a.at) and a.at <= clock_timestamp() + interval '1 s')
          and (
              select 1 from procrastinate_lock_queue q
              where q.key = x.lock_key and not q.held and q.priority = x.priority and q.job_id = x.id limit 1) is null
        offset 0
    ) j on true
    group by j.queue_name, j.task_name, n.every, n.entries
), running as (
    select j.queue_name, j.task_name, count(distinct j.id) as running
    from procrastinate_leases l
    cross join unnest(l.job_ids) i
    cross join lateral (select x.id, x.queue_name, x.task_name from procrastinate_jobs x where x.id = i and x.status = 'doing' offset 0) j
    group by j.queue_name, j.task_name
)
select
    d.queue_name, d.task_name,
    round(sum(d.ready))::bigint as ready, round(sum(d.locked))::bigint as locked, round(sum(d.future))::bigint as future,
    sum(d.running)::bigint as running, min(d.ready_at) as ready_at, max(d.every) = 1 as exact
from (
    select p.queue_name, p.task_name, p.ready, 0 as locked, 0 as future, 0 as running, p.ready_at, p.every from plain p
    union all
    select k.queue_name, k.task_name, k.each * k.ready, k.each * k.locked, 0, 0, k.ready_at, k.every from locked k
    union all
    select a.queue_name, a.task_name, a.each * a.ready, 0, a.each * a.future, 0, a.ready_at, a.every from later a
    union all
    select r.queue_name, r.task_name, 0, 0, 0, r.running, null as ready_at, 1 from running r
    union all
    select null as queue_name, null as task_name, 0, 0, 0, 0, null as ready_at, coalesce(max(x.every), 1) as every
    from (select k.every from locked k union all select a.every from later a) x
) d
group by d.queue_name, d.task_name;

comment on view procrastinate_depths is
    'How many jobs of each queue and task wait and run; what procrastinate_queue_stats and procrastinate_task_stats add up. The row without a queue tells whether those that are not here have none (exact), or none that was found.';

create or replace view procrastinate_queue_stats as
with depth as materialized (
    select
        d.queue_name, sum(d.ready)::bigint as ready, sum(d.locked)::bigint as locked, sum(d.future)::bigint as future,
        sum(d.running)::bigint as running, min(d.ready_at) as ready_at, bool_and(d.exact) as exact
    from procrastinate_depths d
    group by d.queue_name
), worker as materialized (
    select w.queues from procrastinate_workers w where w.last_heartbeat >= clock_timestamp() - w.stalled_after
), name as (
    select d.queue_name from depth d where d.queue_name is not null and (d.ready + d.locked + d.future + d.running > 0 or not d.exact)
    union select p.queue_name from procrastinate_queues p
    union select unnest(w.queues) from worker w
    union select t.queue_name from procrastinate_tasks t where t.queue_name is not null
)
select
    n.queue_name, p.paused_at,
    coalesce(d.ready, 0) as ready, coalesce(d.locked, 0) as locked, coalesce(d.future, 0) as future, coalesce(d.running, 0) as running,
    d.ready_at as oldest_ready_at,
    (select count(*) from worker w where w.queues is null or n.queue_name = any (w.queues)) as workers,
    coalesce(d.exact, true) and (select a.exact from depth a where a.queue_name is null) as exact
from name n
left join depth d on d.queue_name = n.queue_name
left join procrastinate_queues p on p.queue_name = n.queue_name;

comment on view procrastinate_queue_stats is
'How much waits and runs in each queue: in those where something does, that a live worker names, that a task is defined for, or
that are paused; other queues are not here. Jobs that ended are not counted, and cost nothing.
Up to 1,000 ready jobs of a task and priority, and 10,000 waiting with locks and 10,000 future ones of all queues, the counts are
exact, but for a job that somebody changes in this moment. More are estimated from about as many that are looked at: then 0 may be
a few, and a queue with only a few may be missing.';
comment on column procrastinate_queue_stats.queue_name is 'The queue.';
comment on column procrastinate_queue_stats.paused_at is 'Since when no job of it starts; NULL: it is not paused.';
comment on column procrastinate_queue_stats.ready is 'Jobs that are due, and no other job of their lock goes before them. They wait for a worker, for the queue to go on if it is paused, or for the next tick.';
comment on column procrastinate_queue_stats.locked is 'Jobs that are due, and wait for others of their lock.';
comment on column procrastinate_queue_stats.future is 'Jobs that are not due yet, also those that wait to be retried.';
comment on column procrastinate_queue_stats.running is 'Jobs that are doing, also those that wait to be taken back from a worker that is gone.';
comment on column procrastinate_queue_stats.oldest_ready_at is 'When the oldest of those that are ready became due, or was deferred; NULL: none is. Of those that were looked at, if not exact.';
comment on column procrastinate_queue_stats.workers is 'Workers that are alive and serve it.';
comment on column procrastinate_queue_stats.exact is 'false: not all was looked at, so some of the counts are estimates, a 0 too.';

create or replace view procrastinate_task_stats as
with depth as materialized (
    select
        d.task_name, sum(d.ready)::bigint as ready, sum(d.locked)::bigint as locked, sum(d.future)::bigint as future,
        sum(d.running)::bigint as running, min(d.ready_at) as ready_at, bool_and(d.exact) as exact
    from procrastinate_depths d
    group by d.task_name
), worker as materialized (
    select w.tasks from procrastinate_workers w where w.last_heartbeat >= clock_timestamp() - w.stalled_after
), name as (
    select d.task_name from depth d where d.task_name is not null and (d.ready + d.locked + d.future + d.running > 0 or not d.exact)
    union select t.task_name from procrastinate_tasks t where t.task_name <> '*' and t.defined_at is not null
    union select unnest(w.tasks) from worker w
)
select
    n.task_name, t.defined_at,
    coalesce(d.ready, 0) as ready, coalesce(d.locked, 0) as locked, coalesce(d.future, 0) as future, coalesce(d.running, 0) as running,
    d.ready_at as oldest_ready_at,
    (select count(*) from worker w where w.tasks is null or n.task_name = any (w.tasks)) as workers,
    coalesce(d.exact, true) and (select a.exact from depth a where a.task_name is null) as exact
from name n
left join depth d on d.task_name = n.task_name
left join procrastinate_tasks t on t.task_name = n.task_name;

comment on view procrastinate_task_stats is
'How much of each task waits and runs: of those of which something does, that are defined, or that a live worker has a handler for;
other tasks are not here. What is counted, and how exactly, is as in procrastinate_queue_stats.';
comment on column procrastinate_task_stats.task_name is 'The task.';
comment on column procrastinate_task_stats.defined_at is 'When it was last defined; NULL: it is not, and needs not be.';
comment on column procrastinate_task_stats.ready is 'Jobs that are due, and no other job of their lock goes before them. They wait for a worker, for their queue to go on if it is paused, or for the next tick.';
comment on column procrastinate_task_stats.locked is 'Jobs that are due, and wait for others of their lock.';
comment on column procrastinate_task_stats.future is 'Jobs that are not due yet, also those that wait to be retried.';
comment on column procrastinate_task_stats.running is 'Jobs that are doing, also those that wait to be taken back from a worker that is gone.';
comment on column procrastinate_task_stats.oldest_ready_at is 'When the oldest of those that are ready became due, or was deferred; NULL: none is. Of those that were looked at, if not exact.';
comment on column procrastinate_task_stats.workers is 'Workers that are alive and have a handler for it.';
comment on column procrastinate_task_stats.exact is 'false: not all was looked at, so some of the counts are estimates, a 0 too.';

-- The key is a column, for with it the view looks at one lock only.
create or replace view procrastinate_lock_stats as
select
    coalesce(h.lock, n.lock) as lock, k.lock_key,
    h.job_ids as held_by, h.worker_id, h.started_at as held_at,
    k.waiting, n.id as next_job_id, n.ready_at as next_ready_at
from (
    select q.key as lock_key, array_agg(q.job_id) filter (where q.held) as held, count(*) filter (where not q.held) as waiting
    from procrastinate_lock_queue q
    group by q.key
) k
left join lateral (
    select min(j.lock) as lock, array_agg(j.id order by j.started_at, j.id) as job_ids, min(j.worker_id) as worker_id, min(j.started_at) as started_at
    from unnest(k.held) i
    cross join lateral (select * from procrastinate_jobs x where x.id = i and x.status = 'doing' and x.lock_key = k.lock_key offset 0) j
) h on true
left join lateral (
    select j.lock, j.id, greatest(j.deferred_at, j.scheduled_at) as ready_at
    from (
        select x.job_id
        from procrastinate_lock_queue x
        where x.key = k.lock_key and not x.held
        order by x.priority desc, x.job_id
        limit 1
    ) q
    cross join lateral (select * from procrastinate_jobs x where x.id = q.job_id and x.status = 'todo' offset 0) j
) n on true;

comment on view procrastinate_lock_stats is
'The locks that a job holds, or that a job which is due waits for. Exact, but for a job that somebody changes in this moment.
For one lock: where lock_key = hashtextextended(''…'', 0).';
comment on column procrastinate_lock_stats.lock is 'The lock.';
comment on column procrastinate_lock_stats.lock_key is 'Its key: hashtextextended(lock, 0).';
comment on column procrastinate_lock_stats.held_by is 'The ids of the jobs that hold it, in the order in which they started; NULL: it is free. Several, if its worker fetched a run of them.';
comment on column procrastinate_lock_stats.worker_id is 'The worker that has those jobs.';
comment on column procrastinate_lock_stats.held_at is 'Since when it is held, by the first of those jobs.';
comment on column procrastinate_lock_stats.waiting is 'How many jobs wait for it; those that are due only.';
comment on column procrastinate_lock_stats.next_job_id is 'The id of the first of them: by priority, then by id; NULL: none waits.';
comment on column procrastinate_lock_stats.next_ready_at is 'When that one became due, or was deferred.';

create or replace view procrastinate_worker_status as
select
    w.id as worker_id, w.worker_name, w.queues, w.tasks,
    w.last_heartbeat >= c.now - w.stalled_after as alive,
    (
        select count(distinct j.id)
        from procrastinate_leases l
        cross join unnest(l.job_ids) i
        cross join lateral (
            select x.id from procrastinate_jobs x where x.id = i and x.status = 'doing' and x.worker_id = w.id offset 0
        ) j
        where l.worker_id = w.id
    ) as running,
    w.registered_at, w.last_heartbeat, c.now - w.last_heartbeat as silent_for, w.stalled_after, w.info
from procrastinate_workers w
cross join (select clock_timestamp() as now) c;

comment on view procrastinate_worker_status is 'The registered workers. Exact.';
comment on column procrastinate_worker_status.worker_id is 'The number that procrastinate_register_worker returned.';
comment on column procrastinate_worker_status.worker_name is 'For people; several workers may have one name.';
comment on column procrastinate_worker_status.queues is 'The queues it serves; NULL: all.';
comment on column procrastinate_worker_status.tasks is 'The tasks it has handlers for; NULL: all.';
comment on column procrastinate_worker_status.alive is 'false: it was silent for longer than its stalled_after, and will be removed and its jobs taken back.';
comment on column procrastinate_worker_status.running is 'How many jobs it has.';
comment on column procrastinate_worker_status.registered_at is 'When it registered.';
comment on column procrastinate_worker_status.last_heartbeat is 'When it last beat.';
comment on column procrastinate_worker_status.silent_for is 'How long ago that is.';
comment on column procrastinate_worker_status.stalled_after is 'Silent for longer than this it is removed.';
comment on column procrastinate_worker_status.info is 'What it says of itself.';

create or replace view procrastinate_schedule_status as
select
    s.schedule_name, s.cron, s.timezone, s.task_name, s.queue_name, s.enabled, s.next_at,
    case when s.next_at <= c.now then c.now - s.next_at end as overdue_for,
    s.last_at, s.last_job_id, j.status as last_job_status, s.skipped_at, s.skipped_why
from procrastinate_schedules s
cross join (select clock_timestamp() as now) c
left join lateral (select x.status from procrastinate_jobs x where x.id = s.last_job_id offset 0) j on true;

comment on view procrastinate_schedule_status is 'The schedules, and what became of them. Exact. When else one runs: procrastinate_cron_next(cron, next_at, timezone).';
comment on column procrastinate_schedule_status.schedule_name is 'The schedule.';
comment on column procrastinate_schedule_status.cron is 'When it runs: a cron expression of 5 fields, or 6 with seconds last.';
comment on column procrastinate_schedule_status.timezone is 'Whose clock the cron expression goes by.';
comment on column procrastinate_schedule_status.task_name is 'The task of its jobs.';
comment on column procrastinate_schedule_status.queue_name is 'The queue of its jobs; NULL: as the task says.';
comment on column procrastinate_schedule_status.enabled is 'Whether it runs.';
comment on column procrastinate_schedule_status.next_at is 'The next run; all before it were deferred or skipped. NULL: not enabled.';
comment on column procrastinate_schedule_status.overdue_for is 'How long the next run has been due; if more than some seconds, nobody ticks. NULL: it is not due.';
comment on column procrastinate_schedule_status.last_at is 'The last run that was deferred; NULL: none was yet.';
comment on column procrastinate_schedule_status.last_job_id is 'Its job.';
comment on column procrastinate_schedule_status.last_job_status is 'The status of that job; NULL: none was deferred yet, or it was deleted.';
comment on column procrastinate_schedule_status.skipped_at is 'The last run that was skipped; NULL: none was. If it is later than last_at, there has been none since.';
comment on column procrastinate_schedule_status.skipped_why is 'Why it was.';
