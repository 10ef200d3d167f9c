-- Schedules that are due.
begin;
select plan(48);

-- as if the clockwork had not come further than this: the next run lies there
create function pg_temp.move(name text, next timestamptz) returns void language sql as
    $$ update procrastinate_schedules s set next_at = next where s.schedule_name = name;
       delete from procrastinate_agenda a using procrastinate_schedules s where s.schedule_name = name and a.id = -s.id;
       insert into procrastinate_agenda (at, id) select next, -s.id from procrastinate_schedules s where s.schedule_name = name $$;
create function pg_temp.runs(name text) returns setof timestamptz language sql as
    $$ select (j.metadata ->> 'scheduled_for')::timestamptz from procrastinate_jobs j where j.metadata ->> 'schedule' = name order by j.id $$;
create function pg_temp.schedule(name text) returns procrastinate_schedules language sql as
    $$ select s from procrastinate_schedules s where s.schedule_name = name $$;
create function pg_temp.minute(n integer) returns timestamptz language sql as     -- the n-th full minute before now, the current one being 0
    $$ select date_trunc('minute', now()) - n * interval '1 min' $$;

set local timezone = 'America/New_York';        -- whoever ticks
select procrastinate_define_task('send', queue => 'mail', priority => 3, lock => 'to-{to}', max_attempts => 5, timeout => '1 min');

-- ticks for as long as there is something to do at once
create function pg_temp.catch_up() returns void language plpgsql as
    $$ begin while procrastinate_tick() = '0' loop null; end loop; end $$;

-- one run
select procrastinate_define_schedule('hourly', '0 * * * *', 'send', '{"to": "a"}');
select pg_temp.move('hourly', '2026-01-01 00:00+00');
update procrastinate_schedules set max_lateness = '100 years', cron = '0 0 1 1 *' where schedule_name = 'hourly';
select procrastinate_tick();
select results_eq(
    $$ select task_name::text, queue_name::text, priority, lock::text, queueing_lock::text, args, status, scheduled_at, attempts::integer, max_attempts::integer, timeout, metadata
       from procrastinate_jobs $$,
    $$ values ('send', 'mail', 3, 'to-a', null, '{"to": "a"}'::jsonb, 'todo'::procrastinate_job_status, null::timestamptz, 0, 5, interval '1 min',
               '{"schedule": "hourly", "scheduled_for": "2026-01-01T00:00:00+00:00"}'::jsonb) $$,
    'the job of a run has what the task says, and the time of the run in its metadata');
select results_eq(
    $$ select next_at, last_at, skipped_at from pg_temp.schedule('hourly') $$,
    $$ values ('2027-01-01 00:00+00'::timestamptz, '2026-01-01 00:00+00'::timestamptz, null::timestamptz) $$,
    'the schedule goes on to its next run, and knows its last');
select is((select s.last_job_id from pg_temp.schedule('hourly') s), (select j.id from procrastinate_jobs j), 'and its last job');
select results_eq(
    $$ select a.at from procrastinate_agenda a where a.id < 0 $$, $$ values ('2027-01-01 00:00+00'::timestamptz) $$,
    'the next run is on the agenda');
select procrastinate_register_worker('w') as worker \gset
select results_eq(
    format('select metadata ->> %L from procrastinate_fetch_jobs(%s, 10)', 'scheduled_for', :worker), $$ values ('2026-01-01T00:00:00+00:00') $$,
    'a worker gets the job');
select procrastinate_tick();
select is((select count(*) from procrastinate_jobs), 1::bigint, 'another tick defers nothing');
select is_empty('select * from procrastinate_check()', 'all is well after a run');
delete from procrastinate_jobs;
delete from procrastinate_schedules;

select procrastinate_define_schedule(
    'full', '* * * * *', 'send', '{"n": 1, "timestamp": 0}', queue => 'q', priority => -1, lock => 'l', queueing_lock => 'ql', pass_timestamp => true);
select pg_temp.move('full', pg_temp.minute(0));
select procrastinate_tick();
select results_eq(
    'select queue_name::text, priority, lock::text, queueing_lock::text, args from procrastinate_jobs',
    $$ select 'q', -1, 'l', 'ql', jsonb_build_object('n', 1, 'timestamp', extract(epoch from pg_temp.minute(0))::bigint) $$,
    'what a schedule says goes before what its task says, and the time is passed on as a whole number');
