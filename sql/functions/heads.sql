-- Where to read in each lane: the first live token at or above the lane's floor, and one row for each late transaction
-- that has tokens below it. Everything in one statement, so in one snapshot: what a new floor may be derived from.
--
-- A floor made in another cluster could lie above every transaction of this one; such a floor is not believed.
create or replace view procrastinate_heads as
select
    l.lane, l.queue_name, l.task_name, l.priority, l.kind,
    s.first_xid, s.first_id, s.last_xid,
    coalesce(floor.late, '{}') as late,
    s.last_xid = '18446744073709551615'::xid8 as is_main
from procrastinate_lanes l
left join lateral (
    select f.xid, f.id, f.late
    from procrastinate_floors f
    where f.lane = l.lane
    order by f.n desc
    limit 1
) floor on floor.xid <= pg_snapshot_xmax(pg_current_snapshot())
cross join lateral (
    select x as first_xid, -9223372036854775808 as first_id, x as last_xid
    from unnest(floor.late) x
    where (select 1 from procrastinate_tokens t where t.lane = l.lane and t.xid = x limit 1) = 1
    union all
    (
        select t.xid, t.id, '18446744073709551615'::xid8
        from procrastinate_tokens t
        where t.lane = l.lane
          and (t.xid, t.id) >= (coalesce(floor.xid, '0'), coalesce(floor.id, -9223372036854775808))
        order by t.xid, t.id
        limit 1
    )
) s
where l.state <> 'parked';

comment on view procrastinate_heads is
    'The lanes that have something to look at: from which token on (first_xid, first_id) to which transaction (last_xid).';
