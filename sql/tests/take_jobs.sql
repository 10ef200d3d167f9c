-- Which jobs a filter means, and where they are looked for.
begin;
select plan(24);

insert into procrastinate_jobs
    (id, task_name, queue_name, status, lock, lock_key, worker_id, abort_requested, error, scheduled_at, deferred_at, started_at, finished_at)
select
    j.id, j.task, j.queue, j.status::procrastinate_job_status, j.lock, hashtextextended(j.lock, 0), case when j.status = 'doing' then -1 end,
    j.asked, j.error, now() + j.later, now() - j.deferred, now() - j.started, now() - j.finished
from (values
    (1,  'a', 'q', 'todo',      null, false, null,   null::interval, '5 h'::interval, null::interval, null::interval),
    (2,  'b', 'q', 'todo',      'l',  false, 'boom', null,           '9 h',           '1 h',          null),
    (3,  'a', 'r', 'todo',      null, false, null,   '1 h',          '1 h',           null,           null),
    (4,  'a', 'r', 'doing',     'm',  false, null,   null,           '9 h',           '5 h',          null),
    (5,  'a', 'q', 'doing',     null, true,  null,   null,           '9 h',           '5 h',          null),
    (6,  'b', 'q', 'doing',     null, false, 'boom', null,           '9 h',           '1 h',          null),
    (7,  'a', 'q', 'succeeded', null, false, 'boom', null,           '9 h',           '9 h',          '5 h'),
    (8,  'b', 'q', 'succeeded', null, false, null,   null,           '9 h',           '9 h',          '1 h'),
    (9,  'a', 'r', 'failed',    null, false, 'boom', null,           '9 h',           '9 h',          '5 h'),
    (10, 'b', 'q', 'failed',    'l',  false, 'boom', null,           '9 h',           '9 h',          '1 h'),
    (11, 'a', 'q', 'cancelled', null, false, null,   null,           '9 h',           null,           '5 h'),
    (12, 'b', 'r', 'aborted',   null, false, null,   null,           '9 h',           '9 h',          '5 h')
) j(id, task, queue, status, lock, asked, error, later, deferred, started, finished);
select procrastinate_repair() \g /dev/null

create temp table filter (n integer, task text, queue text, statuses procrastinate_job_status[], older_than interval, want bigint[], sentence text);
insert into filter values
    (1,  null, null, '{todo}',                              null,  '{1,2,3}',         'all that wait are meant, in any queue, due or not, with a lock or without'),
    (2,  'a',  null, '{todo}',                              null,  '{1,3}',           'or those of a task'),
    (3,  null, 'q',  '{todo}',                              null,  '{1,2}',           'or those of a queue'),
    (4,  'a',  'q',  '{todo}',                              null,  '{1}',             'or of both'),
    (5,  null, null, '{todo}',                              '2 h', '{1,2}',           'or those deferred long ago'),
    (6,  null, null, '{doing}',                             null,  '{4,6}',           'of those that run, those that were not asked to stop'),
    (7,  null, null, '{doing}',                             '2 h', '{4}',             'or those that were started long ago'),
    (8,  null, null, '{todo,doing}',                        null,  '{1,2,3,4,6}',     'what waits and what runs are meant together'),
    (9,  null, null, '{failed}',                            null,  '{9,10}',          'of those with an error those that failed'),
    (10, 'a',  null, '{failed}',                            null,  '{9}',             'or those of a task that failed'),
    (11, null, null, '{failed}',                            '2 h', '{9}',             'or those that failed long ago'),
    (12, null, null, '{succeeded,failed,cancelled,aborted}', '2 h', '{7,9,11,12}',    'or all that ended long ago'),
    (13, 'b',  null, '{todo,failed}',                       null,  '{2,10}',          'a task''s jobs of statuses that have little in common'),
    (14, null, 'x',  '{todo,doing}',                        null,  '{}',              'in a queue that never was there is nothing');
create temp view wrong as
select f.sentence, t.got, f.want
from filter f
cross join lateral (select procrastinate_take_jobs('try', f.task, f.queue, f.statuses, f.older_than, 100) as got) t
where t.got <> f.want;

select is(procrastinate_take_jobs('try', f.task, f.queue, f.statuses, f.older_than, 100), f.want, f.sentence) from filter f order by f.n;
select is(procrastinate_take_jobs('try', null, null, '{todo}', null, 2), '{1,2}', 'at most so many as are wanted');

-- where to look
select results_eq(
    $$ values (procrastinate_few_jobs(null, null, '{todo}')), (procrastinate_few_jobs('b', null, '{todo}')), (procrastinate_few_jobs(null, null, '{doing}')),
              (procrastinate_few_jobs(null, 'q', '{failed}')), (procrastinate_few_jobs('a', null, '{succeeded}')), (procrastinate_few_jobs(null, 'q', '{succeeded}')) $$,
    $$ values ('{1,2,3}'::bigint[]), ('{2,3}'), ('{4,5,6}'), ('{2,6,7,9,10}'), ('{1,3,4,5,7,9,11}'), (null) $$,
    'what waits or runs is found by the hints, and whatever else they name, what failed by its error, a task''s jobs by its name');
insert into procrastinate_agenda (at, id) select '2101-01-01', 3 from generate_series(1, 100001 - 4);
select is(cardinality(procrastinate_few_jobs(null, null, '{todo}')), 3, 'a hundred thousand hints are few');
insert into procrastinate_agenda (at, id) values ('2101-01-01', 3);
select results_eq(
    $$ values (procrastinate_few_jobs(null, null, '{todo}')), (procrastinate_few_jobs('a', null, '{todo}')) $$,
    $$ values (null::bigint[]), ('{1,3,4,5,7,9,11}') $$,
    'one more is not, unless the task has few jobs');

-- as if there were many of everything
create or replace function procrastinate_few_jobs(p_task text, p_queue text, p_statuses procrastinate_job_status[]) returns bigint[]
language sql as 'select null::bigint[]';
select is_empty('table wrong', 'a walk over all jobs finds the same');

create function pg_temp.take(p_act text, p_max_jobs integer) returns bigint[] language sql as
    $$ select procrastinate_take_jobs(p_act, null, null, '{failed,succeeded}', null, p_max_jobs) $$;
select results_eq(
    $$ values (pg_temp.take('a', 2)), (pg_temp.take('a', 1)) $$, $$ values ('{7,8}'::bigint[]), ('{9}') $$,
    'the next call begins where the last one ended');
select is(pg_temp.take('a', 3), '{10,7,8}', 'from the end it turns to the beginning');
select is(pg_temp.take('b', 1), '{7}', 'another one begins at the beginning');
select results_eq(
    $$ values (pg_temp.take('b', 9)), (pg_temp.take('b', 1)) $$, $$ values ('{8,9,10,7}'::bigint[]), ('{7}') $$,
    'one that found fewer than it wanted has been everywhere, and the next begins anew');
select set_config('procrastinate.bulk_place', '10', false) \g /dev/null
select is(pg_temp.take('b', 9), '{7,8,9,10}', 'wherever the session says that the last one ended, all are found');

select * from finish();
rollback;
