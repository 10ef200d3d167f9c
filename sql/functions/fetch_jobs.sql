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
          and (p_lane.kind in ('plain', 'returned') or t.xid <> pg_current_xact_id())        -- see start_locked
        order by t.xid, t.id
        limit 1000
        for update skip locked
    )
    delete from procrastinate_tokens t
    where t.ctid = any (array(
        select k.place
        from token k
        where case
            when p_lane.kind in ('plain', 'returned')
                then (select 1 from procrastinate_jobs j where j.id = k.id and j.status = 'todo') is null
            -- held rows come first in the index
            else coalesce((select q.held from procrastinate_lock_queue q where q.key = k.id order by q.held desc limit 1), true)
        end));
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
    v_started    record;
    v_count      integer;
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
            loop
                if v_lane.kind in ('plain', 'returned') then
                    return query select * from procrastinate_start_plain(worker_id, v_lane, v_need);
                    get diagnostics v_count = row_count;
                    v_need := v_need - v_count;
                    exit when v_need <= 0 or procrastinate_sweep_lane(v_lane) = 0;
                else
                    exit when least(v_locked, v_keys) <= 0;
                    select * into v_started
                    from procrastinate_start_locked(worker_id, v_queues, v_tasks, v_lane, least(v_need, v_locked, v_keys), max_per_lock, v_own);
                    v_own := v_own and v_started.dropped > 0;       -- else only those are left that would come first again
                    return query select * from unnest(v_started.jobs);
                    get diagnostics v_count = row_count;
                    v_need := v_need - v_count;
                    v_locked := v_locked - v_count;
                    v_keys := v_keys - v_started.tokens;
                    v_again := v_again or v_started.tokens > 0;
                    exit when v_need <= 0 or (procrastinate_sweep_lane(v_lane) = 0 and v_started.tokens = 0);
                end if;
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
