-- Instants are written as everywhere else the same, whoever ticks.
create or replace function procrastinate_schedule_job(p_schedule procrastinate_schedules, p_run timestamptz)
returns procrastinate_new_job
language plpgsql
stable
set search_path from current
set timezone = 'UTC'
as $function$
declare
    v_policy procrastinate_tasks := procrastinate_policy(p_schedule.task_name);
    v_args   jsonb := p_schedule.args;
begin
    if p_schedule.pass_timestamp then
        v_args := v_args || jsonb_build_object('timestamp', floor(extract(epoch from p_run))::bigint);
    end if;
    if p_schedule.lock is null and v_policy.lock is not null then
        p_schedule.lock := procrastinate_fill_template(v_policy.lock, v_args);
    end if;
    return row(
        p_schedule.task_name, v_args, coalesce(p_schedule.queue_name, v_policy.queue_name),
        coalesce(p_schedule.priority, v_policy.priority), p_schedule.lock, p_schedule.queueing_lock, null,
        v_policy.max_attempts, v_policy.timeout, 'error',
        jsonb_build_object('schedule', p_schedule.schedule_name, 'scheduled_for', p_run))::procrastinate_new_job;
end;
$function$;

comment on function procrastinate_schedule_job(procrastinate_schedules, timestamptz) is
    'The job of one run of a schedule, completed from its task''s definition. Raises PJ008 when args lack what the task''s lock names.';

-- Which runs of a schedule are to be made now. Few steps, however many were missed: after an outage there may be thousands of
-- schedules, each with thousands of runs.
create or replace function procrastinate_due_runs(
    p_schedule      procrastinate_schedules,
    p_cron          procrastinate_cron,
    p_now           timestamptz,
    out runs        timestamptz[],
    out next_at     timestamptz,
    out skipped_at  timestamptz,
    out skipped_why text
)
language plpgsql
stable
set search_path from current
as $function$
declare
    c_slack constant interval := interval '10 s';       -- is not late: ticks come every second, and may be busy
    c_limit constant integer  := 1000;                  -- the others come with the next tick
    v_oldest timestamptz := p_now - case p_schedule.catch_up when 'none' then c_slack else greatest(p_schedule.max_lateness, c_slack) end;
    v_run    timestamptz := p_schedule.next_at;
begin
    runs := '{}'::timestamptz[];
    if p_schedule.catch_up = 'all' then
        if v_run < v_oldest then
            v_run := procrastinate_next_run(p_cron, v_oldest - interval '1 microsecond', p_schedule.timezone);
        end if;
        while v_run <= p_now and cardinality(runs) < c_limit loop
            runs := runs || v_run;
            v_run := procrastinate_next_run(p_cron, v_run, p_schedule.timezone);
        end loop;
        next_at := v_run;
    else
        next_at := procrastinate_next_run(p_cron, v_run, p_schedule.timezone);
        if next_at <= p_now then
            v_run := procrastinate_last_run(p_cron, greatest(next_at, v_oldest) - interval '1 microsecond', p_now, p_schedule.timezone);
            next_at := procrastinate_next_run(p_cron, p_now, p_schedule.timezone);
        end if;
        if v_run >= v_oldest then
            runs := array[v_run];
        end if;
    end if;

    if runs = '{}' or runs[1] > p_schedule.next_at then
        skipped_at := procrastinate_last_run(
            p_cron, p_schedule.next_at - interval '1 s', coalesce(runs[1] - interval '1 s', p_now), p_schedule.timezone);
        skipped_why := case when skipped_at < v_oldest then 'too late' else 'a later run was due too' end;
    end if;
end;
$function$;

comment on function procrastinate_due_runs(procrastinate_schedules, procrastinate_cron, timestamptz) is
    'The runs of a schedule that was due, as its catch_up says, at most 1,000; the next one after them; and the last that is skipped, and why.';

