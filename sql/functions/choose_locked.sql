-- Choose jobs that have locks, hold the locks for them, and drop the tokens; the caller starts them. A token here names a lock's key and says: this lock may have something to start. Also tick
-- comes here, with no queues, to pass the tokens of the hand-over lane on to where the jobs are.
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
-- Of each key at most p_max_per_lock jobs are chosen, from the head on without a gap, and no more are looked at than its share if
-- all keys have some. The head is chosen only if it is for this worker and nothing of better priority may wait; else the key's
-- token goes to the head's lane. More keys than jobs may be looked at, for most tokens may be of no use; a key whose head is
-- one too many keeps its token.
create or replace function procrastinate_choose_locked(
    p_queues       text[],
    p_tasks        text[],
    p_lane         procrastinate_heads,
    p_max_jobs     integer,
    p_max_keys     integer,
    p_max_per_lock integer,
    p_own          boolean,
    out chosen     tid[],
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
    v_turns  integer;       -- how many jobs of each lock are looked at
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
            limit 10 * p_max_keys
            for update skip locked
        ) c
        where pg_try_advisory_xact_lock(c.key # 'procrastinate_jobs'::regclass::oid::bigint)     -- ours, not another schema's
        limit p_max_keys
    ) g;
    tokens := coalesce(cardinality(v_tokens), 0);
    dropped := 0;
    chosen := '{}';
    if tokens = 0 then
        return;
    end if;
    v_turns := least(p_max_per_lock, greatest((p_max_jobs + cardinality(v_keys) - 1) / cardinality(v_keys), 1));

    with head as materialized (
        select w.key, w.place, w.job_id, w.priority, w.turn
        from (
            select
                k.key, q.place, q.job_id, q.priority,
                row_number() over best as turn, first_value(q.held) over best as busy
            from unnest(v_keys) k(key)
            cross join lateral (
                select x.ctid as place, x.held, x.priority, x.job_id
                from procrastinate_lock_queue x
                where x.key = k.key
                order by x.held desc, x.priority desc, x.job_id
                limit v_turns
            ) q
            window best as (partition by k.key order by q.held desc, q.priority desc, q.job_id)
        ) w
        where not w.busy
    ), body as materialized (
        select
            h.key, h.place, h.turn, j.body, j.id, j.queueing_lock, j.queue_name, j.task_name, j.priority,
            j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= clock_timestamp())
                and j.lock_key = h.key and j.priority = h.priority as runnable,
            j.priority >= p_lane.priority
                and (p_queues is null or j.queue_name = any (p_queues)) and (p_tasks is null or j.task_name = any (p_tasks))
                and j.queue_name not in (select p.queue_name from procrastinate_queues p) as mine
        from head h
        cross join lateral (
            select x.ctid as body, x.*
            from procrastinate_jobs x
            join procrastinate_jobs seen on seen.id = h.job_id and seen.xmin = x.xmin
            where x.id = h.job_id
            for update of x skip locked
        ) j
    ), startable as materialized (      -- the first of every key before the second of any: each key gets its turn
        select r.key, r.place, r.turn, r.body, r.id, r.queueing_lock, row_number() over (order by r.turn, r.key) <= p_max_jobs as chosen
        from (
            select b.*, count(*) filter (where b.runnable and b.mine) over (partition by b.key order by b.turn) = b.turn as unbroken
            from body b
        ) r
        where r.unbroken
    ), chosen as materialized (
        select s.key, s.place, s.body, s.id, s.queueing_lock from startable s where s.chosen
    ), gone as (
        delete from procrastinate_tokens t
        where t.ctid = any (v_tokens)
          and (t.xid <> pg_current_xact_id() or t.id in (select c.key from chosen c))
          and t.id not in (select s.key from startable s where s.turn = 1 and not s.chosen)
        returning 1
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
        where h.job_id not in (select b.id from body b)
          and (select 1 from procrastinate_jobs j where j.id = h.job_id) is null
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
    )
    select (select count(*)::integer from gone), coalesce(array_agg(c.body), '{}')
    into dropped, chosen
    from chosen c;
end;
$function$;

comment on function procrastinate_choose_locked(text[], text[], procrastinate_heads, integer, integer, integer, boolean) is
    'Lock at most p_max_jobs jobs of at most p_max_keys locks that a lane''s tokens name, of each lock at most p_max_per_lock, and hold those locks; with p_own also '
    'tokens that our own transaction wrote. Returns where the jobs'' rows are, how many tokens it looked at, and how many of them it dropped.';
