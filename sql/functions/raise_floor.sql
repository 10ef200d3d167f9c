-- Remember where a lane begins, so that the next fetch does not walk over the tokens that are gone. While a long
-- transaction holds back vacuum those dead index entries stay, and walking them is what makes other queues collapse.
--
-- The caller read, in one snapshot, the first live token (p_xid, p_id) at or above the old floor, and which late
-- transactions still have tokens below it. Below that token nothing is alive; what can still appear there comes from
-- transactions that the snapshot saw running, from those to come (which get higher ids), or from our own. The young ones
-- among them hold the floor; the old ones are remembered one by one, so that a single long one does not hold it for hours.
create or replace function procrastinate_raise_floor(p_lane integer, p_xid xid8, p_id bigint, p_late xid8[], p_snapshot pg_snapshot)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    c_young constant bigint := 100::bigint;     -- transactions; fewer: more late ones to probe, more: more dead entries to walk
    v_old   xid8 := greatest(pg_snapshot_xmax(p_snapshot)::text::bigint - c_young, 0)::text::xid8;
    v_open  xid8[];
    v_limit xid8;
begin
    v_open := array(
        select x from (
            select pg_snapshot_xip(p_snapshot)
            union all select pg_snapshot_xmax(p_snapshot)
            union all select pg_current_xact_id_if_assigned()
        ) t(x)
        where x is not null
        order by x);

    select x into v_limit from unnest(v_open) x where x >= v_old order by x limit 1;
    if v_limit <= p_xid then
        p_xid := v_limit;
        p_id := -9223372036854775808;       -- keys of locks may be negative
    end if;

    insert into procrastinate_floors (lane, xid, id, late)
    values (p_lane, p_xid, p_id, array(
        -- <=, for the first token may be our own: others of ours may come below it
        select x from unnest(v_open) x where x < v_old and x <= p_xid
        union
        select x from unnest(p_late) x));
end;
$function$;

comment on function procrastinate_raise_floor(integer, xid8, bigint, xid8[], pg_snapshot) is
    'Note that no token of the lane below (p_xid, p_id) is alive or can appear, save those of p_late and of what p_snapshot saw running.';