-- The row's next_at is what makes each run happen once: whoever defers a run moves it on, in the same transaction, and holds the row
-- until then. A row of the agenda is a hint only, and may be one of many.
create or replace function procrastinate_run_batch(p_ids bigint[])
returns void
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
declare
    c_span constant interval := interval '0.5 s';       -- what the tick promoted can run only when it commits
    v_now      timestamptz := clock_timestamp();
    v_schedule procrastinate_schedules;
    v_text     text;
    v_cron     procrastinate_cron;      -- what it says; a third of the price of a run, and most of those of one instant say the same
    v_due      record;
    v_runs     timestamptz[];
    v_run      timestamptz;
    v_job      procrastinate_new_job;
    v_job_id   bigint;
    v_moved    procrastinate_schedules[] := '{}'::procrastinate_schedules[];
    v_jobs     procrastinate_new_job[]   := '{}'::procrastinate_new_job[];       -- those without a queueing lock, inserted in one go,
    v_places   integer[]                 := '{}'::integer[];      -- and the place in v_moved that each one's schedule gets
    v_job_ids  bigint[];
    v_last     bigint[];                                          -- by place in v_moved
begin
    for v_schedule in
        select s.* from unnest(p_ids) i join procrastinate_schedules s on s.id = i where s.enabled order by s.next_at, s.cron, s.id
    loop
        exit when clock_timestamp() > v_now + c_span;
        v_runs := '{}'::timestamptz[];
        if v_schedule.next_at <= v_now then
            if v_schedule.cron is distinct from v_text then
                v_text := v_schedule.cron;
                v_cron := procrastinate_parse_cron(v_text);
            end if;
            begin
                v_due := procrastinate_due_runs(v_schedule, v_cron, v_now);
                v_runs := v_due.runs;
                v_schedule.next_at := v_due.next_at;
                v_schedule.skipped_at := coalesce(v_due.skipped_at, v_schedule.skipped_at);
                v_schedule.skipped_why := coalesce(v_due.skipped_why, v_schedule.skipped_why);
            exception when invalid_parameter_value then     -- a time zone that the server knew once
                v_schedule.skipped_at := v_schedule.next_at;
                v_schedule.skipped_why := sqlerrm;
                v_schedule.enabled := false;
                v_schedule.next_at := null;
            end;
        end if;

        foreach v_run in array v_runs loop
            if v_run > v_runs[1] and clock_timestamp() > v_now + c_span then
                v_schedule.next_at := v_run;
                exit;
            end if;
            begin
                v_job := procrastinate_schedule_job(v_schedule, v_run);
                if v_job.lock is distinct from v_schedule.lock then     -- all else was checked when it was defined
                    perform procrastinate_check_new_jobs(array[v_job]);
                end if;
            exception when sqlstate 'PJ001' or sqlstate 'PJ008' then    -- the task's lock, as it was defined since
                v_job := null;
                v_schedule.skipped_at := v_run;
                v_schedule.skipped_why := sqlerrm;
            end;
            continue when v_job is null;
            if v_job.queueing_lock is null then
                v_jobs := v_jobs || v_job;
                v_places := v_places || cardinality(v_moved) + 1;
                v_schedule.last_at := v_run;
                continue;
            end if;
            v_job.on_conflict := 'try';
            v_job_id := procrastinate_insert_job(v_job);
            if v_job_id is not null then
                v_schedule.last_at := v_run;
                v_schedule.last_job_id := v_job_id;
            end if;
            if v_job_id is null or v_runs[cardinality(v_runs)] > v_run then     -- now this one's job waits
                v_schedule.skipped_at := v_runs[cardinality(v_runs)];
                v_schedule.skipped_why := 'a job waits with its queueing lock';
            end if;
            exit;
        end loop;
        v_moved := v_moved || v_schedule;
    end loop;

    v_job_ids := array(select procrastinate_insert_jobs(v_jobs));
    for v_n in 1 .. cardinality(v_job_ids) loop
        v_last[v_places[v_n]] := v_job_ids[v_n];
    end loop;
    update procrastinate_schedules s
    set enabled = m.enabled, next_at = m.next_at, last_at = m.last_at, skipped_at = m.skipped_at, skipped_why = m.skipped_why,
        last_job_id = coalesce(v_last[m.ordinality], m.last_job_id)
    from unnest(v_moved) with ordinality m
    where s.id = m.id and s.next_at is distinct from m.next_at;
    insert into procrastinate_agenda (at, id)
    select greatest(m.next_at, clock_timestamp()), -m.id        -- where the tick, which has come to v_now, finds what is due still
    from unnest(v_moved) m
    where m.enabled and (select 1 from procrastinate_agenda a where a.at = m.next_at and a.id = -m.id limit 1) is null
    union all
    select clock_timestamp(), -i
    from (
        select s.id from unnest(p_ids) i join procrastinate_schedules s on s.id = i where s.enabled
        except
        select m.id from unnest(v_moved) m
    ) l(i);
