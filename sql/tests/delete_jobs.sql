-- Deleting jobs by filter.
begin;
select plan(16);

create temp view left_over as select j.args ->> 'name' as name from procrastinate_jobs j;

select procrastinate_register_worker('w') as worker \gset
insert into procrastinate_jobs (task_name, queue_name, args, status, lock, lock_key, queueing_lock, worker_id, error, started_at, deferred_at, finished_at)
select
    t, q, jsonb_build_object('name', n), s::procrastinate_job_status, l, hashtextextended(l, 0), k, case s when 'doing' then :worker end,
    case s when 'failed' then 'boom' end, case s when 'doing' then now() - o end, now() - o, case when s not in ('todo', 'doing') then now() - o end
from (values
    ('a', 'x', 'q', 'succeeded', null, null, '3 h'::interval), ('b', 'x', 'q', 'failed', null, null, '3 h'), ('c', 'x', 'r', 'cancelled', null, null, '3 h'),
    ('d', 'y', 'q', 'aborted',   null, null, '3 h'),           ('e', 'y', 'q', 'succeeded', null, null, '1 h'), ('f', 'x', 'q', 'doing', 'l', null, '3 h'),
    ('g', 'x', 'q', 'todo',      'l',  'k',  '3 h'),           ('h', 'y', 'q', 'todo',   null, 'i',  '1 h'), ('i', 'y', 'r', 'failed', null, null, '3 h')
) v(n, t, q, s, l, k, o);
insert into procrastinate_attempts (job_id, kind) select j.id, 'failed' from procrastinate_jobs j where j.status <> 'succeeded';
select procrastinate_repair();

-- refused
select throws_ok(format('select procrastinate_delete_jobs(%s)', arguments), 'PJ001', message, sentence)
from (values
    (1, '',                                 'invalid filter: task, queue, statuses and older_than are all NULL', 'what is to be deleted has to be said'),
    (2, $$ statuses => '{doing}' $$,        'invalid statuses: {doing}',          'a running job is not deleted'),
    (3, $$ statuses => '{failed,doing}' $$, 'invalid statuses: {failed,doing}',   'nor among others'),
    (4, $$ statuses => '{done}' $$,         'invalid statuses: {done}',           'nor is a job of a status that there is not')
) v(n, arguments, message, sentence)
order by n;
select is((select count(*) from left_over), 9::bigint, 'what was refused has deleted nothing');

-- done
select is(procrastinate_delete_jobs(task => 'x', queue => 'q'), 2::bigint, 'the jobs of a task and queue that have ended are deleted');
select bag_eq('table left_over', $$ values ('c'), ('d'), ('e'), ('f'), ('g'), ('h'), ('i') $$, 'these, and no others');
select is(procrastinate_delete_jobs(older_than => '2 h', max_jobs => 2), 2::bigint, 'of those that ended long ago so many as are wanted');
select bag_eq('table left_over', $$ values ('e'), ('f'), ('g'), ('h'), ('i') $$, 'those that were deferred first');
select is(procrastinate_delete_jobs(statuses => '{succeeded,failed,cancelled,aborted}'), 2::bigint, 'all that ended when they are named');
select bag_eq(
    $$ select j.args ->> 'name' from procrastinate_attempts a left join procrastinate_jobs j on j.id = a.job_id $$, $$ values ('f'), ('g'), ('h') $$,
    'their attempts are deleted with them');
select is(procrastinate_delete_jobs(statuses => '{todo}', older_than => '2 h'), 1::bigint, 'what waits is deleted when it is named, if it was deferred long ago');
select set_eq(
    $$ select 'waits for a lock' from procrastinate_lock_queue q where not q.held union all select q.queueing_lock from procrastinate_queueing_locks q $$,
    $$ values ('i') $$,
    'it leaves its locks');
select is(procrastinate_delete_jobs(statuses => '{todo,failed}'), 1::bigint, 'or all that waits');
select bag_eq('table left_over', $$ values ('f') $$, 'in the end nothing is left but the job that runs');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
