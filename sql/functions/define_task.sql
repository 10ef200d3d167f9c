create or replace function procrastinate_check_span(p_name text, p_span interval, p_min interval default '0')
returns void
language plpgsql
immutable
set search_path from current
as $function$
begin
    if p_span < p_min or p_span > interval '100 years' then
        raise exception 'invalid %: %', p_name, p_span
            using errcode = 'PJ001', detail = format('A span from %s to 100 years is accepted.', case when p_min = '0' then '0' else p_min::text end);
    end if;
end;
$function$;

comment on function procrastinate_check_span(text, interval, interval) is
    'Raises PJ001 unless the span is NULL or from p_min to 100 years.';

create or replace function procrastinate_check_name(p_name text, p_value text)
returns void
language plpgsql
immutable
set search_path from current
as $function$
begin
    if p_value is null or char_length(p_value) not between 1 and 128 then
        raise exception 'invalid %: %', p_name,
            case when p_value is null then 'NULL' when p_value = '' then 'empty' else char_length(p_value) || ' characters' end
            using errcode = 'PJ001', detail = '1 to 128 characters are accepted.';
    end if;
end;
$function$;

comment on function procrastinate_check_name(text, text) is
    'Raises PJ001 unless the name of a queue or task has 1 to 128 characters.';

create or replace function procrastinate_check_template(p_name text, p_template text)
returns void
language plpgsql
immutable
set search_path from current
as $function$
begin
    if regexp_replace(p_template, '\{[^{}]+\}', '', 'g') ~ '[{}]' then
        raise exception 'invalid %: %', p_name, p_template using errcode = 'PJ001', detail = 'A brace stands outside of a {name}.';
    end if;
end;
$function$;

comment on function procrastinate_check_template(text, text) is
    'Raises PJ001 unless the template is NULL, or each of its braces is one of a {name}.';

create or replace function procrastinate_define_task(
    task              text,
    queue             text             default null,
    priority          integer          default null,
    lock              text             default null,
    max_attempts      integer          default null,
    retry_wait        interval         default null,
    retry_linear      interval         default null,
    retry_exponential double precision default null,
    retry_max_wait    interval         default null,
    retry_jitter      double precision default null,
    timeout           interval         default null,
    on_stall          text             default null,
    max_rescues       integer          default null,
    keep_succeeded    interval         default null,
    keep_failed       interval         default null,
    shared            boolean          default null
)
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    perform procrastinate_check_name('task', task);
    if queue is not null then
        perform procrastinate_check_name('queue', queue);
    end if;
    if octet_length(lock) > 1024 then
        raise exception 'invalid lock: % bytes', octet_length(lock) using errcode = 'PJ001', detail = 'At most 1024 bytes are accepted.';
    end if;
    perform procrastinate_check_template('lock', lock);
    if max_attempts < 1 then
        raise exception 'invalid max_attempts: %', max_attempts using errcode = 'PJ001', detail = 'A job runs at least once.';
    end if;
    if max_rescues < 1 then
        raise exception 'invalid max_rescues: %', max_rescues using errcode = 'PJ001', detail = 'At least 1 is accepted.',
            hint = 'on_stall => ''fail'' lets a job fail at the first death of its worker.';
    end if;
    if retry_exponential < 0 or retry_exponential in ('NaN', 'Infinity') then
        raise exception 'invalid retry_exponential: %', retry_exponential using errcode = 'PJ001', detail = 'A finite number of at least 0 is accepted.';
    end if;
    if not (retry_jitter between 0 and 1) then
        raise exception 'invalid retry_jitter: %', retry_jitter using errcode = 'PJ001', detail = 'A fraction from 0 to 1 is accepted.';
    end if;
    if on_stall not in ('retry', 'fail') then
        raise exception 'invalid on_stall: %', on_stall using errcode = 'PJ001', detail = 'retry and fail are accepted.';
    end if;
    perform procrastinate_check_span('retry_wait', retry_wait);
    perform procrastinate_check_span('retry_linear', retry_linear);
    perform procrastinate_check_span('retry_max_wait', retry_max_wait);
    perform procrastinate_check_span('timeout', timeout, '1 ms');
    perform procrastinate_check_span('keep_succeeded', keep_succeeded);
    perform procrastinate_check_span('keep_failed', keep_failed);

    insert into procrastinate_tasks as t (
        task_name, defined_at, queue_name, priority, lock, max_attempts, retry_wait, retry_linear, retry_exponential,
        retry_max_wait, retry_jitter, timeout, on_stall, max_rescues, keep_succeeded, keep_failed, shared)
    values (
        task, clock_timestamp(), queue, procrastinate_define_task.priority, procrastinate_define_task.lock,
        procrastinate_define_task.max_attempts, procrastinate_define_task.retry_wait, procrastinate_define_task.retry_linear,
        procrastinate_define_task.retry_exponential, procrastinate_define_task.retry_max_wait, procrastinate_define_task.retry_jitter,
        procrastinate_define_task.timeout, procrastinate_define_task.on_stall, procrastinate_define_task.max_rescues,
        procrastinate_define_task.keep_succeeded, procrastinate_define_task.keep_failed, procrastinate_define_task.shared)
    on conflict on constraint procrastinate_tasks_pkey do update set
        defined_at = excluded.defined_at, queue_name = excluded.queue_name, priority = excluded.priority, lock = excluded.lock,
        max_attempts = excluded.max_attempts, retry_wait = excluded.retry_wait, retry_linear = excluded.retry_linear,
        retry_exponential = excluded.retry_exponential, retry_max_wait = excluded.retry_max_wait,
        retry_jitter = excluded.retry_jitter, timeout = excluded.timeout, on_stall = excluded.on_stall,
        max_rescues = excluded.max_rescues, keep_succeeded = excluded.keep_succeeded, keep_failed = excluded.keep_failed,
        shared = excluded.shared;
