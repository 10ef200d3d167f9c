-- A schedule stands in the agenda at its next run. A row there for a run that was moved meanwhile is dropped when its time comes.
create or replace function procrastinate_move_schedule(p_old procrastinate_schedules, p_new procrastinate_schedules)
returns void
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $function$
begin
    update procrastinate_schedules s
    set cron = p_new.cron, timezone = p_new.timezone, task_name = p_new.task_name, args = p_new.args, queue_name = p_new.queue_name,
        priority = p_new.priority, lock = p_new.lock, queueing_lock = p_new.queueing_lock, catch_up = p_new.catch_up,
        max_lateness = p_new.max_lateness, pass_timestamp = p_new.pass_timestamp, enabled = p_new.enabled,
        defined_at = p_new.defined_at, next_at = p_new.next_at
    where s.id = p_new.id;
    if p_new.next_at is distinct from p_old.next_at and p_new.next_at is not null then
        perform procrastinate_wake_clock(p_new.next_at);
        insert into procrastinate_agenda (at, id)
        select p_new.next_at, -p_new.id
        -- disabled and enabled over and over, or changed to and fro, it would have a row for each time
        where current_setting('transaction_isolation') <> 'read committed'      -- a tick may have dropped what that still sees
           or (select 1 from procrastinate_agenda a where a.at = p_new.next_at and a.id = -p_new.id limit 1) is null;
    end if;
end;
$function$;

comment on function procrastinate_move_schedule(procrastinate_schedules, procrastinate_schedules) is
    'Write a schedule that changed, and when to look at it. The caller holds its row.';

-- The next run is kept when neither the cron expression nor its time zone changes: a worker that declares its schedules when it starts
-- must not pass over one that is due this moment. With others, the new ones count from where the clockwork has come: what both name is
-- run once, and nothing that was run already is run again, should the clock have been set back. (last_at may be of a run by hand, and
-- later than runs that are still due.)
create or replace function procrastinate_define_schedule(
    schedule       text,
    cron           text,
    task           text     default null,
    args           jsonb    default '{}',
    timezone       text     default 'UTC',
    queue          text     default null,
    priority       integer  default null,
    lock           text     default null,
    queueing_lock  text     default null,
    catch_up       text     default 'last',
    max_lateness   interval default '10 min',
    pass_timestamp boolean  default false,
    enabled        boolean  default null
)
returns timestamptz
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_cron procrastinate_cron;
    v_old  procrastinate_schedules;
    v_new  procrastinate_schedules;
begin
    perform procrastinate_check_name('schedule', schedule);
    if task like '{%' then
        raise exception 'invalid task: %', task
            using errcode = 'PJ001', detail = 'It looks like the arguments of a job.', hint = format('Name them: args => %L.', task);
    end if;
    perform procrastinate_check_new_jobs(array[row(
        coalesce(task, schedule), coalesce(args, '{}'), queue, priority, lock, queueing_lock, null, null, null, 'error', '{}'
    )::procrastinate_new_job]);
    if coalesce(catch_up, 'last') not in ('none', 'last', 'all') then
        raise exception 'invalid catch_up: %', catch_up using errcode = 'PJ001', detail = 'none, last and all are accepted.';
    end if;
    perform procrastinate_check_span('max_lateness', max_lateness);
    if cron is null then
        raise exception 'invalid cron: NULL' using errcode = 'PJ001';
    end if;
    perform procrastinate_check_timezone(coalesce(timezone, 'UTC'));
    v_cron := procrastinate_parse_cron(cron);

    lock table procrastinate_jobs in row exclusive mode;        -- before any agenda row: see repair
    insert into procrastinate_schedules
        (schedule_name, cron, timezone, task_name, args, catch_up, max_lateness, pass_timestamp, enabled)
    values (schedule, '', '', '', '{}', 'last', '0', false, false)
    on conflict on constraint procrastinate_schedules_schedule_name_key do nothing;
    v_new.enabled := coalesce(enabled, nullif(found, false));
    select * into v_old from procrastinate_schedules s where s.schedule_name = schedule for update;
    if not found then
        raise exception 'schedule % was dropped just now', schedule using errcode = '40001', hint = 'Define it again.';
    end if;

    v_new := row(
        v_old.id, schedule, cron, coalesce(timezone, 'UTC'), coalesce(task, schedule), coalesce(args, '{}'), queue, priority, lock,
        queueing_lock, coalesce(catch_up, 'last'), coalesce(max_lateness, '10 min'), coalesce(pass_timestamp, false),
        coalesce(v_new.enabled, v_old.enabled), clock_timestamp(), v_old.next_at,
        v_old.last_at, v_old.last_job_id, v_old.skipped_at, v_old.skipped_why);
    if not v_new.enabled then
        v_new.next_at := null;
    elsif v_old.next_at is null or (v_old.cron, v_old.timezone) <> (v_new.cron, v_new.timezone) then
        v_new.next_at := procrastinate_next_run(
            v_cron, least(v_old.next_at - interval '1 s', greatest(v_old.last_at, clock_timestamp())), v_new.timezone);
    end if;
    perform procrastinate_schedule_job(v_new, clock_timestamp());       -- its args are those that the task's lock names, or PJ008
    perform procrastinate_move_schedule(v_old, v_new);
    return v_new.next_at;
