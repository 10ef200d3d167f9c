-- Cancelling waiting jobs, and asking running ones to stop, by filter.
begin;
select plan(24);

select procrastinate_register_worker('w') as worker \gset
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, queue => q, lock => l, queueing_lock => n, schedule_in => s)
from (values
    ('a', 'q', 'l', null), ('b', 'q', 'l', null), ('c', 'q', null, null), ('d', 'q', null, '1 h'::interval), ('e', 'r', null, null), ('f', 'r', 'm', null)
) v(n, q, l, s);
update procrastinate_jobs j
set status = 'doing', worker_id = :worker, started_at = clock_timestamp()
where j.args ->> 'name' in ('a', 'e');
select procrastinate_repair();

-- refused
select throws_ok('select procrastinate_cancel_jobs()', 'PJ001', 'invalid filter: task, queue, statuses and older_than are all NULL', 'what is to be cancelled has to be said');
select throws_ok('select procrastinate_cancel_jobs(abort => true, max_jobs => 9)', 'PJ001', 'invalid filter: task, queue, statuses and older_than are all NULL', 'what is to be aborted too');
select throws_ok($$ select procrastinate_cancel_jobs(statuses => '{todo,doing}') $$, 'PJ001', 'invalid statuses: {todo,doing}', 'running jobs are not cancelled unless their abort is wanted');
select throws_ok($$ select procrastinate_cancel_jobs(statuses => '{doing}', abort => null) $$, 'PJ001', 'invalid statuses: {doing}', 'nor when nobody knows whether it is');
select throws_ok(format('select procrastinate_cancel_jobs(%s)', arguments), 'PJ001', message, sentence)
from (values
    (1, $$ statuses => '{failed}' $$,             'invalid statuses: {failed}',  'what has ended is not cancelled'),
    (2, $$ statuses => '{todo,aborting}' $$,      'invalid statuses: {todo,aborting}', 'nor what no job ever is'),
    (3, $$ statuses => '{}' $$,                   'invalid statuses: {}',        'no status at all is not a status'),
    (4, $$ statuses => '{todo,null}' $$,          'invalid statuses: {todo,NULL}', 'nor is NULL'),
    (5, $$ task => '' $$,                         'invalid task: empty',         'a task has a name'),
    (6, $$ queue => repeat('x', 129) $$,          'invalid queue: 129 characters', 'a queue has one, and no longer one'),
    (7, $$ older_than => '-1 s' $$,               'invalid older_than: -00:00:01', 'nothing is younger than now'),
    (8, $$ statuses => '{todo}', max_jobs => 0 $$, 'invalid max_jobs: 0',         'no job is not a number of jobs'),
    (9, $$ task => 'send', max_jobs => null $$,   'invalid max_jobs: NULL',      'nor is NULL')
) v(n, arguments, message, sentence)
order by n;

-- done
select is(procrastinate_cancel_jobs(task => 'send', older_than => '1 h'), 0::bigint, 'what was deferred lately is not cancelled with what was long ago');
select is(procrastinate_cancel_jobs(queue => 'q'), 3::bigint, 'the waiting jobs of a queue are cancelled, due or not');
select results_eq(
    $$ select j.args ->> 'name', j.status, a.kind from procrastinate_jobs j left join procrastinate_attempts a on a.job_id = j.id order by 1 $$,
    $$ values ('a', 'doing'::procrastinate_job_status, null::procrastinate_attempt_kind), ('b', 'cancelled', 'cancelled'), ('c', 'cancelled', 'cancelled'),
              ('d', 'cancelled', 'cancelled'), ('e', 'doing', null), ('f', 'todo', null) $$,
    'each end is noted, and no other job is touched');
select set_eq('select queueing_lock from procrastinate_queueing_locks', $$ values ('f') $$, 'they let their queueing locks go');
select set_eq(
    $$ select j.args ->> 'name', q.held from procrastinate_lock_queue q join procrastinate_jobs j on j.id = q.job_id $$, $$ values ('a', true), ('f', false) $$,
    'they leave their locks');
select is(procrastinate_cancel_jobs(task => 'send', max_jobs => 2, abort => true), 2::bigint, 'with abort running ones are asked to stop, and waiting ones cancelled, so many as are wanted');
select results_eq(
    $$ select j.args ->> 'name', a.kind, a.attempt, a.worker_id, a.started_at = j.started_at from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id
       where a.kind = 'abort_requested' order by 1 $$,
    format($$ values ('a', 'abort_requested'::procrastinate_attempt_kind, 1, %1$s::bigint, true), ('e', 'abort_requested', 1, %1$s, true) $$, :worker),
    'each request is noted');
select results_eq(
    $$ values (procrastinate_cancel_jobs(task => 'send', abort => true)), (procrastinate_cancel_jobs(task => 'send', abort => true)) $$, $$ values (1::bigint), (0) $$,
    'called again it does the rest, and then nothing, though jobs still run that were asked to stop');
select results_eq(
    $$ select j.args ->> 'name', j.status, j.abort_requested from procrastinate_jobs j where j.args ->> 'name' > 'd' or j.status <> 'cancelled' order by 1 $$,
    $$ values ('a', 'doing'::procrastinate_job_status, true), ('e', 'doing', true), ('f', 'cancelled', false) $$,
    'these go on until their handlers have stopped');
select results_eq(
    format('select b from procrastinate_beat(%s) b order by 1', :worker),
    'select j.id from procrastinate_jobs j where j.abort_requested order by 1',
    'their worker is told');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
