-- That a lane which somebody else has his hand on is not waited for needs two sessions: the Go tests.
begin;
select plan(41);

-- lanes that the schema may have from earlier use
delete from procrastinate_floors;
delete from procrastinate_lanes where lane <> 0;

create temp table told (queue text, type text, job_id bigint);

-- who is told is seen by putting a note-taker in the place of the messenger
create or replace function procrastinate_notify(p_queue text, p_type text, p_job_id bigint)
returns void
language sql
volatile
as $function$
    insert into pg_temp.told values (p_queue, p_type, p_job_id)
$function$;

create temp table lane (name text primary key, lane integer);

-- a new lane

insert into lane values ('plain', procrastinate_lane_for('q', 't', 5, 'plain'));
select results_eq(
    $$ select l.queue_name, l.task_name, l.priority, l.kind, l.state, l.settled_xid
       from procrastinate_lanes l join lane using (lane) $$,
    $$ values ('q', 't', 5, 'plain', 'open', null::xid8) $$,
    'a lane that is not there is opened');
select results_eq(
    'select * from told',
    $$ values ('q', 'job_inserted', 0::bigint) $$,
    'the listeners of a new lane''s queue are told');

truncate told;
select is(procrastinate_lane_for('q', 't', 5, 'plain'), (select lane from lane where name = 'plain'), 'a lane that is open is taken');
select is((select count(*) from procrastinate_lanes where queue_name = 'q'), 1::bigint, 'no second lane is opened beside one that is open');
select results_eq(
    'select * from told',
    $$ values ('q', 'job_inserted', 0::bigint) $$,
    'the listeners of an empty lane''s queue are told again');

-- one lane for each queue, task, priority and kind

insert into lane values
    ('queue',    procrastinate_lane_for('Q', 't', 5, 'plain')),
    ('task',     procrastinate_lane_for('q', 'T', 5, 'plain')),
    ('priority', procrastinate_lane_for('q', 't', 6, 'plain')),
    ('locked',   procrastinate_lane_for('q', 't', 5, 'locked')),
    ('returned', procrastinate_lane_for('q', 't', 5, 'returned'));
select results_eq(
    $$ select n.name, l.queue_name, l.task_name, l.priority, l.kind
       from procrastinate_lanes l join lane n using (lane) order by l.lane $$,
    $$ values ('plain', 'q', 't', 5, 'plain'), ('queue', 'Q', 't', 5, 'plain'), ('task', 'q', 'T', 5, 'plain'),
              ('priority', 'q', 't', 6, 'plain'), ('locked', 'q', 't', 5, 'locked'), ('returned', 'q', 't', 5, 'returned') $$,
    'another queue, task, priority or kind has another lane');
select results_eq(
    $$ select procrastinate_lane_for('q', 't', 5, 'plain'), procrastinate_lane_for('Q', 't', 5, 'plain'), procrastinate_lane_for('q', 'T', 5, 'plain'),
              procrastinate_lane_for('q', 't', 6, 'plain'), procrastinate_lane_for('q', 't', 5, 'locked'), procrastinate_lane_for('q', 't', 5, 'returned') $$,
    $$ select max(lane) filter (where name = 'plain'), max(lane) filter (where name = 'queue'), max(lane) filter (where name = 'task'),
              max(lane) filter (where name = 'priority'), max(lane) filter (where name = 'locked'), max(lane) filter (where name = 'returned') from lane $$,
    'each lane is found again by its queue, task, priority and kind');

-- waking

truncate told;
insert into procrastinate_tokens (lane, xid, id) select lane, '5', 1 from lane where name = 'plain';
select lives_ok($$ select procrastinate_lane_for('q', 't', 5, 'plain') $$, 'a lane with a token is taken');
select is_empty('select * from told', 'nobody is told when the lane has a live token');

select lives_ok($$ select procrastinate_lane_for('q', 't', 5, 'locked') $$, 'a lane beside it is taken');
select results_eq(
    'select * from told',
    $$ values ('q', 'job_inserted', 0::bigint) $$,
    'a token in another lane does not keep the listeners from being told');

truncate told;
insert into procrastinate_floors (lane, xid, id, late) select lane, '6', 2, '{}' from lane where name = 'plain';
select lives_ok($$ select procrastinate_lane_for('q', 't', 5, 'plain') $$, 'a lane with a token below its floor is taken');
select is((select count(*) from told), 1::bigint, 'the listeners are told when the lane''s token lies below its floor, where no fetch looks');

truncate told;
insert into procrastinate_tokens (lane, xid, id) select lane, '6', 2 from lane where name = 'plain';
select lives_ok($$ select procrastinate_lane_for('q', 't', 5, 'plain') $$, 'a lane with a token at its floor is taken');
select is_empty('select * from told', 'nobody is told when the lane has a live token at its floor');

insert into procrastinate_floors (lane, xid, id, late) select lane, '7', 1, '{}' from lane where name = 'plain';
select lives_ok($$ select procrastinate_lane_for('q', 't', 5, 'plain') $$, 'a lane with a token above an old floor and below the new one is taken');
select is((select count(*) from told), 1::bigint, 'it is the newest floor that counts');

-- lanes that were closed or parked

