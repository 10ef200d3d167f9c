-- An operator lets many jobs run once more.
begin;
select plan(17);

create temp view job as
    select j.args ->> 'name' as name, j.status, j.attempts::integer, j.queueing_lock, j.error from procrastinate_jobs j;

select procrastinate_register_worker('w') as worker \gset
insert into procrastinate_jobs (task_name, queue_name, args, status, lock, lock_key, queueing_lock, attempts, error, finished_at)
select
    'send', q, jsonb_build_object('name', n), s::procrastinate_job_status, l, hashtextextended(l, 0), k,
    case s when 'failed' then 2 else 0 end, case s when 'failed' then 'boom' end, case when s <> 'todo' then now() - o end
from (values
    ('a', 'q', 'failed',    'l',  'k',  '3 h'::interval), ('b', 'q', 'failed', 'l',  'k',  '1 h'), ('c', 'q', 'failed',    null, 'i', '3 h'),
    ('d', 'q', 'cancelled', null, null, '3 h'),           ('e', 'r', 'failed', null, null, '3 h'), ('f', 'q', 'succeeded', null, null, '3 h'),
    ('g', 'q', 'aborted',   'l',  null, '3 h'),           ('h', 'q', 'todo',   null, 'i',  null),  ('i', 'q', 'failed',    null, 'j', '3 h')
) v(n, q, s, l, k, o);
select procrastinate_repair();

-- refused
select throws_ok(format('select procrastinate_retry_jobs(%s)', arguments), 'PJ001', message, sentence)
from (values
    (1, '',                               'invalid filter: task, queue, statuses and older_than are all NULL', 'what is to be retried has to be said'),
    (2, $$ schedule_in => '1 h' $$,       'invalid filter: task, queue, statuses and older_than are all NULL', 'when it is to run says nothing of what'),
    (3, $$ statuses => '{succeeded}' $$,  'invalid statuses: {succeeded}',     'what has succeeded is not retried'),
    (4, $$ statuses => '{failed,todo}' $$, 'invalid statuses: {failed,todo}',  'nor what waits'),
    (5, $$ task => 'send', schedule_in => '-1 s' $$, 'invalid schedule_in: -00:00:01', 'jobs are not retried in the past')
) v(n, arguments, message, sentence)
order by n;

-- done
select is(procrastinate_retry_jobs(queue => 'q', older_than => '2 h'), 3::bigint, 'jobs of a queue that failed long ago are retried');
select results_eq(
    'select * from job order by 1',
    $$ values ('a', 'todo'::procrastinate_job_status, 2, 'k', 'boom'), ('b', 'failed', 2, 'k', 'boom'), ('c', 'todo', 2, null, 'boom'),
              ('d', 'cancelled', 0, null, null), ('e', 'failed', 2, null, 'boom'), ('f', 'succeeded', 0, null, null), ('g', 'aborted', 0, null, null),
              ('h', 'todo', 0, 'i', null), ('i', 'todo', 2, 'j', 'boom') $$,
    'their attempts stay counted, a queueing lock that is taken they go without, and no other job is touched');
select results_eq(
    $$ select j.args ->> 'name', a.kind, a.attempt, a.queueing_lock, a.scheduled_at between now() and clock_timestamp()
       from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id order by a.id $$,
    $$ values ('a', 'retried'::procrastinate_attempt_kind, null::integer, null, true), ('c', 'retried', null, 'i', true), ('i', 'retried', null, null, true) $$,
    'each retry is noted');
select is_empty('select * from procrastinate_check()', 'all is well with the retries');
select is(procrastinate_retry_jobs(task => 'send', max_jobs => 1, schedule_in => '1 h'), 1::bigint, 'of those that failed later so many as are wanted');
select results_eq(
    $$ select j.args ->> 'name', j.queueing_lock, round(extract(epoch from j.scheduled_at - clock_timestamp()) / 60)::integer
       from procrastinate_jobs j where j.status = 'todo' and j.scheduled_at > clock_timestamp() $$,
    $$ values ('b', null::text, 60) $$,
    'the one that was deferred first, when it was said');
select is(procrastinate_retry_jobs(statuses => '{cancelled,aborted}'), 2::bigint, 'what was cancelled or aborted is retried when it is named');
select is(procrastinate_retry_jobs(statuses => '{failed}', queue => 'r'), 1::bigint, 'and what failed in another queue');
select is(procrastinate_retry_jobs(statuses => '{failed,cancelled,aborted}'), 0::bigint, 'nothing is left');
select results_eq(
    'select status, count(*)::integer from job group by 1 order by 1', $$ values ('todo'::procrastinate_job_status, 8), ('succeeded', 1) $$,
    'but the job that has succeeded');
select bag_eq(
    format($$ select f.args ->> 'name' from procrastinate_fetch_jobs(%s, 20) f $$, :worker), $$ values ('a'), ('c'), ('d'), ('e'), ('h'), ('i') $$,
    'those that are due are fetched, of those with one lock the first');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
