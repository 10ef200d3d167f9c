begin;
select plan(93);

create function pg_temp.refusal(p_sql text)
returns text
language plpgsql
as $function$
begin
    execute p_sql;
    return 'accepted';
exception when others then
    return sqlstate || ' ' || split_part(sqlerrm, ':', 1);
end;
$function$;

-- the templates of locks

select is(procrastinate_fill_template(c.template, c.args::jsonb), c.want, c.sentence)
from (values
    (1,  'plain',           '{}',                                'plain',      'a lock without braces is taken as it is'),
    (2,  '',                '{}',                                '',           'an empty lock stays empty'),
    (3,  '{a}',             '{"a": "x"}',                        'x',          'an argument stands for its name in braces'),
    (4,  'customer-{id}',   '{"id": 42}',                        'customer-42', 'a number is written as it is'),
    (5,  '{a}-{b}-{a}!',    '{"a": "x", "b": "y"}',              'x-y-x!',     'names are replaced wherever they stand'),
    (6,  '{a}{b}',          '{"a": "x", "b": "y"}',              'xy',         'two names may stand side by side'),
    (7,  '{a}',             '{"a": "{b}", "b": "y"}',            '{b}',        'the value of an argument is not looked into'),
    (8,  '{a}{b}',          '{"a": "{", "b": "b}"}',             '{b}',        'values do not make a name together'),
    (9,  '{a}',             '{"a": true}',                       'true',       'a boolean is written as JSON writes it'),
    (10, '{a}',             '{"a": 1.50}',                       '1.50',       'a number keeps its zeros'),
    (11, '{a}',             '{"a": ""}',                         '',           'an empty argument is an argument'),
    (12, '{a}',             '{"a": {"b": 1}}',                   '{"b": 1}',   'an object is written as JSON'),
    (13, '{a}',             '{"a": [1, 2]}',                     '[1, 2]',     'an array is written as JSON'),
    (14, '{a b.c-ü}',       '{"a b.c-ü": "x"}',                  'x',          'a name may have any characters but braces'),
    (15, '{a}',             '{"a": "\\1 & $1 %s %I"}',           '\1 & $1 %s %I', 'the value of an argument is no pattern and no format'),
    (16, E'a\nb{a}\nc',     '{"a": "x"}',                        E'a\nbx\nc',  'a template may have lines')
) c(n, template, args, want, sentence)
order by c.n;

select throws_ok(
    $$ select procrastinate_fill_template('customer-{customer_id}', '{"customer": 1}') $$,
    'PJ008', 'args lack customer_id, which the lock of the task names',
    'an argument that is absent is named');
select throws_ok(
    $$ select procrastinate_fill_template('{a}-{b}', '{"a": 1, "b": null}') $$,
    'PJ008', 'args lack b, which the lock of the task names',
    'an argument that is null is as good as absent');
select is(pg_temp.refusal(format('select procrastinate_fill_template(%L, %L)', '{a}', c.args)), 'PJ008 args lack a, which the lock of the task names', c.sentence)
from (values (1, '{"A": 1}', 'the case of names counts'), (2, '["a"]', 'an array has no arguments'), (3, '"a"', 'a string has no arguments'),
             (4, '{"b": {"a": 1}}', 'an argument''s argument does not count')) c(n, args, sentence)
order by c.n;

-- when a job is to run

select is(procrastinate_due_at(null, null), null, 'a job without a time is due at once');
select is(procrastinate_due_at('2001-02-03 04:05:06Z', null), '2001-02-03 04:05:06Z', 'schedule_at is taken as it is');
select ok(
    procrastinate_due_at(null, '1 hour') between now() + interval '1 hour' and clock_timestamp() + interval '1 hour',
    'schedule_in counts from the moment of the call');
select isnt(
    procrastinate_due_at(null, '1 hour'), now() + interval '1 hour',
    'schedule_in does not count from the beginning of the transaction');
select throws_ok(
    $$ select procrastinate_due_at(now(), '1 hour') $$,
    'PJ001', 'invalid schedule_in: schedule_at is given too',
    'schedule_at and schedule_in are not given together');

