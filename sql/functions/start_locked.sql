-- Start jobs that have locks. A token here names a lock's key and says: this lock may have something to start. Also tick
-- comes here, with no worker and no queues, to pass the tokens of the hand-over lane on to where the jobs are.
--
-- One at a time: to start a job of a key one must get the key's advisory lock, held until commit, and then look, in a new
-- statement, so in a snapshot that sees whatever the key's holder before us committed. No row of the key is held: the head
-- may start. A row is held: its end will write a token of its own, so ours may go. Tokens whose key somebody has stay; we
-- look on past them, for they would hide all others.
--
-- A body that changed between that snapshot and our lock on it is left alone (xmin): the statement would see the job as it
-- is now, but its place in the lock queue as it was then, start it without holding the lock, and so let a second one start.
--
-- A token that our own transaction wrote (it ended a holder, then came here) is dropped only against a start. Nothing else
-- is enough, neither that nobody waits nor a hint for the head: until we commit all others see the lock held, drop the
-- tokens of whoever enters or leaves it, and count on ours.
--
-- Of each key at most p_max_per_lock jobs are started, from the head on without a gap. The head is started only if it
-- is for this worker and nothing of better priority may wait; else the key's token goes to the head's lane.
create or replace function procrastinate_start_locked(
    p_worker_id    bigint,
    p_queues       text[],
    p_tasks        text[],
    p_lane         procrastinate_heads,
    p_max_jobs     integer,
    p_max_per_lock integer,
    p_own          boolean,
    out jobs       procrastinate_job[],
    out tokens     integer,
    out dropped    integer
)
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_tokens tid[];
    v_keys   bigint[];
begin
    select array_agg(g.place), array_agg(distinct g.key) into v_tokens, v_keys
    from (
        select c.place, c.key
        from (
            select t.ctid as place, t.id as key
            from procrastinate_tokens t
            where t.lane = p_lane.lane and (t.xid, t.id) >= (p_lane.first_xid, p_lane.first_id) and t.xid <= p_lane.last_xid
              and (p_own or t.xid <> pg_current_xact_id())
            order by t.xid, t.id
            limit 10 * p_max_jobs
            for update skip locked
        ) c
        where pg_try_advisory_xact_lock(c.key # 'procrastinate_jobs'::regclass::oid::bigint)     -- ours, not another schema's
        limit p_max_jobs
    ) g;
    tokens := coalesce(cardinality(v_tokens), 0);
    dropped := 0;
    jobs := '{}';
    if tokens = 0 then
        return;
    end if;

    with head as materialized (
        select k.key, q.place, q.job_id, q.priority, q.turn
        from unnest(v_keys) k(key)
        cross join lateral (
            select w.place, w.job_id, w.priority, row_number() over (order by w.priority desc, w.job_id) as turn
            from (
                select x.ctid as place, x.job_id, x.priority
                from procrastinate_lock_queue x
                where x.key = k.key and not x.held
                order by x.priority desc, x.job_id
                limit p_max_per_lock
            ) w
        ) q
        where (select 1 from procrastinate_lock_queue x where x.key = k.key and x.held limit 1) is null
    ), body as materialized (
        select
            h.key, h.place, h.turn, j.id, j.queueing_lock, j.queue_name, j.task_name, j.priority,
            j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= clock_timestamp())
                and j.lock_key = h.key and j.priority = h.priority as runnable,
            j.priority >= p_lane.priority
                and (p_queues is null or j.queue_name = any (p_queues)) and (p_tasks is null or j.task_name = any (p_tasks))
                and j.queue_name not in (select p.queue_name from procrastinate_queues p) as mine
        from head h
        cross join lateral (
            select x.*
            from procrastinate_jobs x
            join procrastinate_jobs seen on seen.id = h.job_id and seen.xmin = x.xmin
            where x.id = h.job_id
            for update of x skip locked
        ) j
    ), chosen as materialized (         -- the first of every key before the second of any: each key that we took gets its turn
        select r.key, r.place, r.id, r.queueing_lock
        from (
            select
                b.*,
                count(*) filter (where b.runnable and b.mine) over (partition by b.key order by b.turn) = b.turn as unbroken,
                row_number() over (order by b.turn, b.key) as number
            from body b
        ) r
        where r.unbroken and r.number <= p_max_jobs
    ), gone as (
        delete from procrastinate_tokens t
        where t.ctid = any (v_tokens)
          and (t.xid <> pg_current_xact_id() or t.id in (select c.key from chosen c))
        returning 1
    ), lease as (
        insert into procrastinate_leases (worker_id, job_ids)
        select p_worker_id, array_agg(c.id)
        from chosen c
        having count(*) > 0
    ), held as (
        update procrastinate_lock_queue q
        set held = true
        where q.ctid = any (array(select c.place from chosen c))
    ), stale as materialized (          -- rows of jobs that moved, or left, in a transaction whose snapshot was too old to see them
        select b.key, b.place, b.turn
        from body b
        where not b.runnable
        union all
        select h.key, h.place, h.turn
        from head h
        where (select 1 from procrastinate_jobs j where j.id = h.job_id) is null
    ), swept as (
        delete from procrastinate_lock_queue q
        where q.ctid = any (array(select s.place from stale s))
    ), lane as materialized (
        select d.*, procrastinate_lane_for(d.queue_name, d.task_name, d.priority, 'locked') as lane
        from (select distinct b.queue_name, b.task_name, b.priority from body b where b.turn = 1 and b.runnable and not b.mine) d
    ), passed_on as (                   -- the head is not for us: to its lane; its row was stale: let the next one be looked for
        insert into procrastinate_tokens (lane, id)
        select l.lane, b.key
        from body b
        join lane l using (queue_name, task_name, priority)
        where b.turn = 1 and b.runnable and not b.mine
        union all
        select 0, s.key
        from stale s
        where s.turn = 1
    ), later as (                       -- somebody has the head's body, or it is not due: look again
        insert into procrastinate_agenda (at, id)
        select greatest(j.scheduled_at, clock_timestamp()), j.id
        from head h
        cross join lateral (
            select x.id, x.scheduled_at from procrastinate_jobs x where x.id = h.job_id and x.status = 'todo' offset 0
        ) j
        where h.job_id not in (select b.id from body b where b.runnable)
    ), queueing as (
        delete from procrastinate_queueing_locks q
        where q.queueing_lock = any (array(select c.queueing_lock from chosen c where c.queueing_lock is not null))
          and q.job_id in (select c.id from chosen c)
    ), started as (
        update procrastinate_jobs j
        set status = 'doing', worker_id = p_worker_id, started_at = clock_timestamp()
        where j.id = any (array(select c.id from chosen c))
        returning j.*
    )
    select (select count(*)::integer from gone), coalesce(array_agg(row(
            s.id, s.task_name, s.queue_name, s.args, s.priority, s.lock, s.attempts + 1, s.max_attempts,
            s.timeout, s.scheduled_at, s.deferred_at, s.metadata, null
        )::procrastinate_job order by s.priority desc, s.id), '{}')
    into dropped, jobs
    from started s;
end;
$function$;

comment on function procrastinate_start_locked(bigint, text[], text[], procrastinate_heads, integer, integer, boolean) is
    'Start at most p_max_jobs jobs of the locks that a lane''s tokens name, of each lock at most p_max_per_lock; with p_own also tokens that our own transaction wrote. '
    'Returns the jobs, how many tokens it looked at, and how many of them it dropped.';
