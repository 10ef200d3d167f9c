-- Whether a notification arrives needs two sessions; what is sent is seen here: the function is given a path on which a
-- pg_notify of ours comes before that of PostgreSQL.
begin;
select plan(20);

create temp table sent (n serial, channel text, payload text);

create function pg_notify(channel text, payload text)
returns void
language sql
as $function$
    insert into pg_temp.sent (channel, payload) values (channel, payload)
$function$;

select set_config('search_path', format('%I, pg_catalog, tap', current_schema()), true) as path \gset
alter function procrastinate_notify(text, text, bigint) set search_path from current;
alter function procrastinate_wake_clock(timestamptz) set search_path from current;

select procrastinate_notify('mail', 'job_inserted', 5) \g /dev/null
select results_eq(
    'select channel, payload::jsonb from sent order by channel',
    $$ values ('procrastinate_any_queue_v1',  '{"type": "job_inserted", "job_id": 5}'::jsonb),
              ('procrastinate_queue_v1#mail', '{"type": "job_inserted", "job_id": 5}'::jsonb) $$,
    'the listeners of the queue and those of all queues are told');

truncate sent;
select procrastinate_notify('mail', 'abort_job_requested', 9223372036854775807) \g /dev/null
select results_eq(
    'select channel, payload::jsonb from sent order by channel',
    $$ values ('procrastinate_any_queue_v1',  '{"type": "abort_job_requested", "job_id": 9223372036854775807}'::jsonb),
              ('procrastinate_queue_v1#mail', '{"type": "abort_job_requested", "job_id": 9223372036854775807}'::jsonb) $$,
    'a request to abort names the job');

truncate sent;
select procrastinate_notify(repeat('é', 128), 'job_inserted', 1) \g /dev/null
select results_eq(
    'select channel from sent order by channel',
    $$ values ('procrastinate_any_queue_v1'), ('procrastinate_queue_v1#' || repeat('é', 20)) $$,
    'a channel is cut to 63 bytes, between two characters');

truncate sent;
select procrastinate_notify(repeat('q', 40), 'job_inserted', 1), procrastinate_notify(repeat('q', 41), 'job_inserted', 1) \g /dev/null
select results_eq(
    $$ select channel, count(*) from sent where channel like '%#%' group by channel $$,
    $$ values ('procrastinate_queue_v1#' || repeat('q', 40), 2::bigint) $$,
    'names of 40 bytes are whole, longer ones are cut');

truncate sent;
select procrastinate_notify('a "b" \ {c}', 'job_inserted', 1) \g /dev/null
select results_eq(
    $$ select channel, payload::jsonb ->> 'type' from sent where channel like '%#%' $$,
    $$ values ('procrastinate_queue_v1#a "b" \ {c}', 'job_inserted') $$,
    'a queue''s name may hold any characters');

truncate sent;
set local procrastinate.notify = 'off';
select procrastinate_notify('mail', 'job_inserted', 1) \g /dev/null
select is_empty('select * from sent', 'with procrastinate.notify off nobody is told');

set local procrastinate.notify = 'on';
select procrastinate_notify('mail', 'job_inserted', 1) \g /dev/null
select is((select count(*) from sent), 2::bigint, 'with procrastinate.notify on they are told');

truncate sent;
set local procrastinate.notify = '';
select procrastinate_notify('mail', 'job_inserted', 1) \g /dev/null
select is((select count(*) from sent), 2::bigint, 'with procrastinate.notify empty they are told');

-- one statement: one notification a queue, for PostgreSQL drops repeats within a transaction
truncate sent;
select procrastinate_defer_many('[{"task": "a", "queue": "x"}, {"task": "b", "queue": "x"}, {"task": "a", "queue": "x", "lock": "l"},
                                  {"task": "a", "queue": "y", "schedule_in": "1 hour"}, {"task": "a", "queue": "z"}]') \g /dev/null
select results_eq(
    $$ select distinct channel, payload::jsonb ->> 'type' from sent order by 1 $$,
    $$ values ('procrastinate_any_queue_v1', 'job_inserted'), ('procrastinate_queue_v1#x', 'job_inserted'), ('procrastinate_queue_v1#z', 'job_inserted') $$,
    'deferring tells the listeners of queues that got a job to run now');
select is(
    (select count(distinct (channel, payload)) from sent), 3::bigint,
    'the notifications of one statement to one queue are equal, so one is delivered');

truncate sent;
select procrastinate_defer_many('[{"task": "a", "queue": "x"}, {"task": "b", "queue": "x"}, {"task": "a", "queue": "x", "lock": "k"}]'),
       procrastinate_defer('a', queue => 'z'), procrastinate_defer('a', queue => 'w', schedule_in => '1 hour') \g /dev/null
select is_empty('select * from sent', 'nobody is told of a job whose lane has a live token');

-- the clock
truncate sent;
select procrastinate_wake_clock(clock_timestamp() + interval '0.2 s') \g /dev/null
select results_eq(
    'select channel, payload::integer between 1 and 200 from sent', $$ values ('procrastinate_clock_v1', true) $$,
    'who ticks is told of what is due within a second, and in how many milliseconds');
truncate sent;
select procrastinate_wake_clock(now() - interval '1 min') \g /dev/null
select results_eq('select payload from sent', $$ values ('0') $$, 'what is due already is due now');
truncate sent;
select procrastinate_wake_clock(clock_timestamp() + interval '1.1 s') \g /dev/null
select is_empty('table sent', 'of what is due later they learn when they tick');
insert into procrastinate_agenda (at, id) values (clock_timestamp() + interval '0.3 s', 1), (now() - interval '1 s', 2);
select procrastinate_wake_clock(clock_timestamp() + interval '0.6 s') \g /dev/null
select is_empty('table sent', 'nor is anything sent when something is due before it');
select procrastinate_wake_clock(clock_timestamp() + interval '0.1 s') \g /dev/null
select is((select count(*) from sent), 1::bigint, 'but it is when that is due later, or was already');
truncate sent;
set local procrastinate.notify = 'off';
select procrastinate_wake_clock(clock_timestamp()) \g /dev/null
select is_empty('table sent', 'nor when notifications are off');
set local procrastinate.notify = 'on';

-- who wakes it
delete from procrastinate_agenda;
select procrastinate_defer('a', schedule_in => '0.2 s') \g /dev/null
delete from procrastinate_agenda;
select procrastinate_defer_many('[{"task": "a", "schedule_in": "1 hour"}, {"task": "b", "schedule_in": "0.2 s"}, {"task": "c"}]') \g /dev/null
select is((select count(*) from sent s where s.channel = 'procrastinate_clock_v1'), 2::bigint, 'a defer of a job that is due soon wakes the clock, also of one among many');
truncate sent;
delete from procrastinate_agenda;
select procrastinate_register_worker('w') as worker \gset
update procrastinate_jobs set max_attempts = 5;
select procrastinate_fail_jobs(:worker, array_agg(f.id), retry_in => array_agg(interval '0.2 s')) from procrastinate_fetch_jobs(:worker, 1) f \g /dev/null
select is((select count(*) from sent s where s.channel = 'procrastinate_clock_v1'), 1::bigint, 'so does a failed job that is soon to be tried again');
truncate sent;
delete from procrastinate_agenda;
select procrastinate_define_schedule('s', '* * * * * *') \g /dev/null
select is((select count(*) from sent s where s.channel = 'procrastinate_clock_v1'), 1::bigint, 'and a schedule that runs soon');

select * from finish();
rollback;
