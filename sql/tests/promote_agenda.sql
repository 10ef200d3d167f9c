-- The agenda: jobs that become due get their tokens.
begin;
select plan(35);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

-- one promotion from this position on; returns the next one
create function pg_temp.promote(agenda_at timestamptz default '-infinity', agenda_xid xid8 default '0', agenda_late xid8[] default '{}')
returns setof procrastinate_ticks language sql as
    $$ select p.* from procrastinate_promote_agenda(row(1, now(), agenda_at, agenda_xid, agenda_late, now(), 0, now(), now(), now(), now(), null)::procrastinate_ticks) p $$;

create temp view token as
    select coalesce(j.args ->> 'name', 'lock') as name, coalesce(l.kind, 'none') as kind
    from procrastinate_tokens t
    join procrastinate_lanes l using (lane)
    left join procrastinate_jobs j on j.id = t.id;
create temp view agenda as
    select coalesce(j.args ->> 'name', 'none') as name, a.at::date as at
    from procrastinate_agenda a
    left join procrastinate_jobs j on j.id = a.id;

select procrastinate_register_worker('w') as worker \gset

-- due, not due, gone
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, lock => l, schedule_at => '2101-01-01')
from (values ('a', null), ('b', null), ('later', null), ('locked', 'l'), ('cancelled', null), ('moved', null)) r(n, l);
select procrastinate_cancel_job(pg_temp.job('cancelled'));
update procrastinate_jobs j set scheduled_at = '2001-01-01' where j.args ->> 'name' in ('a', 'b', 'locked', 'cancelled');
update procrastinate_jobs j set scheduled_at = '2102-02-02' where j.args ->> 'name' = 'moved';
update procrastinate_agenda a set at = '2001-01-01' where a.id not in (pg_temp.job('later'), pg_temp.job('b'));
update procrastinate_agenda a set at = clock_timestamp() where a.id = pg_temp.job('b');
insert into procrastinate_agenda (at, id) values ('2001-01-01', -1);
delete from procrastinate_tokens;
select results_eq(
    $$ select agenda_at between now() and clock_timestamp(), agenda_xid >= pg_snapshot_xmin(pg_current_snapshot()), pg_current_xact_id() = any (agenda_late), n, tidied_floor from pg_temp.promote() $$,
    $$ values (true, true, true, 1::bigint, 0::bigint) $$,
    'a promotion that dealt with all it saw moves the position on to now, and remembers what it could not see; it changes nothing else');
select results_eq(
    'select * from token order by 1', $$ values ('a', 'plain'), ('b', 'plain'), ('lock', 'locked') $$,
    'each job that is due has a token; one with a lock has one for its lock');
select results_eq(
    'select key, held, priority, job_id from procrastinate_lock_queue', $$ values (hashtextextended('l', 0), false, 0, pg_temp.job('locked')) $$,
    'and a place in the lock queue');
select results_eq(
    'select * from agenda order by 1', $$ values ('later', date '2101-01-01'), ('moved', '2102-02-02') $$,
    'the rows of due jobs, ended ones and deleted ones are gone; one that was put off is in the agenda for its new time');
select is_empty('select * from procrastinate_check()', 'all is well after the promotion');
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) order by 1 $$, :worker), $$ values ('a'), ('b'), ('locked') $$,
    'promoted jobs are fetched');
select results_eq(
    $$ select agenda_at between now() and clock_timestamp() from pg_temp.promote() $$, $$ values (true) $$,
    'with nothing due the position moves on too');
select is_empty('select * from token', 'with nothing due no token is written');

-- a running job in the agenda
insert into procrastinate_agenda (at, id) values (now(), pg_temp.job('a'));
select count(*) from pg_temp.promote();
select is_empty('select * from token', 'a running job gets no token');
select is((select count(*) from agenda), 2::bigint, 'its row in the agenda is gone');

-- where it looks
delete from procrastinate_jobs;
delete from procrastinate_agenda;
delete from procrastinate_tokens;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, schedule_at => '2101-01-01')
from unnest('{above,at,below young,below late,below old}'::text[]) n;
update procrastinate_jobs j set scheduled_at = '2000-01-01';
create function pg_temp.agenda() returns void language sql as $$
    delete from procrastinate_agenda; delete from procrastinate_tokens;
    insert into procrastinate_agenda (at, id, xid)
    select at, pg_temp.job(name), xid
    from (values ('above', timestamptz '2002-01-01', '5'::xid8), ('at', '2001-01-01', '5'), ('below young', '2000-01-01', '20'),
                 ('below late', '2000-01-01', '12'), ('below old', '2000-01-01', '11')) r(name, at, xid) $$;
select pg_temp.agenda();
select count(*) from pg_temp.promote('2001-01-01', '20', '{12}');
select results_eq(
    'select name from token order by 1', $$ values ('above'), ('at'), ('below late'), ('below young') $$,
    'below its position it looks only at the rows of transactions that were not seen ended when it was set');
select results_eq('select name from agenda', $$ values ('below old') $$, 'what it did not look at is left');
select pg_temp.agenda();
select count(*) from pg_temp.promote('2001-01-01', '21', '{}');
select results_eq('select name from token order by 1', $$ values ('above'), ('at') $$, 'when all of those have ended it looks at nothing below');
select pg_temp.agenda();
update procrastinate_agenda a set at = '2101-01-01' where a.id = pg_temp.job('below late');
select count(*) from pg_temp.promote('2102-01-01', '5', '{12}');
select results_eq(
    'select name from agenda', $$ values ('below late') $$,
    'a row that is not due is left, also below a position that a clock put too high');