-- what is refused, one by one and in an array, and what just not

create temp table bad as
select *
from (values
    (1,  $$ task => null $$,                             $$ {"task": null} $$,                                        'PJ001 invalid task',          'a task''s name is given'),
    (2,  $$ task => '' $$,                               $$ {"task": ""} $$,                                          'PJ001 invalid task',          'a task''s name is not empty'),
    (3,  $$ task => repeat('t', 129) $$,                 replace($$ {"task": "T"} $$, 'T', repeat('t', 129)),         'PJ001 invalid task',          'a task''s name has at most 128 characters'),
    (4,  $$ task => 'a', args => '[1]' $$,               $$ {"task": "a", "args": [1]} $$,                            'PJ008 args of task a are a JSON array, not an object', 'args are not an array'),
    (5,  $$ task => 'a', args => '"x"' $$,               $$ {"task": "a", "args": "x"} $$,                            'PJ008 args of task a are a JSON string, not an object', 'args are not a string'),
    (6,  $$ task => 'a', queue => '' $$,                 $$ {"task": "a", "queue": ""} $$,                            'PJ001 invalid queue',         'a queue''s name is not empty'),
    (7,  $$ task => 'a', queue => repeat('q', 129) $$,   replace($$ {"task": "a", "queue": "Q"} $$, 'Q', repeat('q', 129)), 'PJ001 invalid queue',   'a queue''s name has at most 128 characters'),
    (8,  $$ task => 'a', lock => repeat('é', 513) $$,    replace($$ {"task": "a", "lock": "L"} $$, 'L', repeat('é', 513)), 'PJ001 invalid lock',     'a lock has at most 1024 bytes'),
    (9,  $$ task => 'a', queueing_lock => repeat('é', 513) $$, replace($$ {"task": "a", "queueing_lock": "L"} $$, 'L', repeat('é', 513)), 'PJ001 invalid queueing_lock', 'a queueing lock has at most 1024 bytes'),
    (10, $$ task => 'a', schedule_at => 'infinity' $$,   $$ {"task": "a", "schedule_at": "infinity"} $$,              'PJ001 invalid schedule_at',   'schedule_at is not infinity'),
    (11, $$ task => 'a', schedule_at => '-infinity' $$,  $$ {"task": "a", "schedule_at": "-infinity"} $$,             'PJ001 invalid schedule_at',   'schedule_at is not minus infinity'),
    (12, $$ task => 'a', schedule_at => now(), schedule_in => '1 s' $$, $$ {"task": "a", "schedule_at": "2030-01-01", "schedule_in": "1 s"} $$, 'PJ001 invalid schedule_in', 'schedule_at and schedule_in are not given together'),
    (13, $$ task => 'a', schedule_in => '-1 s' $$,       $$ {"task": "a", "schedule_in": "-1 s"} $$,                  'PJ001 invalid schedule_in',   'schedule_in is not negative'),
    (14, $$ task => 'a', schedule_in => '100 years 1 s' $$, $$ {"task": "a", "schedule_in": "100 years 1 s"} $$,      'PJ001 invalid schedule_in',   'schedule_in is at most a century'),
    (15, $$ task => 'a', max_attempts => 0 $$,           $$ {"task": "a", "max_attempts": 0} $$,                      'PJ001 invalid max_attempts',  'a job runs at least once'),
    (16, $$ task => 'a', max_attempts => -1 $$,          $$ {"task": "a", "max_attempts": -1} $$,                     'PJ001 invalid max_attempts',  'a job does not run a negative number of times'),
    (17, $$ task => 'a', timeout => '0' $$,              $$ {"task": "a", "timeout": "0"} $$,                         'PJ001 invalid timeout',       'a timeout is longer than nothing'),
    (18, $$ task => 'a', timeout => '-1 h' $$,           $$ {"task": "a", "timeout": "-1 h"} $$,                      'PJ001 invalid timeout',       'a timeout is not negative'),
    (19, $$ task => 'a', timeout => '101 years' $$,      $$ {"task": "a", "timeout": "101 years"} $$,                 'PJ001 invalid timeout',       'a timeout is at most a century'),
    (20, $$ task => 'a', on_conflict => 'ignore' $$,     $$ {"task": "a", "on_conflict": "ignore"} $$,                'PJ001 invalid on_conflict',   'on_conflict is a known word'),
    (21, $$ task => 'a', on_conflict => '' $$,           $$ {"task": "a", "on_conflict": ""} $$,                      'PJ001 invalid on_conflict',   'on_conflict is not empty'),
    (22, $$ task => 'a', metadata => '[]' $$,            $$ {"task": "a", "metadata": []} $$,                         'PJ001 invalid metadata',      'metadata are an object')
) c(n, args, json, want, sentence);

