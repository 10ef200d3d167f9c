-- Schedules as people define, drop, enable and disable them.
begin;
select plan(48);

create function pg_temp.message(p_sql text)
returns text
language plpgsql
as $function$
begin
    execute p_sql;
    return 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end;
$function$;

create function pg_temp.defined(name text) returns setof procrastinate_schedules language sql as
    $$ select * from procrastinate_schedules s where s.schedule_name = name $$;
create function pg_temp.agenda(name text) returns setof timestamptz language sql as
    $$ select a.at from procrastinate_agenda a join procrastinate_schedules s on a.id = -s.id where s.schedule_name = name order by 1 $$;
-- as if the clockwork had come to another time: the next run lies there
create function pg_temp.move(name text, next timestamptz) returns void language sql as
    $$ update procrastinate_agenda a set at = next from procrastinate_schedules s where s.schedule_name = name and a.id = -s.id;
       update procrastinate_schedules s set next_at = next where s.schedule_name = name $$;

-- what is accepted
select procrastinate_define_task('locked', lock => 'l-{a}');
select is(pg_temp.message(c.command), c.want, c.sentence)
from (values
    (1,  $$ select procrastinate_define_schedule(null, '@daily') $$,                                          'PJ001 invalid schedule: NULL',                          'a schedule has a name'),
    (2,  $$ select procrastinate_define_schedule('', '@daily') $$,                                            'PJ001 invalid schedule: empty',                         'which is not empty'),
    (3,  $$ select procrastinate_define_schedule(repeat('s', 129), '@daily') $$,                              'PJ001 invalid schedule: 129 characters',                'nor too long'),
    (4,  $$ select procrastinate_define_schedule('s', '61 * * * *') $$,                                       'PJ006 invalid cron: minute: 61',                        'a cron expression is checked when it is defined'),
    (5,  $$ select procrastinate_define_schedule('s', '@daily', timezone => 'Mars/Olympus_Mons') $$,          'PJ006 invalid timezone: Mars/Olympus_Mons',             'and so is a time zone'),
    (6,  $$ select procrastinate_define_schedule('s', '@daily', task => '') $$,                               'PJ001 invalid task: 0 characters, 1 to 128 are accepted', 'a task has a name'),
    (18, $$ select procrastinate_define_schedule('s', '@daily', '{"to": "a"}') $$,                             'PJ001 invalid task: {"to": "a"}',                       'which is not what args are in a defer'),
    (19, $$ select procrastinate_define_schedule('s', '@daily', 'locked', '{"b": 1}') $$,                      'PJ008 args lack a, which the lock of the task names',   'its args have what the lock of its task names'),
    (7,  $$ select procrastinate_define_schedule('s', '@daily', args => '[]') $$,                             'PJ008 args of task s are a JSON array, not an object',  'arguments are given by name'),
    (8,  $$ select procrastinate_define_schedule('s', '@daily', queue => repeat('q', 129)) $$,                'PJ001 invalid queue: 129 characters, 1 to 128 are accepted', 'a queue''s name has a bound'),
    (9,  $$ select procrastinate_define_schedule('s', '@daily', lock => repeat('l', 1025)) $$,                'PJ001 invalid lock: 1025 bytes, at most 1024 are accepted', 'a lock has a bound'),
    (10, $$ select procrastinate_define_schedule('s', '@daily', queueing_lock => repeat('l', 1025)) $$,       'PJ001 invalid queueing_lock: 1025 bytes, at most 1024 are accepted', 'and so has a queueing lock'),
    (11, $$ select procrastinate_define_schedule('s', '@daily', catch_up => 'some') $$,                       'PJ001 invalid catch_up: some',                          'catch_up is none, last or all'),
    (12, $$ select procrastinate_define_schedule('s', '@daily', max_lateness => '-1 s') $$,                   'PJ001 invalid max_lateness: -00:00:01',                 'nothing runs before its time'),
    (13, $$ select procrastinate_drop_schedule(null) $$,                                                      'PJ001 invalid schedule: NULL',                          'a schedule is dropped by its name'),
    (14, $$ select procrastinate_drop_schedule('s') $$,                                                       'PJ007 schedule s is not defined',                       'one that is not defined cannot be dropped'),
    (15, $$ select procrastinate_enable_schedule('s') $$,                                                     'PJ007 schedule s is not defined',                       'nor enabled'),
    (16, $$ select procrastinate_disable_schedule('s') $$,                                                    'PJ007 schedule s is not defined',                       'nor disabled'),
    (17, $$ select procrastinate_run_schedule('s') $$,                                                        'PJ007 schedule s is not defined',                       'nor run'),
    (18, $$ select procrastinate_define_schedule('s', null) $$,                                               'PJ001 invalid cron: NULL',                              'a schedule has a cron expression')
) c(n, command, want, sentence)
order by c.n;
select is_empty('select * from procrastinate_schedules', 'what was refused is not defined');
select is_empty('select * from procrastinate_agenda', 'and not on the agenda');

-- a new one
select procrastinate_define_schedule('hello', '30 2 * * *') as next \gset
select is(:'next'::timestamptz, procrastinate_cron_next('30 2 * * *', now()), 'defining returns the next run');
select results_eq(
    $$ select cron, timezone, task_name, args, num_nulls(queue_name, priority, lock, queueing_lock), catch_up, max_lateness, pass_timestamp, enabled, next_at,
              num_nulls(last_at, last_job_id, skipped_at, skipped_why)
       from pg_temp.defined('hello') $$,
    format($$ values ('30 2 * * *', 'UTC', 'hello', '{}'::jsonb, 4, 'last', interval '10 min', false, true, %L::timestamptz, 4) $$, :'next'),
    'a schedule needs a name and a cron expression; its task has its name');
