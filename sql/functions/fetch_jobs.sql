-- Drop tokens of a lane that are good for nothing: a thousand cancelled jobs must not keep a fetch from the next one.
--
-- What the snapshot shows decides, and that is enough. A job that is not todo: who puts it back to todo writes a token. A
-- lock that is held: its holder's end writes one. A lock in which nobody waits: who enters it brings one. All of them
-- commit after our snapshot was taken, else we would see what they did, and so their tokens are not among ours.
create or replace function procrastinate_sweep_lane(p_lane procrastinate_heads)
returns integer
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_count integer;
begin
    with token as materialized (
        select t.ctid as place, t.id
        from procrastinate_tokens t
        where t.lane = p_lane.lane and (t.xid, t.id) >= (p_lane.first_xid, p_lane.first_id) and t.xid <= p_lane.last_xid
          and (p_lane.kind in ('plain', 'returned') or t.xid <> pg_current_xact_id())        -- see choose_locked
        order by t.xid, t.id
        limit 1000
    ), useless as materialized (            -- each id looked at once: all tokens may be of one lock
        select k.id
        from (select distinct x.id from token x) k
        where case
            when p_lane.kind in ('plain', 'returned')
                then (select 1 from procrastinate_jobs j where j.id = k.id and j.status = 'todo') is null
            -- held rows come first in the index
            else coalesce((select q.held from procrastinate_lock_queue q where q.key = k.id order by q.held desc limit 1), true)
        end
    )
    delete from procrastinate_tokens t
    where t.ctid = any (array(
        select x.ctid
        from procrastinate_tokens x
        where x.ctid = any (array(select k.place from token k where (k.id in (select u.id from useless u)) is true))
        for update skip locked));
    get diagnostics v_count = row_count;
    return v_count;
end;
$function$;

comment on function procrastinate_sweep_lane(procrastinate_heads) is
    'Drop useless tokens among the first thousand of a lane; returns how many.';

create or replace function procrastinate_fetch_refused(p_max_jobs integer, p_max_per_lock integer)
returns void
language plpgsql
stable
set search_path from current
as $function$
begin
    if p_max_jobs is null or p_max_jobs < 1 then
        raise exception 'invalid max_jobs: %', coalesce(p_max_jobs::text, 'NULL') using errcode = 'PJ001', detail = 'At least 1 is accepted.';
    elsif p_max_per_lock is null or p_max_per_lock < 1 then
        raise exception 'invalid max_per_lock: %', coalesce(p_max_per_lock::text, 'NULL') using errcode = 'PJ001', detail = 'At least 1 is accepted.';
    end if;
    raise exception 'fetching needs READ COMMITTED, this transaction is %', upper(current_setting('transaction_isolation'))
        using errcode = 'PJ009', detail = 'Whether a lock is free can only be seen in a snapshot taken after it was got.';
end;
$function$;

comment on function procrastinate_fetch_refused(integer, integer) is 'Raises PJ001 for an argument of fetch, else PJ009.';

-- The lanes are read once, best first: the hand-over lane, then by priority, those that were given back before the others,
-- then in the order in which their first jobs became ready. Inside a lane no token is skipped by a worker's filter, for the
-- filters choose lanes.
--
-- The worker's row is locked first (key share): its removal waits for us, or we for it, and then there is no row. So
-- whoever removed a worker sees, in a new statement, every lease it will ever have.
create or replace function procrastinate_fetch_jobs(worker_id bigint, max_jobs integer, max_per_lock integer default 1)
returns setof procrastinate_job
language plpgsql
volatile
security definer
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
declare
    c_max_locked constant integer  := 200;
    c_patience   constant interval := interval '1 s';         -- to look past useless tokens, with nothing to give yet;
    c_hurry      constant interval := interval '20 ms';       -- and with something
    v_began      timestamptz := clock_timestamp();
    v_queues     text[];
    v_tasks      text[];
    v_next       record;
    v_lane       procrastinate_heads;
    v_need       integer := max_jobs;
    v_locked     integer := least(max_jobs, c_max_locked);
    v_keys       integer := least(greatest(10 * max_jobs, 100), 2000);     -- an advisory lock each until we commit; a server has some thousands
    v_look       record;
    v_asked      integer;
    v_width      integer;
    v_chosen     tid[] := '{}'::tid[];
    v_first      bigint[] := '{}'::bigint[];      -- of those, the jobs that were given back
    v_again      boolean;
    v_own        boolean;
