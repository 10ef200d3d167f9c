begin;
select plan(21);

-- lanes that the schema may have from earlier use
delete from procrastinate_floors;
delete from procrastinate_lanes where lane <> 0;

create temp table lane (name text primary key, lane integer);

with made as (
    insert into procrastinate_lanes (queue_name, task_name, priority, kind, state)
    values ('q', 'a', 3, 'plain', 'open'), ('q', 'b', 0, 'locked', 'open')
    returning lane, task_name
)
insert into lane select task_name, lane from made;

-- The heads as (task, transaction and id from which on, transaction up to which, late transactions, main or not).
create temp view head as
select
    h.task_name, h.first_xid::text::numeric as xid, h.first_id as id, h.last_xid::text::numeric as last_xid, h.late::text as late, h.is_main
from procrastinate_heads h
order by 1, 2, 3;

\set last 18446744073709551615
\set least -9223372036854775808

select is_empty('select * from procrastinate_heads', 'a lane without tokens has no head');

-- without a floor

insert into procrastinate_tokens (lane, xid, id)
select l.lane, t.xid, t.id
from lane l, (values ('20'::xid8, 5), ('20', 4), ('30', 1), ('20', -7)) t(xid, id)
where l.name = 'a';

select results_eq(
    'select * from head',
    $$ values ('a', 20::numeric, -7::bigint, 18446744073709551615::numeric, '{}', true) $$,
    'without a floor the head is the first token by transaction, then id');
select results_eq(
    $$ select h.lane, h.queue_name, h.task_name, h.priority, h.kind from procrastinate_heads h $$,
    $$ select l.lane, 'q', 'a', 3, 'plain' from lane l where l.name = 'a' $$,
    'a head says which lane it is of');

insert into procrastinate_tokens (lane, xid, id) values (0, '40', -9);
select results_eq(
    $$ select h.lane, h.queue_name, h.task_name, h.priority, h.kind, h.first_xid::text, h.first_id from procrastinate_heads h where h.lane = 0 $$,
    $$ values (0, null::text, null::text, null::integer, 'handover', '40', -9::bigint) $$,
    'the hand-over lane has a head too');
delete from procrastinate_tokens where lane = 0;

insert into procrastinate_tokens (lane, xid, id) select l.lane, '50', 1 from lane l where l.name = 'b';
select results_eq(
    'select task_name, xid, id from head',
    $$ values ('a', 20::numeric, -7::bigint), ('b', 50::numeric, 1::bigint) $$,
    'each lane has its own head');

-- with a floor

insert into procrastinate_floors (lane, xid, id, late) select l.lane, '20', 4, '{}' from lane l where l.name = 'a';
select results_eq(
    'select task_name, xid, id, is_main from head',
    $$ values ('a', 20::numeric, 4::bigint, true), ('b', 50::numeric, 1::bigint, true) $$,
    'a token at the floor is seen, those below are not, and the floor of one lane is not that of another');

insert into procrastinate_floors (lane, xid, id, late) select l.lane, '20', 6, '{}' from lane l where l.name = 'a';
select results_eq(
    $$ select task_name, xid, id, is_main from head where task_name = 'a' $$,
    $$ values ('a', 30::numeric, 1::bigint, true) $$,
    'a floor is a place among all tokens: a smaller id of a later transaction lies above it');

insert into procrastinate_floors (lane, xid, id, late) select l.lane, '20', 5, '{}' from lane l where l.name = 'a';
select results_eq(
    $$ select task_name, xid, id, is_main from head where task_name = 'a' $$,
    $$ values ('a', 20::numeric, 5::bigint, true) $$,
    'the newest floor counts, not the highest');

insert into procrastinate_floors (lane, xid, id, late) select l.lane, '31', :least, '{}' from lane l where l.name = 'a';
select is_empty($$ select * from head where task_name = 'a' $$, 'a lane with nothing at or above its floor has no head');

-- late transactions

insert into procrastinate_floors (lane, xid, id, late) select l.lane, '31', :least, '{20,25,30}' from lane l where l.name = 'a';
select results_eq(
    $$ select * from head where task_name = 'a' $$,
    $$ values ('a', 20::numeric, -9223372036854775808, 20::numeric, '{20,25,30}', false),
              ('a', 30::numeric, -9223372036854775808, 30::numeric, '{20,25,30}', false) $$,
    'below the floor each late transaction that has tokens is a head of its own, from its smallest possible id on');