select is(pg_temp.refusal('select procrastinate_defer(' || b.args || ')'), b.want, b.sentence)
from bad b
order by b.n;

-- the good job before it is not deferred either
select is(
    pg_temp.refusal(format('select procrastinate_defer_many(%L)', '[{"task": "good"}, ' || b.json || ']')),
    case b.n when 1 then 'PJ001 invalid jobs' else b.want end, b.sentence || ', in an array')
from bad b
order by b.n;

select is_empty(
    $$ select 'job', id from procrastinate_jobs union all select 'token', id from procrastinate_tokens union all
       select 'agenda', id from procrastinate_agenda union all select 'lock queue', job_id from procrastinate_lock_queue union all
       select 'queueing lock', job_id from procrastinate_queueing_locks $$,
    'of what was refused nothing is written');

select is(pg_temp.refusal('select procrastinate_defer(' || c.args || ')'), 'accepted', c.sentence)
from (values
    (1, $$ repeat('é', 128), queue => repeat('é', 128) $$,                            'names may have 128 characters of any size'),
    (2, $$ 'a', lock => repeat('é', 512), queueing_lock => repeat('é', 512) $$,       'locks may have 1024 bytes'),
    (3, $$ 'a', schedule_in => '100 years', timeout => '100 years' $$,                'spans may be a century'),
    (4, $$ 'a', schedule_in => '0', timeout => '1 ms', max_attempts => 1 $$,          'a job may wait for nothing, run for a millisecond and only once'),
    (5, $$ 'a', schedule_at => '294276-12-31' $$,                                     'a job may be due at the last day that there is'),
    (6, $$ 'a', schedule_at => '4713-01-01 BC' $$,                                    'a job may be due since the first year that there was'),
    (7, $$ 'a', priority => -2147483648 $$,                                           'a priority may be the least integer')
) c(n, args, sentence)
order by c.n;
select lives_ok('select procrastinate_tick()', 'no job that was accepted stops the clockwork');

-- the hints of many, of all sorts at once

create function pg_temp.forget() returns void language sql as
    $$ delete from procrastinate_jobs; delete from procrastinate_tokens; delete from procrastinate_agenda; delete from procrastinate_lock_queue;
       delete from procrastinate_queueing_locks $$;
create temp table mixed as
select n, to_jsonb(m) - 'n' as job
from (values
    (1,  'a', null::text, null::integer, null::text, null::text, null::timestamptz),
    (2,  'a', null, null, 'l',  null, null),
    (3,  'a', null, null, null, 'q3', timestamptz '2101-01-01'),
    (4,  'a', 'q',  null, 'l',  'q4', null),
    (5,  'a', null, 7,    null, 'q5', '2001-01-01'),
    (6,  'b', null, null, 'm',  null, '2101-01-01'),
    (7,  'b', null, null, null, null, null),
    (8,  'a', null, null, null, null, null),
    (9,  'a', null, null, 'l',  null, '2001-01-01'),
    (10, 'b', 'q',  -9,   '',   'q1', '2102-01-01'),
    (11, 'b', 'q',  -7,   '',   null, null)
) m(n, task, queue, priority, lock, queueing_lock, schedule_at);
update mixed set job = jsonb_strip_nulls(job) || jsonb_build_object('args', jsonb_build_object('n', n));

