-- Retention by hand.
begin;
select plan(11);

create temp view left_over as select j.args ->> 'name' as name from procrastinate_jobs j;

insert into procrastinate_jobs (task_name, queue_name, args, status, error, deferred_at, finished_at)
select
    'send', q, jsonb_build_object('name', n), s::procrastinate_job_status, case s when 'failed' then 'boom' end, now() - interval '9 days',
    case when s <> 'todo' then now() - o end
from (values
    ('a', 'q', 'succeeded', '3 days'::interval), ('b', 'r', 'succeeded', '3 days'), ('c', 'q', 'failed', '3 days'),
    ('d', 'q', 'cancelled', '3 days'),           ('e', 'q', 'aborted',   '3 days'), ('f', 'q', 'todo',   null), ('g', 'q', 'succeeded', '1 day')
) v(n, q, s, o);
select procrastinate_repair();

select throws_ok(format('select procrastinate_prune_jobs(%s)', arguments), 'PJ001', message, sentence)
from (values
    (1, 'null',                                       'invalid older_than: NULL',       'how long ago has to be said'),
    (2, $$ '1 day', statuses => '{todo}' $$,          'invalid statuses: {todo}',       'what waits is not pruned'),
    (3, $$ '1 day', statuses => '{failed,doing}' $$,  'invalid statuses: {failed,doing}', 'nor what runs'),
    (4, $$ '-1 day' $$,                               'invalid older_than: -1 days',    'nothing is younger than now')
) v(n, arguments, message, sentence)
order by n;

select is(procrastinate_prune_jobs('2 days', '{succeeded,aborted}', 'q'), 2::bigint, 'of a queue are pruned the jobs of some statuses that ended long ago');
select bag_eq('table left_over', $$ values ('b'), ('c'), ('d'), ('f'), ('g') $$, 'these, and no others');
select is(procrastinate_prune_jobs('2 days', max_jobs => 1), 1::bigint, 'so many as are wanted');
select is(procrastinate_prune_jobs('2 days'), 2::bigint, 'or all');
select bag_eq('table left_over', $$ values ('f'), ('g') $$, 'what waits and what ended lately are left');
select is(procrastinate_prune_jobs('0'), 1::bigint, 'no time at all means all that ended');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