insert into procrastinate_tokens (lane, xid, id) select l.lane, '33', 8 from lane l where l.name = 'a';
select results_eq(
    $$ select * from head where task_name = 'a' $$,
    $$ values ('a', 20::numeric, -9223372036854775808, 20::numeric, '{20,25,30}', false),
              ('a', 30::numeric, -9223372036854775808, 30::numeric, '{20,25,30}', false),
              ('a', 33::numeric, 8::bigint, 18446744073709551615::numeric, '{20,25,30}', true) $$,
    'the head at the floor is the main one, and each knows the floor''s late ones, also those without tokens');

delete from procrastinate_tokens t using lane l where l.name = 'a' and t.lane = l.lane and t.xid = '20';
select results_eq(
    $$ select xid, late, is_main from head where task_name = 'a' $$,
    $$ values (30::numeric, '{20,25,30}', false), (33::numeric, '{20,25,30}', true) $$,
    'a late transaction without tokens has no head any more');

insert into procrastinate_tokens (lane, xid, id) select l.lane, '20', 1 from lane l where l.name = 'b';
select results_eq(
    $$ select xid, late, is_main from head where task_name = 'a' $$,
    $$ values (30::numeric, '{20,25,30}', false), (33::numeric, '{20,25,30}', true) $$,
    'a late transaction''s tokens in another lane do not matter');

-- states

update procrastinate_lanes x set state = 'closed' from lane l where l.lane = x.lane and l.name = 'a';
select is((select count(*) from head where task_name = 'a'), 2::bigint, 'a closed lane is still read');

update procrastinate_lanes x set state = 'parked' from lane l where l.lane = x.lane and l.name = 'a';
select results_eq(
    'select distinct task_name from head',
    $$ values ('b') $$,
    'a parked lane is not read, the others are');
update procrastinate_lanes x set state = 'open' from lane l where l.lane = x.lane and l.name = 'a';

-- floors of another cluster

insert into procrastinate_floors (lane, xid, id, late)
select l.lane, (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000000)::text::xid8, 1, '{33}' from lane l where l.name = 'a';
select results_eq(
    $$ select * from head where task_name = 'a' $$,
    $$ values ('a', 30::numeric, 1::bigint, 18446744073709551615::numeric, '{}', true) $$,
    'a floor above all transactions is not believed: the lane is read from its first token on');

insert into procrastinate_floors (lane, xid, id, late)
select l.lane, pg_snapshot_xmax(pg_current_snapshot()), :least, '{}' from lane l where l.name = 'a';
select is_empty($$ select * from head where task_name = 'a' $$, 'a floor at the end of the snapshot is believed');

-- what a fetch makes of it

delete from procrastinate_tokens;
delete from procrastinate_floors;
create temp table made (name text primary key, id bigint);
insert into made values ('worker', procrastinate_register_worker('w')), ('below', procrastinate_defer('a', queue => 'q', priority => 3)),
                        ('late', procrastinate_defer('a', queue => 'q', priority => 3));
update procrastinate_tokens t set xid = '20' from made m where m.name = 'late' and t.id = m.id;
update procrastinate_tokens t set xid = '21' from made m where m.name = 'below' and t.id = m.id;
insert into procrastinate_floors (lane, xid, id, late) select l.lane, '25', 1, '{20}' from lane l where l.name = 'a';

select results_eq(
    $$ select f.id from made w cross join procrastinate_fetch_jobs(w.id, 10) f where w.name = 'worker' $$,
    $$ select m.id from made m where m.name = 'late' $$,
    'a fetch takes the tokens of late transactions and none that lie below the floor');
select results_eq(
    $$ select c.invariant, c.job_id from procrastinate_check() c $$,
    $$ select 'a due job without a lock has a token', m.id from made m where m.name = 'below' $$,
    'a token that no fetch would look at does not count for check');
select procrastinate_repair();
select results_eq(
    $$ select f.id from made w cross join procrastinate_fetch_jobs(w.id, 10) f where w.name = 'worker' $$,
    $$ select m.id from made m where m.name = 'below' $$,
    'repair brings back what lies below a wrong floor');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