end;
$function$;

comment on function procrastinate_define_schedule(text, text, text, jsonb, text, text, integer, text, text, text, interval, boolean, boolean) is
'Define a schedule, by which procrastinate_tick defers jobs, or replace the whole of an earlier definition of that name. One job for
each run, however many workers tick. Its metadata has schedule, the name, and scheduled_for, the time of the run.
If cron and timezone stay as they were, so does the next run. A run missed while the schedule was not enabled is not made up for.
schedule: a name of 1 to 128 characters.
cron: when it runs, 5 fields, or 6 with seconds last, or @hourly and so on, as for procrastinate_cron_next.
task: what to run, a name of 1 to 128 characters that does not begin with a brace; NULL: the name of the schedule.
args: a JSON object; NULL: {}.
timezone: whose clock cron goes by, an area and a place as in Europe/Berlin; NULL: UTC.
queue: a name of 1 to 128 characters; NULL: as the task says.
priority: higher runs first; NULL: as the task says.
lock: jobs sharing it run one at a time; at most 1,024 bytes, taken as it is; NULL: as the task says.
queueing_lock: a run is skipped while a job waits with it (not: runs), which the schedule records; at most 1,024 bytes; NULL: none.
catch_up: what becomes of runs that nobody ticked for. last: of several the latest is made, if it is no later than max_lateness. all:
each that is no later than max_lateness. none: the latest, if it is no later than 10 s. NULL: last.
max_lateness: for last and all, from 0 to 100 years; 10 s never count as late; NULL: 10 minutes.
pass_timestamp: whether the job gets the time of the run as timestamp in its args, in whole seconds since 1970; NULL: false.
enabled: whether it runs; NULL: as it was, true for a new one.
Returns the time of the next run; NULL: not enabled.
Raises 40001 (the schedule was dropped at the same time: define it again), PJ001 (an argument is out of its range), PJ006 (cron or
timezone is not accepted, the message names the field), PJ008 (args are not an object, or lack what the task''s lock names).';

create or replace function procrastinate_lock_schedule(p_schedule text)
returns procrastinate_schedules
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_schedule procrastinate_schedules;
begin
    perform procrastinate_check_name('schedule', p_schedule);
    lock table procrastinate_jobs in row exclusive mode;        -- before any agenda row: see repair
    select * into v_schedule from procrastinate_schedules s where s.schedule_name = p_schedule for update;
    if not found then
        raise exception 'schedule % is not defined', p_schedule
            using errcode = 'PJ007', hint = 'The view procrastinate_schedule_status lists those that are.';
    end if;
    return v_schedule;
end;
$function$;

comment on function procrastinate_lock_schedule(text) is 'A schedule, its row locked. Raises PJ007 if there is none of that name, PJ001.';

create or replace function procrastinate_drop_schedule(schedule text)
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_schedule procrastinate_schedules := procrastinate_lock_schedule(schedule);
begin
    delete from procrastinate_schedules s where s.id = v_schedule.id;
end;
$function$;

comment on function procrastinate_drop_schedule(text) is
'Forget a schedule. Jobs that it deferred stay.
schedule: its name.
Raises PJ001 (schedule is NULL, or not of 1 to 128 characters), PJ007 (the schedule is not defined).';

create or replace function procrastinate_enable_schedule(schedule text)
returns timestamptz
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_old procrastinate_schedules := procrastinate_lock_schedule(schedule);
    v_new procrastinate_schedules := v_old;
begin
    if not v_old.enabled then
        perform procrastinate_check_timezone(v_old.timezone);
        v_new.enabled := true;
        v_new.next_at := procrastinate_next_run(
            procrastinate_parse_cron(v_old.cron), greatest(v_old.last_at, clock_timestamp()), v_old.timezone);
        perform procrastinate_move_schedule(v_old, v_new);
    end if;
    return v_new.next_at;
end;
$function$;

comment on function procrastinate_enable_schedule(text) is
'Let a schedule run. What it missed while it was not enabled is not made up for. Does nothing if it is enabled.
schedule: its name.
Returns the time of the next run.
Raises PJ001 (schedule is NULL, or not of 1 to 128 characters), PJ006 (the server does not know its time zone any more), PJ007 (the
schedule is not defined).';

create or replace function procrastinate_disable_schedule(schedule text)
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_old procrastinate_schedules := procrastinate_lock_schedule(schedule);
    v_new procrastinate_schedules := v_old;
begin
    v_new.enabled := false;
    v_new.next_at := null;
    perform procrastinate_move_schedule(v_old, v_new);
end;
$function$;

comment on function procrastinate_disable_schedule(text) is
'Let a schedule run no more, until procrastinate_enable_schedule. Also a worker that declares it when it starts leaves it at that.
schedule: its name.
Raises PJ001 (schedule is NULL, or not of 1 to 128 characters), PJ007 (the schedule is not defined).';