select pg_temp.agenda();
update procrastinate_agenda a set at = '2101-01-01' where a.id = pg_temp.job('below young');
select count(*) from pg_temp.promote('2102-01-01', '20', '{}');
select is((select count(*) from token), 0::bigint, 'also one of a transaction that was not seen ended');

-- two rows of one job
select pg_temp.agenda();
insert into procrastinate_agenda (at, id) values ('2002-01-01', pg_temp.job('above'));
select count(*) from pg_temp.promote();
select ok(exists (select from token where name = 'above'), 'a job with two rows in the agenda is promoted');
select is_empty('select * from agenda', 'and both are gone');
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 20) order by 1 $$, :worker),
    $$ values ('above'), ('at'), ('below late'), ('below old'), ('below young') $$,
    'each job starts once');
select is_empty('select * from procrastinate_check()', 'all is well with all of them running');

-- many
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select count(*) from procrastinate_defer_many((select jsonb_agg(jsonb_build_object('task', 'send', 'schedule_at', '2101-01-01')) from generate_series(1, 10010)));
update procrastinate_jobs j set scheduled_at = '2001-01-01';
update procrastinate_agenda a set at = timestamptz '2001-01-01' + (x.n / 10) * interval '1 s'
from (select id, row_number() over (order by id) - 1 as n from procrastinate_agenda) x
where x.id = a.id;
select results_eq(
    'select agenda_at from pg_temp.promote()', $$ values (timestamptz '2001-01-01' + 999 * interval '1 s') $$,
    'a promotion stops after ten thousand, and moves the position on only as far as it came');
select is((select count(*) from procrastinate_agenda), 10::bigint, 'the rest is left');
select is((select count(*) from procrastinate_tokens), 10000::bigint, 'what it looked at has its tokens');
select count(*) from pg_temp.promote(timestamptz '2001-01-01' + 999 * interval '1 s', pg_current_xact_id(), '{}');
select is_empty('select * from procrastinate_agenda', 'the next one goes on from there');

-- a job with many rows that are due
delete from procrastinate_jobs;
delete from procrastinate_tokens;
delete from procrastinate_agenda;
select procrastinate_defer('send', '{"name": "a"}', lock => 'l', schedule_at => '2101-01-01') as many \gset
update procrastinate_jobs j set scheduled_at = '2001-01-01';
insert into procrastinate_agenda (at, id) select '2001-01-01', :many from generate_series(1, 5);
update procrastinate_agenda a set at = '2001-01-01';
select count(*) from pg_temp.promote();
select results_eq(
    'select (select count(*) from procrastinate_lock_queue), (select count(*) from procrastinate_tokens)', $$ values (1::bigint, 1::bigint) $$,
    'however many rows of a job are due, it gets one place in the lock queue and one token');

-- debouncing a job leaves one row for each time, and no more
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select procrastinate_defer('send', '{"name": "a"}', queueing_lock => 'q', schedule_at => '2101-01-01');
select procrastinate_defer('send', '{"name": "b"}', queueing_lock => 'q', schedule_at => '2102-01-01', on_conflict => 'replace');
select procrastinate_defer('send', '{"name": "c"}', queueing_lock => 'q', schedule_at => '2101-01-01', on_conflict => 'replace');
select results_eq(
    'select * from agenda order by at', $$ values ('c', date '2101-01-01'), ('c', '2102-01-01') $$,
    'a job that moves to and fro has one row for each time');
update procrastinate_agenda a set at = '2001-01-01' where a.at = '2101-01-01';
select count(*) from pg_temp.promote();
select is_empty('select * from token', 'a row that comes before its job is due writes no token');
select results_eq('select * from agenda order by at', $$ values ('c', date '2101-01-01'), ('c', '2102-01-01') $$, 'it is put off until then');
select is_empty('select * from procrastinate_check()', 'all is well with the debounced job');

-- the position is in the newest row of the ticks
delete from procrastinate_jobs;
delete from procrastinate_agenda;
select procrastinate_defer('send', '{"name": "a"}', schedule_at => '2101-01-01');
update procrastinate_ticks t set at = t.at - interval '1 min';
select procrastinate_tick();
select ok(
    (select t.agenda_at between now() and clock_timestamp() from procrastinate_ticks t order by t.n desc limit 1),
    'tick keeps the position');
update procrastinate_agenda a set at = '2001-01-01', xid = '3';
select procrastinate_tick();
select is_empty('select * from token', 'and goes on from it');
update procrastinate_agenda a set xid = pg_current_xact_id();
update procrastinate_jobs j set scheduled_at = '2001-01-01';
select procrastinate_tick();
select results_eq('select * from token', $$ values ('a', 'plain') $$, 'a row of the very transaction that ticked is still found');
select is_empty('select * from agenda', 'and promoted');

-- a lock whose jobs wait for different times
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select procrastinate_defer('send', '{"name": "later"}', lock => 'l', priority => 9, schedule_at => '2101-01-01');
select procrastinate_defer('send', '{"name": "now"}', lock => 'l');
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) $$, :worker), $$ values ('now') $$,
    'a job that is not due does not keep the others of its lock waiting');
update procrastinate_jobs j set scheduled_at = '2001-01-01' where j.id = pg_temp.job('later');
update procrastinate_agenda a set at = now();
select count(*) from pg_temp.promote();
select is_empty(format('select * from procrastinate_fetch_jobs(%s, 10)', :worker), 'one that becomes due waits for the one that runs');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