select is_empty('select * from procrastinate_check()', 'all is well with its locks');

-- a queueing lock that is taken
select pg_temp.move('full', pg_temp.minute(0));
select procrastinate_tick();
select results_eq(
    $$ select next_at, last_at, skipped_at, skipped_why from pg_temp.schedule('full') $$,
    $$ select pg_temp.minute(-1), pg_temp.minute(0), pg_temp.minute(0), 'a job waits with its queueing lock' $$,
    'a run is skipped while a job waits with its queueing lock, and the schedule says so');
select is((select count(*) from procrastinate_jobs), 1::bigint, 'without another job');
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select pg_temp.move('full', pg_temp.minute(0));
select procrastinate_tick();
select is((select count(*) from procrastinate_jobs), 2::bigint, 'the next run is made when the job has started');
select is((select s.last_job_id from pg_temp.schedule('full') s), (select max(j.id) from procrastinate_jobs j), 'and the schedule knows its job');
update procrastinate_schedules set catch_up = 'all' where schedule_name = 'full';
select count(*) from procrastinate_fetch_jobs(:worker, 10);
select procrastinate_cancel_job(j.id) from procrastinate_jobs j where j.status = 'todo';
delete from procrastinate_jobs;
select pg_temp.move('full', pg_temp.minute(2));
select procrastinate_tick();
select results_eq($$ select pg_temp.runs('full') $$, 'select pg_temp.minute(2)', 'of several runs with one queueing lock the first is made');
select results_eq($$ select skipped_at from pg_temp.schedule('full') $$, 'select pg_temp.minute(0)', 'and the others are skipped');
select is_empty('select * from procrastinate_check()', 'all is well with the queueing lock');
delete from procrastinate_jobs;
delete from procrastinate_schedules;

-- missed runs
select procrastinate_define_schedule(c, '* * * * *', catch_up => c) from unnest('{none,last,all}'::text[]) c;
select procrastinate_define_schedule('slack', '* * * * * *', catch_up => 'none');
select pg_temp.move(c, pg_temp.minute(3)) from unnest('{last,all}'::text[]) c;
select pg_temp.move('none', pg_temp.minute(1));
select pg_temp.move('slack', date_trunc('second', now()) - interval '30 s');
select procrastinate_tick();
select results_eq($$ select pg_temp.runs('last') $$, 'select pg_temp.minute(0)', 'of missed runs the last is made up for');
select results_eq(
    $$ select next_at, last_at, skipped_at, skipped_why from pg_temp.schedule('last') $$,
    $$ select pg_temp.minute(-1), pg_temp.minute(0), pg_temp.minute(1), 'a later run was due too' $$,
    'the last that was not is noted');
select results_eq(
    $$ select pg_temp.runs('all') $$, 'select pg_temp.minute(n) from generate_series(3, 0, -1) n', 'or all of them are, in their order');
select results_eq(
    $$ select next_at, last_at, skipped_at from pg_temp.schedule('all') $$, 'select pg_temp.minute(-1), pg_temp.minute(0), null::timestamptz', 'without anything skipped');
select ok(
    (select array_agg(r) <@ array[pg_temp.minute(0), pg_temp.minute(-1)] or array_agg(r) is null from pg_temp.runs('none') r),
    'or none is');
select results_eq(
    $$ select count(*), bool_and(r >= now() - interval '2 s') from pg_temp.runs('slack') r $$, $$ values (1::bigint, true) $$,
    'but one that is due this moment is no missed one');
delete from procrastinate_jobs;
delete from procrastinate_schedules;

select procrastinate_define_schedule(c, '0 0 1 1 *', catch_up => c, max_lateness => '1 min') from unnest('{none,last,all}'::text[]) c;
select pg_temp.move(c, date_trunc('year', now() at time zone 'UTC') at time zone 'UTC' - y * interval '1 year')
from unnest('{none,last,all}'::text[]) c, unnest('{0}'::integer[]) y;
select procrastinate_tick();
select is_empty('select * from procrastinate_jobs', 'a run that is too late is not made');
select results_eq(
    'select distinct next_at, last_at, skipped_at, skipped_why from procrastinate_schedules',
    $$ select t + interval '1 year', null::timestamptz, t, 'too late' from (select date_trunc('year', now() at time zone 'UTC') at time zone 'UTC') y(t) $$,
    'and is noted as skipped, whatever catch_up says');