end;
$function$;

comment on function procrastinate_run_batch(bigint[]) is
    'Defer the jobs of schedules that are due and move them on, for half a second; put back on the agenda what is not due, or has its turn later. The caller holds the schedules'' rows.';

-- Called by tick for schedules whose rows it has locked. A tick must not fail for one schedule, nor wait for a queueing lock: what
-- cannot be deferred is skipped, and the schedule says why. What a user's trigger or constraint refuses is found by making them one by one.
create or replace function procrastinate_run_schedules(p_ids bigint[])
returns void
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
declare
    c_span constant interval := interval '0.5 s';       -- beside that of the batch
    v_until timestamptz;
    v_why   text;
    v_id    bigint;
    v_left  bigint[] := '{}'::bigint[];
begin
    begin
        perform procrastinate_run_batch(p_ids);
        return;
    -- not what passes by itself, as a deadlock
    exception when integrity_constraint_violation or data_exception or plpgsql_error or syntax_error_or_access_rule_violation
        or program_limit_exceeded or with_check_option_violation then
        v_why := sqlerrm;
    end;

    if cardinality(p_ids) = 1 then
        with skipped as (
            update procrastinate_schedules s
            set skipped_at = s.next_at, skipped_why = v_why,
                next_at = procrastinate_next_run(procrastinate_parse_cron(s.cron), greatest(s.next_at, clock_timestamp()), s.timezone)
            where s.id = p_ids[1]
            returning s.next_at, s.id
        )
        insert into procrastinate_agenda (at, id) select s.next_at, -s.id from skipped s;
        return;
    end if;

    v_until := clock_timestamp() + c_span;
    for v_id in
        select s.id from unnest(p_ids) i join procrastinate_schedules s on s.id = i where s.enabled order by s.next_at, s.id
    loop
        if clock_timestamp() > v_until then
            v_left := v_left || v_id;
        else
            perform procrastinate_run_schedules(array[v_id]);
        end if;
    end loop;
    insert into procrastinate_agenda (at, id) select clock_timestamp(), -i from unnest(v_left) i;
end;
$function$;

comment on function procrastinate_run_schedules(bigint[]) is
    'Run the schedules that are due, or skip the runs that are refused. The caller holds the schedules'' rows.';

create or replace function procrastinate_run_schedule(schedule text)
returns bigint
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_schedule procrastinate_schedules := procrastinate_lock_schedule(schedule);
    v_now      timestamptz := clock_timestamp();
    v_job      procrastinate_new_job := procrastinate_schedule_job(v_schedule, v_now);
    v_job_id   bigint;
begin
    perform procrastinate_check_new_jobs(array[v_job]);
    v_job_id := procrastinate_insert_job(v_job);
    update procrastinate_schedules s
    set last_at = v_now, last_job_id = v_job_id
    where s.id = v_schedule.id;
    return v_job_id;
end;
$function$;

comment on function procrastinate_run_schedule(text) is
'Defer the job of a schedule now, enabled or not. Its next run stays as it is.
schedule: its name.
Returns the job''s id; its metadata has the present time as scheduled_for.
Raises 23505 (a todo job has its queueing lock), PJ001 (schedule is NULL, or not of 1 to 128 characters, or the lock made of the
task''s is too long), PJ007 (the schedule is not defined), PJ008 (its args lack what the task''s lock names).';
