-- Remember where a lane begins, so that the next fetch does not walk over the tokens that are gone. While a long
-- transaction holds back vacuum those dead index entries stay, and walking them is what makes other queues collapse.
--
-- The caller read, in one snapshot, the first live token (p_xid, p_id) at or above the old floor, whose late transactions are
-- p_late. Below that token nothing is alive but theirs; what can still appear there comes from transactions that the
-- snapshot saw running, from those to come (which get higher ids), or from our own. The young ones among them hold the
-- floor; the old ones are remembered one by one, so that a single long one does not hold it for hours, and those that
-- have ended as long as a token of theirs is alive.
create or replace function procrastinate_raise_floor(p_lane integer, p_xid xid8, p_id bigint, p_late xid8[], p_snapshot pg_snapshot)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    c_young constant bigint := 100::bigint;     -- transactions; fewer: more late ones to probe, more: more dead entries to walk
    v_old   xid8 := greatest(pg_snapshot_xmax(p_snapshot)::text::bigint - c_young, 0)::text::xid8;
begin
    insert into procrastinate_floors (lane, xid, id, late)
    select
        p_lane, f.xid,
        case when f.xid = f.young then -9223372036854775808 else p_id end,        -- keys of locks may be negative
        array(
            -- <=, for the first token may be our own: others of ours may come below it
            select x from unnest(f.old) x where x <= f.xid
            union
            select x from unnest(p_late) x where (select 1 from procrastinate_tokens t where t.lane = p_lane and t.xid = x limit 1) = 1)
    from (
        select o.young, o.old, case when o.young <= p_xid then o.young else p_xid end as xid
        from (
            select (array_agg(x order by x) filter (where x >= v_old))[1] as young, array_agg(x) filter (where x < v_old) as old
            from (
                select pg_snapshot_xip(p_snapshot)
                union all select pg_snapshot_xmax(p_snapshot)
                union all select pg_current_xact_id_if_assigned()
            ) t(x)
        ) o
    ) f;
end;
$function$;

comment on function procrastinate_raise_floor(integer, xid8, bigint, xid8[], pg_snapshot) is
    'Note that no token of the lane below (p_xid, p_id) is alive or can appear, save those of p_late and of what p_snapshot saw running.';
