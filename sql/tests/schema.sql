-- The tables refuse the states that must not be. Each bad row differs in one thing from one that is stored.
begin;
select plan(57);

-- What a statement meets: 'stored', or the SQLSTATE, with the column that may not be NULL, or the constraint that is unique.
create function pg_temp.refusal(p_sql text)
returns text
language plpgsql
as $function$
declare
    v_constraint text;
    v_column     text;
begin
    execute p_sql;
    return 'stored';
exception when others then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    return concat_ws(' ', sqlstate, case sqlstate when '23502' then v_column when '23505' then v_constraint end);
end;
$function$;

-- The jobs' states. The rules for single values (lengths, objects, positive numbers) are those of the functions: see new_jobs.sql;
-- what else a status asks of a job is seen by procrastinate_check(): see check.sql.

select is(pg_temp.refusal('insert into procrastinate_jobs (task_name, ' || c.columns || ') values (''a'', ' || c.vals || ')'), c.want, c.sentence)
from (values
    (1,  'queue_name', $$ null $$,                                             '23502 queue_name',      'a job has a queue'),
    (2,  'priority',   $$ null $$,                                             '23502 priority',        'a job has a priority'),
    (3,  'args',       $$ null $$,                                             '23502 args',            'a job has args'),
    (4,  'metadata',   $$ null $$,                                             '23502 metadata',        'a job has metadata'),
    (5,  'attempts',   $$ null $$,                                             '23502 attempts',        'attempts are counted'),
    (6,  'rescues',    $$ null $$,                                             '23502 rescues',         'rescues are counted'),
    (7,  'deferred_at', $$ null $$,                                            '23502 deferred_at',     'a job was deferred at some time'),
    (8,  'abort_requested', $$ null $$,                                        '23502 abort_requested', 'the abort of a job is requested or not'),
    (9,  'status',     $$ null $$,                                             '23502 status',          'a job has a status'),
    (10, 'status',     $$ 'lost' $$,                                           '22P02',                 'a job''s status is one of the enum'),
    (11, 'status, started_at, finished_at', $$ 'doing', now(), now() $$,       '23514',                 'a running job has no end'),
    (12, 'status, finished_at', $$ 'todo', now() $$,                           '23514',                 'a waiting job has no end'),
    (13, 'status',     $$ 'succeeded' $$,                                      '23514',                 'a job that succeeded has an end'),
    (14, 'status',     $$ 'failed' $$,                                         '23514',                 'a job that failed has an end'),
    (15, 'status',     $$ 'cancelled' $$,                                      '23514',                 'a cancelled job has an end'),
    (16, 'status',     $$ 'aborted' $$,                                        '23514',                 'an aborted job has an end'),
    (17, 'queue_name, lock, queueing_lock, timeout, max_attempts',
         $$ repeat('é', 128), repeat('é', 512), repeat('é', 512), '1 ms', 1 $$, 'stored',   'a job may be as large as the bounds allow'),
    (18, 'status, started_at, worker_id, abort_requested', $$ 'doing', now(), 1, true $$, 'stored', 'a running job may be held and its abort requested'),
    (19, 'status, started_at', $$ 'doing', now() $$,                                      'stored', 'a running job may be held by nobody, its worker being gone'),
    (20, 'status, finished_at', $$ 'cancelled', now() $$,                                 'stored', 'a job may end and never have started'),
    (21, 'started_at, error', $$ now(), 'boom' $$,                                        'stored', 'a waiting job may have run before')
) c(n, columns, vals, want, sentence)
order by c.n;

select is(pg_temp.refusal(c.command), c.want, c.sentence)
from (values
    (1,  $$ insert into procrastinate_jobs (task_name) values (repeat('é', 128)) $$,       'stored',                        'a task''s name may have 128 characters of any size'),
    (2,  $$ insert into procrastinate_jobs (queue_name) values ('a') $$,                   '23502 task_name',               'a job has a task'),
    (3,  $$ insert into procrastinate_jobs (id, task_name) values (-1, 'a'), (-1, 'a') $$, '23505 procrastinate_jobs_pkey', 'an id is given once')
) c(n, command, want, sentence)
order by c.n;

select results_eq(
    $$ insert into procrastinate_jobs (id, task_name, lock) values (-3, 'a', 'x')
       returning task_name::text, queue_name::text, priority, status::text, args::jsonb, metadata::jsonb, attempts::integer, rescues::integer, abort_requested,
                 lock_key, num_nulls(queueing_lock, scheduled_at, max_attempts, timeout, worker_id, started_at, finished_at, error, result) $$,
    $$ values ('a', 'default', 0, 'todo', '{}'::jsonb, '{}'::jsonb, 0, 0, false, null::bigint, 9) $$,
    'a job needs nothing but a task; the key of its lock is written by the functions');

select enum_has_labels(
    'procrastinate_job_status', array['todo', 'doing', 'succeeded', 'failed', 'cancelled', 'aborting', 'aborted'],
    'the statuses are those that clients of Python''s Procrastinate know');

select col_is_pk('procrastinate_jobs', 'id', 'the primary key of jobs is their id, by which clients group');

-- what lies beside the jobs