begin
    if (max_jobs >= 1 and max_per_lock >= 1 and current_setting('transaction_isolation') = 'read committed') is not true then
        perform procrastinate_fetch_refused(max_jobs, max_per_lock);
    end if;

    -- first of all tables, as in tick and repair: whoever holds a token may still want jobs, and repair keeps both from writers
    lock table procrastinate_jobs in row exclusive mode;
    select w.queues, w.tasks into v_queues, v_tasks
    from procrastinate_workers w
    where w.id = worker_id
    for key share;
    if not found then
        perform procrastinate_no_such_worker(worker_id);
    end if;

    -- A lock may be passed on to a lane that was empty when the lanes were read: then they are read again.
    for v_pass in 1 .. 3 loop
        v_again := false;
        for v_next in
            select
                row(h.lane, h.queue_name, h.task_name,
                    coalesce(h.priority, max(h.priority) over (), -2147483648),     -- hand-over: nothing below the best that waits
                    h.kind, h.first_xid, h.first_id, h.last_xid, h.late, h.is_main)::procrastinate_heads as lane,
                pg_current_snapshot() as snapshot
            from procrastinate_heads h
            where h.lane = 0
               or (v_queues is null or h.queue_name = any (v_queues))
              and (v_tasks is null or h.task_name = any (v_tasks))
              and h.queue_name not in (select p.queue_name from procrastinate_queues p)
            order by h.lane <> 0, h.priority desc, h.kind <> 'returned', h.first_xid, h.first_id
        loop
            v_lane := v_next.lane;
            v_own := v_pass = 1 or v_lane.lane <> 0;
            v_width := null;
            loop
                if v_lane.kind in ('plain', 'returned') then
                    v_asked := v_need;
                    v_look := procrastinate_choose_plain(v_lane, v_asked);
                else
                    -- the longer it takes to find what is needed, the more tokens are looked at in one go
                    v_width := least(coalesce(2 * v_width, least(v_need, v_locked)), v_keys);
                    exit when least(v_width, v_locked) <= 0;
                    v_asked := v_width;
                    v_look := procrastinate_choose_locked(v_queues, v_tasks, v_lane, least(v_need, v_locked), v_asked, max_per_lock, v_own);
                    v_own := v_own and v_look.dropped > 0;       -- else only those are left that would come first again
                    v_locked := v_locked - cardinality(v_look.chosen);
                    v_keys := v_keys - v_look.tokens;
                    v_again := v_again or v_look.tokens > 0;
                end if;
                if v_chosen = '{}' then
                    v_chosen := v_look.chosen;
                elsif v_look.chosen <> '{}' then        -- a job with two tokens may be chosen twice
                    v_chosen := array(select unnest(v_chosen) union select unnest(v_look.chosen));
                end if;
                if v_lane.kind = 'returned' then
                    v_first := v_first || array(select j.id from procrastinate_jobs j where j.ctid = any (v_look.chosen));
                end if;
                v_need := max_jobs - cardinality(v_chosen);
                exit when v_need <= 0 or v_look.tokens < v_asked and (v_look.chosen <> '{}' or v_lane.kind in ('plain', 'returned'));
                exit when v_look.chosen = '{}' and procrastinate_sweep_lane(v_lane) = 0 and v_look.tokens < v_asked;
                exit when clock_timestamp() > v_began + case when v_need < max_jobs then c_hurry else c_patience end;
            end loop;

            -- about once in 16 jobs: a floor costs a row, and saves walking over the tokens that were taken since the last
            if v_lane.is_main and random() * 16 < max_jobs then
                perform procrastinate_raise_floor(v_lane.lane, v_lane.first_xid, v_lane.first_id, v_lane.late, v_next.snapshot);
            end if;
            exit when v_need <= 0;
        end loop;
        exit when v_need <= 0 or not v_again or v_need < max_jobs and clock_timestamp() > v_began + c_hurry;
    end loop;

    if v_chosen <> '{}' then
        return query
        with started as (
            update procrastinate_jobs j
            set status = 'doing', worker_id = procrastinate_fetch_jobs.worker_id, started_at = clock_timestamp()
            where j.ctid = any (v_chosen)
            returning
                j.id, j.task_name, j.queue_name, j.args, j.priority, j.lock, j.attempts, j.max_attempts, j.timeout, j.scheduled_at,
                j.deferred_at, j.metadata
        ), lease as (
            insert into procrastinate_leases (worker_id, job_ids)
            select procrastinate_fetch_jobs.worker_id, array_agg(s.id)
            from started s
        )
        select
            s.id, s.task_name, s.queue_name, s.args, s.priority, s.lock, s.attempts + 1, s.max_attempts, s.timeout,
            s.scheduled_at, s.deferred_at, s.metadata, null::text
        from started s
        order by
            s.priority desc, s.id <> all (v_first),
            case when s.lock is null then greatest(s.deferred_at, s.scheduled_at) end nulls first,      -- in a lock the id decides
            s.id;
    end if;
end;
$function$;

comment on function procrastinate_fetch_jobs(bigint, integer, integer) is
'Start jobs for a worker, and hand them to it. They are doing from the commit on.
Best first: by priority, then those that were given back, then as they became ready; between queues and tasks of one priority to
within a batch. Not those of paused queues.
worker_id: the worker''s id, from procrastinate_register_worker.
max_jobs: how many jobs at most, from 1; of those with locks at most 200.
max_per_lock: how many jobs of one lock at most, from 1. The worker runs them one after the other, in the order given.
Returns the jobs, each as a procrastinate_job; none when there is nothing to do.
Raises PJ001 (an argument is NULL, or a number below 1), PJ003 (the worker is not registered, or not any more), PJ009 (the
transaction is not READ COMMITTED).';
