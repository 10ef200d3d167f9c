-- The clockwork.
begin;
select plan(37);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

-- from the floor: a fresh clockwork
delete from procrastinate_ticks;
insert into procrastinate_ticks (at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease)
values (clock_timestamp(), '-infinity', '0', '{}', clock_timestamp(), 0, '-infinity');
select procrastinate_register_worker('w') as worker \gset

-- what it returns
select is(procrastinate_tick(), interval '1 s', 'with nothing to come it is due again in a second');
select procrastinate_defer('send', '{"name": "a"}');
select is(procrastinate_tick(), interval '1 s', 'a job that is due already does not hasten it');
select procrastinate_defer('send', '{"name": "later"}', schedule_in => '1 hour');
select is(procrastinate_tick(), interval '1 s', 'a job of much later does not hasten it');
select procrastinate_defer('send', '{"name": "soon"}', schedule_in => '0.9 s');
select ok((select t > '0' and t <= '0.9 s' from procrastinate_tick() t), 'a job that is due within the second is waited for');
select results_eq(
    $$ select j.args ->> 'name' from procrastinate_agenda a join procrastinate_jobs j using (id) order by 1 $$, $$ values ('later'), ('soon') $$,
    'what is not due stays in the agenda');
update procrastinate_jobs j set scheduled_at = now() where j.args ->> 'name' = 'soon';
update procrastinate_agenda a set at = now() where a.id = pg_temp.job('soon');
select is(procrastinate_tick(), interval '1 s', 'what became due is promoted, and waited for no more');
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) $$, :worker), $$ values ('a'), ('soon') $$,
    'and is fetched');

-- locks that are handed over
select procrastinate_defer('send', '{"name": "l1"}', lock => 'l');
select procrastinate_defer('send', '{"name": "l2"}', lock => 'l', queue => 'mail');
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('l1')]);
delete from procrastinate_tokens t where t.lane <> 0;
update procrastinate_tokens set xid = '3';         -- as another transaction wrote it: our own stays until we commit
select procrastinate_tick();
select results_eq(
    'select l.queue_name, l.kind, t.id from procrastinate_tokens t join procrastinate_lanes l using (lane)',
    $$ values ('mail', 'locked', hashtextextended('l', 0)) $$,
    'a lock that was handed over is passed on to the lane of its next job');
select results_eq($$ select status from procrastinate_jobs where id = pg_temp.job('l2') $$, $$ values ('todo'::procrastinate_job_status) $$, 'without starting it');
select is_empty('select * from procrastinate_check()', 'all is well with the lock');

-- its own rows
update procrastinate_ticks t set at = t.at - interval '1 min';
select procrastinate_tick();
create temp table tick as table procrastinate_ticks;
select is((select count(*) from tick), 1::bigint, 'one row is left of the ticks');
select ok((select t.at between now() and clock_timestamp() from tick t), 'it says when the clockwork was last seen going');
select procrastinate_tick();
select results_eq('table procrastinate_ticks', 'table tick', 'a tick within half a second of the last one writes no row');
update procrastinate_ticks t set at = t.at - interval '0.6 s';
select procrastinate_tick();
select ok((select t.n > (select k.n from tick k) from procrastinate_ticks t), 'one after half a second does');
update procrastinate_ticks t set at = clock_timestamp() + interval '1 hour';
select procrastinate_tick();
select ok((select t.at <= clock_timestamp() from procrastinate_ticks t order by t.n desc limit 1), 'a clock that was set back does not keep the position in the future');
update procrastinate_ticks t set tidied_at = now() - interval '1 min';
select procrastinate_tick();
select ok((select t.tidied_at >= now() from procrastinate_ticks t order by t.n desc limit 1), 'a tick that tidied notes it, however soon it came');
insert into procrastinate_ticks (at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease)
select now() - interval '1 min', t.agenda_at, t.agenda_xid, t.agenda_late, t.tidied_at, t.tidied_floor, t.tidied_lease
from generate_series(1, 20), (select * from procrastinate_ticks limit 1) t;
select procrastinate_tick();
select is((select count(*) from procrastinate_ticks), 1::bigint, 'rows that were left behind are deleted');