delete from procrastinate_tokens t using lane where t.lane = lane.lane;
update procrastinate_lanes l
set state = 'closed', settled_xid = '5', opened_at = '2000-01-01'
from lane where l.lane = lane.lane and lane.name = 'plain';
select is(procrastinate_lane_for('q', 't', 5, 'plain'), (select lane from lane where name = 'plain'), 'a closed lane is taken when there is no open one');
select results_eq(
    $$ select l.state, l.settled_xid, l.opened_at > now() - interval '1 day' from procrastinate_lanes l join lane using (lane) where name = 'plain' $$,
    $$ values ('open', null::xid8, true) $$,
    'a closed lane is open once more, from now on');

truncate told;
update procrastinate_lanes l
set state = 'parked', settled_xid = '5', opened_at = '2000-01-01'
from lane where l.lane = lane.lane and lane.name = 'plain';
select is(procrastinate_lane_for('q', 't', 5, 'plain'), (select lane from lane where name = 'plain'), 'a parked lane is taken when there is no open one');
select results_eq(
    $$ select l.state, l.settled_xid, l.opened_at > now() - interval '1 day' from procrastinate_lanes l join lane using (lane) where name = 'plain' $$,
    $$ values ('open', null::xid8, true) $$,
    'a parked lane is open once more, from now on');
select is((select count(*) from told), 1::bigint, 'the listeners of a lane that was parked are told');

select results_eq(
    $$ select count(*), count(*) filter (where state = 'open') from procrastinate_lanes where queue_name in ('q', 'Q') $$,
    $$ values (6::bigint, 6::bigint) $$,
    'no other lane was opened or changed');

-- two lanes of the same name: opened by two transactions at once

with second as (
    insert into procrastinate_lanes (queue_name, task_name, priority, kind) values ('q', 't', 5, 'plain') returning lane
)
insert into lane select 'second', lane from second;
select is(procrastinate_lane_for('q', 't', 5, 'plain'), (select lane from lane where name = 'plain'), 'of two open lanes the older one is taken');

update procrastinate_lanes l set state = 'parked' from lane where l.lane = lane.lane and lane.name = 'plain';
select is(procrastinate_lane_for('q', 't', 5, 'plain'), (select lane from lane where name = 'second'), 'an open lane is taken before a parked one that is older');
update procrastinate_lanes l set state = 'closed' from lane where l.lane = lane.lane and lane.name = 'plain';
select is(procrastinate_lane_for('q', 't', 5, 'plain'), (select lane from lane where name = 'second'), 'an open lane is taken before a closed one that is older');
select is((select l.state from procrastinate_lanes l join lane using (lane) where name = 'plain'), 'closed', 'a closed lane stays closed beside one that is open');

update procrastinate_lanes l set state = 'parked' from lane where l.lane = lane.lane and lane.name in ('plain', 'second');
select is(procrastinate_lane_for('q', 't', 5, 'plain'), (select lane from lane where name = 'plain'), 'of two parked lanes one is opened');
select is((select l.state from procrastinate_lanes l join lane using (lane) where name = 'second'), 'parked', 'of two parked lanes the other stays parked');

-- open_lane alone, which lane_for calls when none is open

truncate told;
insert into lane values ('new', procrastinate_open_lane('o', 't', -5, 'returned'));
select results_eq(
    $$ select l.queue_name, l.task_name, l.priority, l.kind, l.state, l.settled_xid, l.opened_at between now() and clock_timestamp()
       from procrastinate_lanes l join lane using (lane) where name = 'new' $$,
    $$ values ('o', 't', -5, 'returned', 'open', null::xid8, true) $$,
    'where there is none open_lane makes one');
update procrastinate_lanes l set state = 'closed', settled_xid = '5', opened_at = '2000-01-01' where l.queue_name = 'o';
select is(procrastinate_open_lane('o', 't', -5, 'returned'), (select lane from lane where name = 'new'), 'one that was closed is opened');
select results_eq(
    $$ select l.state, l.settled_xid, l.opened_at between now() and clock_timestamp() from procrastinate_lanes l where l.queue_name = 'o' $$,
    $$ values ('open', null::xid8, true) $$,
    'from now on, and nobody waits for it to settle any more');
update procrastinate_lanes l set state = 'parked', settled_xid = '5' where l.queue_name = 'o';
select is(procrastinate_open_lane('o', 't', -5, 'returned'), (select lane from lane where name = 'new'), 'so is one that was parked');
with made as (
    insert into procrastinate_lanes (queue_name, task_name, priority, kind, state) values ('o', 't', -5, 'returned', 'parked') returning lane
)
insert into lane select 'newer', lane from made;
update procrastinate_lanes l set state = 'parked' where l.queue_name = 'o';
select is(procrastinate_open_lane('o', 't', -5, 'returned'), (select lane from lane where name = 'new'), 'of two the older one');
select is((select l.state from procrastinate_lanes l join lane using (lane) where name = 'newer'), 'parked', 'the other is left as it is');
select is(procrastinate_open_lane(q, t, p, k) in (select lane from lane), false, s)
from (values
    (1, 'O', 't', -5, 'returned', 'one of another queue is not taken'), (2, 'o', 'T', -5, 'returned', 'nor one of another task'),
    (3, 'o', 't', -6, 'returned', 'nor one of another priority'), (4, 'o', 't', -5, 'plain', 'nor one of another kind')
) c(n, q, t, p, k, s)
order by c.n;
select is_empty('select * from told', 'open_lane tells nobody, for there is no token yet');

select is((select kind || ' ' || state from procrastinate_lanes where lane = 0), 'handover open', 'the hand-over lane is nobody''s');

select * from finish();
rollback;
