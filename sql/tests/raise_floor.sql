-- The transactions around us are made up, for a snapshot is only a text. All are told by their distance from our own, which is
-- the newest of them, as in a fetch that has just taken its id, or in the end an old one.
begin;
select plan(21);

create temp table lane as
with made as (
    insert into procrastinate_lanes (queue_name, task_name, priority, kind) values ('q', 'a', 0, 'plain') returning lane
)
select lane, pg_current_xact_id()::text::bigint as own from made;

-- Raises the floor to the token (own + p_xid, p_id) with the late ones and the snapshot given as distances from our own id;
-- says the floor that was written as distances too.
create function pg_temp.raised(p_xid bigint, p_id bigint, p_late bigint[], p_xmax bigint, p_running bigint[])
returns table (floor_xid bigint, floor_id bigint, floor_late bigint[])
language plpgsql
as $function$
declare
    v_lane integer;
    v_own  bigint;
begin
    select l.lane, l.own into v_lane, v_own from pg_temp.lane l;
    perform procrastinate_raise_floor(
        v_lane, (v_own + p_xid)::text::xid8, p_id,
        array(select (v_own + x)::text::xid8 from unnest(p_late) x),
        format('%s:%s:%s', v_own + coalesce((select min(x) from unnest(p_running) x), p_xmax), v_own + p_xmax,
               (select string_agg((v_own + x)::text, ',' order by x) from unnest(p_running) x))::pg_snapshot);
    return query
    select
        f.xid::text::bigint - v_own, f.id,
        array(select x::text::bigint - v_own from unnest(f.late) x order by x)
    from procrastinate_floors f
    where f.lane = v_lane
    order by f.n desc
    limit 1;
end;
$function$;

-- nobody else is running

select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{}', 0, '{}') $$,
    $$ values (-5::bigint, 77::bigint, '{}'::bigint[]) $$,
    'the floor is the first live token, when nothing below it can appear any more');
select results_eq(
    'select f.lane, f.xid::text::bigint - l.own, f.id, f.late, f.at > now() - interval ''1 day'' from procrastinate_floors f join lane l using (lane)',
    $$ select l.lane, -5::bigint, 77::bigint, '{}'::xid8[], true from lane l $$,
    'a floor is written for this lane alone');

-- young transactions hold the floor

select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{}', 0, '{-7}') $$,
    $$ values (-7::bigint, -9223372036854775808, '{}'::bigint[]) $$,
    'the floor stays below all tokens, also those with negative ids, that a young running transaction may write');
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{}', 0, '{-7,-9,-6}') $$,
    $$ values (-9::bigint, -9223372036854775808, '{}'::bigint[]) $$,
    'of young running transactions the oldest holds the floor');
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{}', 0, '{-4,-3}') $$,
    $$ values (-5::bigint, 77::bigint, '{}'::bigint[]) $$,
    'a running transaction above the first token does not hold the floor');
select results_eq(
    $$ select * from pg_temp.raised(0, 77, '{}', 1, '{}') $$,
    $$ values (0::bigint, -9223372036854775808, '{}'::bigint[]) $$,
    'our own transaction holds the floor like any other');
select results_eq(
    $$ select * from pg_temp.raised(-2, 77, '{}', -2, '{}') $$,
    $$ values (-2::bigint, -9223372036854775808, '{}'::bigint[]) $$,
    'transactions that were to come when the snapshot was taken hold the floor');

-- old ones are remembered; the border is a hundred transactions

select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{}', 0, '{-300,-101}') $$,
    $$ values (-5::bigint, 77::bigint, '{-300,-101}'::bigint[]) $$,
    'old running transactions do not hold the floor: they are remembered as late');
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{}', 0, '{-100}') $$,
    $$ values (-100::bigint, -9223372036854775808, '{}'::bigint[]) $$,
    'a running transaction is young for a hundred transactions');
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{}', 0, '{-300,-7}') $$,
    $$ values (-7::bigint, -9223372036854775808, '{-300}'::bigint[]) $$,
    'with old and young ones running the young one holds the floor and the old one is late');
select results_eq(
    $$ select * from pg_temp.raised(-200, 77, '{}', 0, '{-300,-150}') $$,
    $$ values (-200::bigint, 77::bigint, '{-300}'::bigint[]) $$,
    'an old running transaction above the floor is not late');

-- those that were late before

insert into procrastinate_tokens (lane, xid, id)
select l.lane, (l.own + t.xid)::text::xid8, t.id from lane l, (values (-400, 1), (-400, -9), (-350, 2), (-200, 3)) t(xid, id);
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{-400,-350}', 0, '{}') $$,
    $$ values (-5::bigint, 77::bigint, '{-400,-350}'::bigint[]) $$,
    'late transactions that still have tokens stay late, running or not');
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{-400,-350}', 0, '{-400,-300}') $$,
    $$ values (-5::bigint, 77::bigint, '{-400,-350,-300}'::bigint[]) $$,
    'a transaction that is late twice is remembered once');
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{-400,-380,-350}', 0, '{}') $$,
    $$ values (-5::bigint, 77::bigint, '{-400,-350}'::bigint[]) $$,
    'one that has ended, and has no tokens in the lane, is late no more');
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{-400,-380,-350}', 0, '{-380}') $$,
    $$ values (-5::bigint, 77::bigint, '{-400,-380,-350}'::bigint[]) $$,
    'one that still runs stays late, though it has no tokens yet');
update procrastinate_tokens t set lane = 0 from lane l where t.xid::text::bigint = l.own - 350;
select results_eq(
    $$ select * from pg_temp.raised(-5, 77, '{-400,-350}', 0, '{}') $$,
    $$ values (-5::bigint, 77::bigint, '{-400}'::bigint[]) $$,
    'tokens in another lane do not keep one late');
select results_eq(
    $$ select * from pg_temp.raised(-7, 77, '{-400}', 0, '{-9}') $$,
    $$ values (-9::bigint, -9223372036854775808, '{-400}'::bigint[]) $$,
    'what was late stays late below a floor that a young one holds');
delete from procrastinate_tokens;

-- an old transaction of our own

select ok(
    floor_xid < 0 or floor_xid = 0 and floor_id = -9223372036854775808 or 0 = any (floor_late),
    'a floor at the first token of our own old transaction leaves room for the tokens that it will still write')
from pg_temp.raised(0, 77, '{}', 250, '{}');

insert into procrastinate_tokens (lane, id) select l.lane, -3 from lane l;
select isnt_empty(
    $$ select * from procrastinate_heads h join lane l using (lane) where h.first_xid <= pg_current_xact_id() $$,
    'a token that our own old transaction writes below the floor is seen');
delete from procrastinate_tokens;

select results_eq(
    $$ select * from pg_temp.raised(20, 77, '{}', 250, '{}') $$,
    $$ values (20::bigint, 77::bigint, '{0}'::bigint[]) $$,
    'our own transaction is late when it is old and the floor is above it');

-- a young cluster

select lives_ok(
    $$ select procrastinate_raise_floor(l.lane, '3', 1, '{}', '4:4:') from lane l $$,
    'a floor is raised when there have not been a hundred transactions');

select * from finish();
rollback;