-- a silent worker, through and through
update procrastinate_workers w set last_heartbeat = now() - interval '31 s';
select procrastinate_tick();
select results_eq(
    $$ select args ->> 'name', status, rescues::integer from procrastinate_jobs where args ->> 'name' in ('a', 'soon') order by 1 $$,
    $$ values ('a', 'todo'::procrastinate_job_status, 1), ('soon', 'todo', 1) $$,
    'the jobs of a silent worker are todo again after one tick');

-- of many workers one keeps the clock
create function pg_temp.keeper() returns text language sql as
    $$ select w.worker_name from (select t.keeper from procrastinate_ticks t order by t.n desc limit 1) k left join procrastinate_workers w on w.id = k.keeper $$;
delete from procrastinate_jobs;
delete from procrastinate_agenda;
delete from procrastinate_workers;
select procrastinate_register_worker('w') as worker \gset
select procrastinate_register_worker('other') as other \gset
update procrastinate_ticks t set at = t.at - interval '0.6 s';
select is(procrastinate_tick(:worker), interval '1 s', 'who finds no keeper of the clock does all there is to do');
select is(pg_temp.keeper(), 'w', 'and keeps it from then on');
select ok(t between '0.75 s' and '1 s', 'another, of few, comes again within a second too') from procrastinate_tick(:other) t;
update procrastinate_ticks t set tidied_at = now() - interval '1 min', at = t.at - interval '0.6 s';
select procrastinate_tick(:other);
select is(pg_temp.keeper(), 'w', 'which does not take the clock from the one that keeps it');
select ok((select t.tidied_at < now() from procrastinate_ticks t order by t.n desc limit 1), 'and leaves to it what can wait');
select is(procrastinate_tick(:worker), interval '1 s', 'the keeper goes on');
select ok((select t.tidied_at > now() from procrastinate_ticks t order by t.n desc limit 1), 'and does the rest');
select procrastinate_defer('send', '{"name": "near"}', schedule_in => '0.5 s');
select ok(procrastinate_tick(:worker) < '0.5 s', 'the keeper comes when something is due');
select ok(procrastinate_tick(:other) < '0.51 s', 'the other a moment later');
update procrastinate_jobs j set scheduled_at = now() where j.args ->> 'name' = 'near';
update procrastinate_agenda a set at = now();
select procrastinate_tick(:other);
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) $$, :worker), $$ values ('near') $$,
    'it promotes what is due all the same');
update procrastinate_ticks t set at = t.at - interval '0.6 s';
select is(procrastinate_tick(), interval '1 s', 'who does not say who it is does all, too');
select is(pg_temp.keeper(), null, 'and the next who does keeps the clock');
select procrastinate_tick(:worker);
select is(pg_temp.keeper(), 'w', 'at once');
update procrastinate_ticks t set at = t.at - interval '1.6 s';
select is(procrastinate_tick(:other), interval '1 s', 'when the keeper was not heard of for a while another takes its place');
select is(pg_temp.keeper(), 'other', 'which the next ones see');
update procrastinate_ticks t set at = clock_timestamp() + interval '1 hour';
select procrastinate_tick(:worker);
select is(pg_temp.keeper(), 'w', 'so it is when the clock was set back');
update procrastinate_ticks t set at = t.at - interval '2 s';
select procrastinate_tick();
select is(pg_temp.keeper(), null, 'where nobody keeps the clock who does not say who it is keeps it for nobody');
select procrastinate_tick(:worker);
insert into procrastinate_workers (worker_name, stalled_after) select 'many', '1 hour' from generate_series(1, 98);
select ok(t between '7.5 s' and '10 s', 'of a hundred the others rest for some seconds') from procrastinate_tick(:other) t;
delete from procrastinate_workers w where w.worker_name in ('many', 'other');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