select results_eq($$ select pg_temp.agenda('hello') $$, format('values (%L::timestamptz)', :'next'), 'it is on the agenda');
select is_empty('select * from procrastinate_check()', 'and all is well');
select is(
    procrastinate_define_schedule('all', '* * * * *', 'send', '{"to": "a@b.c"}', 'Europe/Berlin', 'mail', 7, 'l', 'q', 'all', '1 day', true, false),
    null, 'one that is not enabled has no next run');
select results_eq(
    $$ select cron, timezone, task_name, args, queue_name, priority, lock, queueing_lock, catch_up, max_lateness, pass_timestamp, enabled, next_at
       from pg_temp.defined('all') $$,
    $$ values ('* * * * *', 'Europe/Berlin', 'send', '{"to": "a@b.c"}'::jsonb, 'mail', 7, 'l', 'q', 'all', interval '1 day', true, false, null::timestamptz) $$,
    'whatever is said of a schedule is stored');
select is_empty($$ select pg_temp.agenda('all') $$, 'and is not on the agenda');

-- defined again
select id from procrastinate_schedules where schedule_name = 'hello' \gset
select pg_temp.move('hello', now() - interval '1 min');
select procrastinate_define_schedule('hello', '30 2 * * *', args => '{"n": 2}');
select results_eq(
    $$ select id, next_at, args from pg_temp.defined('hello') $$, format($$ values (%s::bigint, now() - interval '1 min', '{"n": 2}'::jsonb) $$, :id),
    'defined again with the same cron and time zone, a run that is due stays due');
select results_eq($$ select pg_temp.agenda('hello') $$, $$ values (now() - interval '1 min') $$, 'and is on the agenda once');
select procrastinate_define_schedule('hello', '* * * * * *');
select results_eq(
    $$ select next_at from pg_temp.defined('hello') $$, $$ values (date_trunc('second', now()) - interval '1 min') $$,
    'with another cron it goes on where the clockwork had come: what is due by both is run');
select procrastinate_define_schedule('hello', '* * * * * *', timezone => 'Asia/Kolkata');
select ok((select h.next_at >= date_trunc('second', now()) - interval '1 min' from pg_temp.defined('hello') h), 'so it is with another time zone');
update procrastinate_schedules set last_at = date_trunc('second', now()) + interval '1 hour', next_at = date_trunc('second', now()) + interval '1 hour 1 s' where schedule_name = 'hello';
select procrastinate_define_schedule('hello', '*/2 * * * * *') as next \gset
select ok(:'next' > date_trunc('second', now()) + interval '1 hour', 'a run that was made already is not made again when the clock was set back');
update procrastinate_schedules set last_at = now(), next_at = date_trunc('second', now()) - interval '1 hour' where schedule_name = 'hello';
select is(
    procrastinate_define_schedule('hello', '* * * * * *'), date_trunc('second', now()) - interval '1 hour',
    'a run by hand is none of those that are due');
select pg_temp.move('hello', now() + interval '1 h');
select procrastinate_define_schedule('all', '* * * * *');
select results_eq($$ select enabled, task_name from pg_temp.defined('all') $$, $$ values (false, 'all') $$, 'a schedule that was disabled stays so when it is defined again');
select procrastinate_define_schedule('all', '* * * * *', enabled => true);
select results_eq($$ select enabled, next_at from pg_temp.defined('all') $$, $$ values (true, procrastinate_cron_next('* * * * *', now())) $$, 'unless it is said');

-- enabled and disabled
select procrastinate_disable_schedule('all');
select results_eq($$ select enabled, next_at from pg_temp.defined('all') $$, $$ values (false, null::timestamptz) $$, 'a schedule can be disabled');
select is(procrastinate_enable_schedule('all'), procrastinate_cron_next('* * * * *', now()), 'enabled again it runs from now on');
select is_empty(
    $$ select a from pg_temp.agenda('all') a group by 1 having count(*) > 1 $$, 'and is on the agenda once for each of its times, however often that was done');
select pg_temp.move('all', now() - interval '1 min');
select is(procrastinate_enable_schedule('all'), now() - interval '1 min', 'enabling does nothing to one that is enabled');
select procrastinate_disable_schedule('all');
select procrastinate_tick();
select is_empty($$ select pg_temp.agenda('all') $$, 'a row of the agenda whose schedule is disabled is dropped when its time comes');

-- dropped
select pg_temp.move('hello', now() - interval '1 s');
select procrastinate_drop_schedule('hello');
select procrastinate_tick();
select is_empty($$ select * from pg_temp.defined('hello') $$, 'a schedule can be dropped');
select is_empty('select * from procrastinate_jobs', 'and its due run with it');
select is_empty('select * from procrastinate_agenda', 'nothing of it is left on the agenda');
select procrastinate_define_schedule('hello', '@daily');
select isnt((select h.id from pg_temp.defined('hello') h), :id::bigint, 'defined once more it is another one');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

-- hints
select procrastinate_define_schedule('far', '@yearly');
delete from procrastinate_agenda;
select results_eq(
    'select invariant, detail from procrastinate_check() order by 2',
    $$ select 'an enabled schedule is in the agenda', format('schedule %s, next run %s', s.schedule_name, s.next_at) from procrastinate_schedules s where s.enabled order by 2 $$,
    'check finds the schedules that are not on the agenda');

select * from finish();
rollback;