create temp view hint as
with job as (
    select (j.args ->> 'n')::integer as n, j.* from procrastinate_jobs j
)
select j.n, 'agenda' as place, a.at::text as what from procrastinate_agenda a join job j using (id)
union all
select j.n, 'lock queue', concat_ws(' ', q.key = hashtextextended(j.lock, 0), q.held, q.priority) from procrastinate_lock_queue q join job j on j.id = q.job_id
union all
select j.n, 'queueing lock', q.queueing_lock from procrastinate_queueing_locks q join job j on j.id = q.job_id
union all
select j.n, 'token', concat_ws('/', l.kind, l.queue_name, l.task_name, l.priority)
from procrastinate_tokens t
join procrastinate_lanes l using (lane)
join job j on l.kind = 'plain' and t.id = j.id
           or l.kind = 'locked' and t.id = hashtextextended(j.lock, 0) and (l.queue_name, l.task_name, l.priority) = (j.queue_name, j.task_name, j.priority);

select pg_temp.forget();
create temp table id as
select d.n, d.id from procrastinate_defer_many((select jsonb_agg(m.job order by m.n) from mixed m)) with ordinality d(id, n);
select results_eq(
    'select (j.args ->> $d$n$d$)::integer from id join procrastinate_jobs j using (id) order by id.n', 'select n from mixed order by n',
    'jobs of all sorts are deferred, and their ids returned in the order given');
select is_empty('select n from id i where exists (select from id x where x.n < i.n and x.id > i.id)', 'which is that of the ids');
select results_eq(
    'select n, what from hint where place = $d$agenda$d$ order by 1',
    $$ select n, timestamptz (case n when 10 then '2102-01-01' else '2101-01-01' end)::text from unnest('{3,6,10}'::integer[]) n $$,
    'those of the future are in the agenda, each at its time');
select results_eq(
    'select n, what from hint where place = $d$lock queue$d$ order by 1',
    $$ values (2, 't f 0'), (4, 't f 0'), (9, 't f 0'), (11, 't f -7') $$,
    'those that are due and have a lock wait in the lock queue');
select results_eq(
    'select n, what from hint where place = $d$queueing lock$d$ order by 1', $$ values (3, 'q3'), (4, 'q4'), (5, 'q5'), (10, 'q1') $$,
    'those with a queueing lock have it, due or not');
select set_eq(
    'select n, what from hint where place = $d$token$d$',
    $$ values (1, 'plain/default/a/0'), (2, 'locked/default/a/0'), (4, 'locked/q/a/0'), (5, 'plain/default/a/7'), (7, 'plain/default/b/0'),
              (8, 'plain/default/a/0'), (9, 'locked/default/a/0'), (11, 'locked/q/b/-7') $$,
    'those that are due have a token each, in the lane of their queue, task, priority and kind');
select is((select count(*) from procrastinate_tokens), 8::bigint, 'and there is no other token');
select is_empty('select * from procrastinate_jobs j where j.lock_key is distinct from hashtextextended(j.lock, 0)', 'each has the key of its lock, if it has one');
select is_empty('select * from procrastinate_check()', 'all is well');

create temp table many as select * from hint;
create temp table many_jobs as select to_jsonb(j) - '{id,deferred_at}'::text[] as job from procrastinate_jobs j;
select pg_temp.forget();
do $do$
declare
    v_job jsonb;
begin
    for v_job in select m.job from mixed m order by m.n loop
        perform procrastinate_defer(
            v_job ->> 'task', v_job -> 'args', v_job ->> 'queue', (v_job ->> 'priority')::integer, v_job ->> 'lock', v_job ->> 'queueing_lock',
            (v_job ->> 'schedule_at')::timestamptz);
    end loop;
end;
$do$;
select bag_eq('select * from hint', 'select * from many', 'deferred one by one they get the same hints');
select bag_eq('select to_jsonb(j) - $d${id,deferred_at}$d$::text[] from procrastinate_jobs j', 'select job from many_jobs', 'and are the same');
select results_eq('select d::bigint from procrastinate_insert_jobs($d${}$d$) d', 'select 0::bigint where false', 'no jobs are no work');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