select is(pg_temp.refusal(c.command), c.want, c.sentence)
from (values
    (1,  $$ insert into procrastinate_attempts (kind) values ('failed') $$,                                '23502 job_id',                                  'an attempt is of a job'),
    (2,  $$ insert into procrastinate_attempts (job_id, kind) values (1, null) $$,                         '23502 kind',                                    'an attempt ended somehow'),
    (3,  $$ insert into procrastinate_attempts (job_id, kind) values (1, 'vanished') $$,                   '22P02',                                         'an attempt''s kind is one of the enum'),
    (4,  $$ insert into procrastinate_attempts (job_id, kind, at) values (1, 'failed', null) $$,           '23502 at',                                      'an attempt ended at some time'),
    (5,  $$ insert into procrastinate_tasks (task_name) values ('') $$,                                    '23514',                                         'a task that is defined has a name'),
    (6,  $$ insert into procrastinate_tasks (task_name) values (repeat('t', 129)) $$,                      '23514',                                         'a task that is defined has a name of at most 128 characters'),
    (7,  $$ insert into procrastinate_tasks (task_name) values (null) $$,                                  '23502 task_name',                               'a task''s name is not NULL'),
    (8,  $$ insert into procrastinate_tasks (task_name) values ('a'), ('a') $$,                            '23505 procrastinate_tasks_pkey',                'a task is defined once'),
    (9,  $$ insert into procrastinate_tasks (task_name, on_stall) values ('a', 'explode') $$,              '23514',                                         'on_stall is retry or fail'),
    (10, $$ insert into procrastinate_tasks (task_name, on_stall) values (repeat('é', 128), 'retry'), ('b', 'fail'), ('c', null) $$, 'stored',                                        'on_stall may be retry, fail or not said'),
    (11, $$ insert into procrastinate_queues (queue_name) values ('') $$,                                  '23514',                                         'a paused queue has a name'),
    (12, $$ insert into procrastinate_queues (queue_name) values (repeat('q', 129)) $$,                    '23514',                                         'a paused queue has a name of at most 128 characters'),
    (13, $$ insert into procrastinate_queues (queue_name) values ('a'), ('a') $$,                          '23505 procrastinate_queues_pkey',               'a queue is paused once'),
    (14, $$ insert into procrastinate_workers (id, worker_name, stalled_after) values (1, 'w', '30 s') $$, '428C9',                                         'a worker''s id is nobody''s choice'),
    (15, $$ insert into procrastinate_workers (worker_name) values ('w') $$,                               '23502 stalled_after',                           'a worker says after which silence it is dead'),
    (16, $$ insert into procrastinate_install (system_identifier) values (1) $$,                           '23505 procrastinate_install_pkey',              'there is one row about the installation'),
    (17, $$ insert into procrastinate_install (only_row, system_identifier) values (false, 1) $$,          '23514',                                         'there is no second row about the installation'),
    (18, $$ insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('l', 1), ('l', 2) $$, '23505 procrastinate_jobs_queueing_lock_idx_v1', 'a queueing lock belongs to one job'),
    (19, $$ insert into procrastinate_removed_workers (worker_id) values (1), (1) $$,                      '23505 procrastinate_removed_workers_pkey',      'a worker is removed once')
) c(n, command, want, sentence)
order by c.n;

-- the lanes

select is(pg_temp.refusal(c.command), c.want, c.sentence)
from (values
    (1,  $$ insert into procrastinate_lanes (queue_name, task_name, priority, kind) values ('q', 't', 0, 'fast') $$, '23514', 'a lane is of a known kind'),
    (2,  $$ insert into procrastinate_lanes (queue_name, task_name, priority, kind, state) values ('q', 't', 0, 'plain', 'shut') $$, '23514', 'a lane is open, closed or parked'),
    (3,  $$ insert into procrastinate_lanes (kind) values ('plain') $$,                                              '23514', 'a lane without a name hands over'),
    (4,  $$ insert into procrastinate_lanes (task_name, priority, kind) values ('t', 0, 'plain') $$,                 '23514', 'a lane is of a queue'),
    (5,  $$ insert into procrastinate_lanes (queue_name, priority, kind) values ('q', 0, 'locked') $$,               '23514', 'a lane is of a task'),
    (6,  $$ insert into procrastinate_lanes (queue_name, task_name, kind) values ('q', 't', 'returned') $$,          '23514', 'a lane is of a priority'),
    (7,  $$ update procrastinate_lanes set queue_name = 'q', task_name = 't', priority = 0 where lane = 0 $$,        '23514', 'the hand-over lane is of no queue, task and priority'),
    (8,  $$ insert into procrastinate_lanes (kind) values ('handover') $$,                                           '23514', 'no lane but 0 hands over'),
    (9,  $$ update procrastinate_lanes set kind = 'plain', queue_name = 'q', task_name = 't', priority = 0 where lane = 0 $$, '23514', 'lane 0 does nothing but hand over'),
    (10, $$ update procrastinate_lanes set state = 'closed' where lane = 0 $$,                                       '23514', 'the hand-over lane is never closed')
) c(n, command, want, sentence)
order by c.n;

select results_eq(
    $$ select lane, queue_name, task_name, priority, kind, state from procrastinate_lanes where lane = 0 $$,
    $$ values (0, null::text, null::text, null::integer, 'handover', 'open') $$,
    'there is a hand-over lane from the start');

select * from finish();
rollback;