end;
$function$;

comment on function procrastinate_define_task(text, text, integer, text, integer, interval, interval, double precision, interval, double precision, interval, text, integer, interval, interval, boolean) is
'Set the defaults and the policy of a task, replacing the whole of an earlier definition.
What is left NULL comes from the definition of *, which holds for all tasks, else it is built in.
Queue, priority, lock, max_attempts and timeout are taken when a job is deferred (max_attempts, when nobody said by then, as it
fails), the rest when an attempt ends.
After a failure that n ended attempts came before, a job waits retry_wait + retry_linear * n + retry_exponential ^ (n + 1)
seconds, at most retry_max_wait, give or take retry_jitter: the formula of Python''s Procrastinate.
task: a name of 1 to 128 characters; *: for all tasks.
queue: a name of 1 to 128 characters; built in: default.
priority: higher runs first; built in: 0.
lock: at most 1,024 bytes; {name} stands for that argument of the job: customer-{customer_id}; built in: none.
max_attempts: how many times a job may run, at least 1; built in: 1. Runs, not retries.
retry_wait: part of every wait, from 0 to 100 years; built in: 0.
retry_linear: what each further wait is longer, from 0 to 100 years; built in: 0.
retry_exponential: base of a power, in seconds, at least 0; 0: no power; built in: 0.
retry_max_wait: longest wait before its jitter, from 0 to 100 years; never more than 365 days count; built in: 1 year.
retry_jitter: fraction from 0 to 1, by which at most a wait is made longer or shorter at random; built in: 0.
timeout: bound of one attempt, from 1 ms to 100 years, kept by the worker; built in: none.
on_stall: what becomes of a job whose worker died. retry: todo again, up to max_rescues. fail: failed. Built in: retry.
max_rescues: a job fails when so many workers died with it, at least 1; built in: 3.
keep_succeeded: how long a job is kept that succeeded, from 0 to 100 years; built in: 7 days. Then tick deletes it, and its attempts;
0: it is deleted as it ends. If a task''s jobs are to be kept longer, that holds for all that are there; if less long, perhaps only for
those that end from then on: procrastinate_delete_jobs and procrastinate_prune_jobs delete the others.
keep_failed: the same for jobs that ended otherwise; built in: 30 days.
shared: whether Python''s workers may have the task too, once a worker has registered for it; built in: false. Stored; this version
serves no Python workers.
Raises PJ001 (an argument is out of its range, or a brace of lock stands outside of a {name}).';

-- That a task is native is not part of its definition and outlives it.
create or replace function procrastinate_drop_task(task text)
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    perform procrastinate_check_name('task', task);
    perform from procrastinate_tasks t where t.task_name = task and t.defined_at is not null for update;
    if not found then
        raise exception 'task % is not defined', task using errcode = 'PJ007', hint = 'Deferring a task needs no definition.';
    end if;
    delete from procrastinate_tasks t where t.task_name = task and not t.native;
    if not found then
        perform procrastinate_define_task(task);
        update procrastinate_tasks t set defined_at = null where t.task_name = task;
    end if;
end;
$function$;

comment on function procrastinate_drop_task(text) is
'Forget the definition of a task. Its jobs keep what they got when they were deferred; for the rest * and the built-in defaults
hold.
task: a name that procrastinate_define_task was called with.
Raises PJ001 (task is NULL, or not of 1 to 128 characters), PJ007 (the task is not defined).';