select pg_temp.move(c, date_trunc('year', now() at time zone 'UTC') at time zone 'UTC' - interval '5 years') from unnest('{none,last,all}'::text[]) c;
select procrastinate_tick();
select is_empty('select * from procrastinate_jobs', 'nor are several');
delete from procrastinate_schedules;

select procrastinate_define_schedule(c, '* * * * * *', catch_up => c, max_lateness => '0') from unnest('{last,all}'::text[]) c;
select pg_temp.move(c, date_trunc('second', clock_timestamp()) - interval '1 s') from unnest('{last,all}'::text[]) c;
select procrastinate_tick();
select results_eq(
    $$ select j.task_name::text, count(*) > 0 from procrastinate_jobs j group by 1 order by 1 $$, $$ values ('all', true), ('last', true) $$,
    'however little may be made up for, a run is made that is due this moment');
delete from procrastinate_jobs;
delete from procrastinate_schedules;

select procrastinate_define_schedule('many', '* * * * * *', catch_up => 'all', max_lateness => '1 hour');
select pg_temp.move('many', date_trunc('second', now()) - interval '2500 s');
select is(procrastinate_tick(), interval '0', 'with very many missed runs there is more to do at once');
select ok((select count(*) between 1 and 1000 from procrastinate_jobs), 'at most a thousand of them are made in one tick');
select pg_temp.catch_up();
select results_eq(
    $$ select r from pg_temp.runs('many') r $$,
    $$ select date_trunc('second', now()) + n * interval '1 s' from generate_series(-2500, (select extract(epoch from max(r) - date_trunc('second', now()))::integer from pg_temp.runs('many') r)) n $$,
    'and in the end each, once');
delete from procrastinate_jobs;
delete from procrastinate_schedules;

-- an hour's outage for a schedule by the second: one step, not thousands
select procrastinate_define_schedule('dense', '* * * * * *', max_lateness => '100 years');
select pg_temp.move('dense', now() - interval '10 years');
select procrastinate_tick();
select results_eq(
    $$ select count(*), max(r) between now() - interval '1 s' and clock_timestamp() from pg_temp.runs('dense') r $$, $$ values (1::bigint, true) $$,
    'after ten years the last of three hundred million runs is found');
delete from procrastinate_jobs;
delete from procrastinate_schedules;

-- many schedules are no reason to keep for long what the tick promoted
select procrastinate_define_schedule(s, '* * * * * *', 'plain', catch_up => 'all', max_lateness => '1 hour')
from generate_series(1, 20) n, format('many-%s', n) s;
select pg_temp.move(format('many-%s', n), date_trunc('second', now()) - interval '900 s') from generate_series(1, 20) n;
select is(procrastinate_tick(), interval '0', 'with many schedules that missed many runs there is more to do at once');
select ok((select count(*) between 1 and 17999 from procrastinate_jobs), 'as some have to wait for the next tick');
select is_empty('select * from procrastinate_check()', 'which finds them on the agenda');
select pg_temp.catch_up();
select results_eq(
    $$ select n, count(distinct r), count(*) - count(distinct r), max(r) - min(r) = (count(*) - 1) * interval '1 s', min(r)
       from generate_series(1, 20) n, pg_temp.runs(format('many-%s', n)) r group by 1 having count(*) >= 900 order by 1 $$,
    $$ select n, count(distinct r), 0::bigint, true, date_trunc('second', now()) - interval '900 s'
       from generate_series(1, 20) n, pg_temp.runs(format('many-%s', n)) r group by 1 order by 1 $$,
    'and in the end each run of each was made once');
delete from procrastinate_jobs;
delete from procrastinate_schedules;

-- what cannot be deferred
select procrastinate_define_schedule('no name', '* * * * *', 'send', '{"to": "a"}');
update procrastinate_schedules set args = '{}' where schedule_name = 'no name';
select procrastinate_define_schedule('well', '* * * * *', 'send', '{"to": "b"}');
select pg_temp.move(s, pg_temp.minute(0)) from unnest('{no name,well}'::text[]) s;
select procrastinate_tick();
select results_eq(
    'select s.schedule_name, s.enabled, s.next_at, s.last_at, s.skipped_at, s.skipped_why from procrastinate_schedules s order by 1',
    $$ values ('no name', true, pg_temp.minute(-1), null::timestamptz, pg_temp.minute(0), 'args lack to, which the lock of the task names'),
              ('well', true, pg_temp.minute(-1), pg_temp.minute(0), null, null) $$,
    'a run that cannot be deferred is skipped and says why, and does not keep others from theirs');
