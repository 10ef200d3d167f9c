-- A lane that is closed or parked is opened in the caller's transaction: until it commits nobody reads the lane, and
-- nobody needs to. Never waits: somebody else's hand on the lane means opening another one.
create or replace function procrastinate_open_lane(p_queue text, p_task text, p_priority integer, p_kind text)
returns integer
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_lane integer;
begin
    update procrastinate_lanes l
    set state = 'open', opened_at = clock_timestamp(), settled_xid = null
    where l.lane = (
        select x.lane
        from procrastinate_lanes x
        where x.queue_name = p_queue and x.task_name = p_task and x.priority = p_priority and x.kind = p_kind
        limit 1
        for update skip locked)
    returning l.lane into v_lane;
    if not found then
        insert into procrastinate_lanes (queue_name, task_name, priority, kind)
        values (p_queue, p_task, p_priority, p_kind)
        returning lane into v_lane;
    end if;
    return v_lane;
end;
$function$;

comment on function procrastinate_open_lane(text, text, integer, text) is
    'Open a lane of these, one that was closed or parked if there is one.';

-- The lane that a new token belongs into. Every token but those for the hand-over lane comes through here, so this is also
-- where the queue's listeners are told: only when the lane has no live token, for else they were told already and a worker
-- that finds something looks again by itself. (Not under READ COMMITTED they are told always: a SERIALIZABLE transaction
-- that looks at others' tokens would conflict with every other deferrer.)
create or replace function procrastinate_lane_for(p_queue text, p_task text, p_priority integer, p_kind text)
returns integer
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
declare
    v_lane integer;
begin
    -- the state not by =, and no order, so that no index but that on the name will do, whenever the plan was made
    select l.lane into v_lane
    from procrastinate_lanes l
    where l.queue_name = p_queue and l.task_name = p_task and l.priority = p_priority and l.kind = p_kind
      and l.state is not distinct from 'open'
    limit 1;
    if not found then
        v_lane := procrastinate_open_lane(p_queue, p_task, p_priority, p_kind);
    end if;

    if current_setting('transaction_isolation') <> 'read committed' or not exists (
        select
        from (select) one
        left join lateral (
            select f.xid, f.id from procrastinate_floors f where f.lane = v_lane order by f.n desc limit 1
        ) floor on true
        cross join lateral (
            select from procrastinate_tokens t
            where t.lane = v_lane and (t.xid, t.id) >= (coalesce(floor.xid, '0'), coalesce(floor.id, -9223372036854775808))
            limit 1
        ) live)
    then
        perform procrastinate_notify(p_queue, 'job_inserted', 0);
    end if;
    return v_lane;
end;
$function$;

comment on function procrastinate_lane_for(text, text, integer, text) is
    'The open lane of these, opened if need be; wakes the listeners of its queue when it is empty.';