delete from procrastinate_schedules;
select procrastinate_define_schedule('gone', '* * * * *', 'plain');
update procrastinate_schedules set timezone = 'Europe/Atlantis' where schedule_name = 'gone';
select pg_temp.move('gone', pg_temp.minute(0));
select lives_ok('select procrastinate_tick()', 'a time zone that the server forgot does not stop the clockwork');
select results_eq(
    $$ select s.enabled, s.next_at, s.skipped_at, s.skipped_why ~ 'Europe/Atlantis' from pg_temp.schedule('gone') s $$,
    $$ values (false, null::timestamptz, pg_temp.minute(0), true) $$,
    'its schedule is disabled and says why');
select throws_ok($$ select procrastinate_enable_schedule('gone') $$, 'PJ006', 'invalid timezone: Europe/Atlantis', 'and cannot be enabled as it is');
delete from procrastinate_jobs;
delete from procrastinate_schedules;

create function pg_temp.refuse() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
create trigger refuse before insert on procrastinate_jobs for each row when (new.task_name = 'bad') execute function pg_temp.refuse();
select procrastinate_define_schedule('bad', '* * * * *');
select procrastinate_define_schedule('bad, locked', '* * * * *', 'bad', queueing_lock => 'bad');
select procrastinate_define_schedule('well', '* * * * *', 'plain');
select procrastinate_define_schedule('later', '0 0 1 1 *', 'plain');
select pg_temp.move(s, pg_temp.minute(0)) from unnest('{bad,"bad, locked",well}'::text[]) s;
select lives_ok('select procrastinate_tick()', 'a trigger of the user''s that raises does not stop the clockwork');
select results_eq(
    $$ select s.schedule_name, s.enabled, s.next_at = pg_temp.minute(-1), s.last_at, s.skipped_at, s.skipped_why from procrastinate_schedules s order by 1 $$,
    $$ values ('bad', true, true, null::timestamptz, pg_temp.minute(0), 'not this one'),
              ('bad, locked', true, true, null, pg_temp.minute(0), 'not this one'),
              ('later', true, false, null, null, null),
              ('well', true, true, pg_temp.minute(0), null, null) $$,
    'the runs that it refuses are skipped, and no others');
select is_empty('select * from procrastinate_check()', 'all is well after that');
drop trigger refuse on procrastinate_jobs;
delete from procrastinate_jobs;
delete from procrastinate_schedules;

-- by hand
select procrastinate_define_schedule('manual', '0 0 1 1 *', 'plain', '{"n": 1}', queueing_lock => 'manual', enabled => false);
select procrastinate_run_schedule('manual') as job \gset
select results_eq(
    format($$ select args, metadata ->> 'schedule', (metadata ->> 'scheduled_for')::timestamptz between now() and clock_timestamp() from procrastinate_jobs where id = %s $$, :job),
    $$ values ('{"n": 1}'::jsonb, 'manual', true) $$,
    'a schedule can be run now, also one that is disabled');
select results_eq(
    $$ select next_at, last_job_id, last_at between now() and clock_timestamp() from pg_temp.schedule('manual') $$, format('values (null::timestamptz, %s::bigint, true)', :job),
    'its last job is that one, its next run what it was');
select throws_ok(
    $$ select procrastinate_run_schedule('manual') $$, '23505', null, 'by hand a queueing lock that is taken is an error');
select results_eq($$ select last_job_id from pg_temp.schedule('manual') $$, format('values (%s::bigint)', :job), 'and the schedule is as it was');

-- hints
select procrastinate_enable_schedule('manual');
insert into procrastinate_agenda (at, id) select now() - interval '1 s', -s.id from procrastinate_schedules s;
delete from procrastinate_agenda a using procrastinate_schedules s where a.at = s.next_at and a.id = -s.id;
select procrastinate_tick();
select results_eq(
    'select a.at from procrastinate_agenda a join procrastinate_schedules s on a.id = -s.id', 'select s.next_at from procrastinate_schedules s',
    'a hint that comes too early is exchanged for one at the right time');
delete from procrastinate_agenda;
select procrastinate_repair();
select results_eq('select a.at from procrastinate_agenda a where a.id < 0', 'select s.next_at from procrastinate_schedules s', 'repair puts schedules on the agenda');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
