-- That a second defer of a queueing lock waits for an open one needs two sessions: the Go tests.
begin;
select plan(99);

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

create temp table made (name text primary key, id bigint);

-- What a job is, by its name here.
create temp view job as
select
    m.name, j.task_name::text, j.args::jsonb, j.queue_name::text, j.priority, j.lock::text, j.queueing_lock::text, j.scheduled_at::timestamptz,
    j.max_attempts::integer, j.timeout, j.metadata::jsonb, j.status::text
from made m join procrastinate_jobs j using (id)
where m.name <> 'worker'    -- whose id may be a job's, too
order by m.name;

-- one job

insert into made values ('least', procrastinate_defer('a'));
select results_eq(
    'table job',
    $$ values ('least', 'a', '{}'::jsonb, 'default', 0, null::text, null::text, null::timestamptz, null::integer, null::interval, '{}'::jsonb, 'todo') $$,
    'a job needs nothing but a task');
select results_eq(
    $$ select j.attempts::integer, j.rescues::integer, j.abort_requested, j.deferred_at between now() and clock_timestamp(),
              num_nulls(j.worker_id, j.started_at, j.finished_at, j.error, j.result) from procrastinate_jobs j join made using (id) $$,
    $$ values (0, 0, false, true, 5) $$,
    'a job that was deferred has done nothing yet');
select is((select max(id) from procrastinate_jobs), (select id from made), 'defer returns the id of the job');
truncate made;

insert into made values ('full', procrastinate_defer(
    'b', '{"x": 1}', queue => 'q', priority => -5, lock => 'l', queueing_lock => 'ql', schedule_at => '2001-02-03 04:05:06Z',
    max_attempts => 7, timeout => '8 min', on_conflict => 'error', metadata => '{"y": 2}'));
select results_eq(
    'table job',
    $$ values ('full', 'b', '{"x": 1}'::jsonb, 'q', -5, 'l', 'ql', '2001-02-03 04:05:06Z'::timestamptz, 7, '8 min'::interval, '{"y": 2}'::jsonb, 'todo') $$,
    'each word of a defer is stored in its place');
select results_eq(
    $$ select q.queueing_lock::text, m.name from procrastinate_queueing_locks q join made m on m.id = q.job_id $$,
    $$ values ('ql', 'full') $$,
    'the waiting job has its queueing lock');
truncate made;

insert into made values ('nulls', procrastinate_defer(
    'a', null, queue => null, priority => null, lock => null, queueing_lock => null, schedule_at => null, schedule_in => null,
    max_attempts => null, timeout => null, on_conflict => null, metadata => null));
select results_eq(
    'table job',
    $$ values ('nulls', 'a', '{}'::jsonb, 'default', 0, null::text, null::text, null::timestamptz, null::integer, null::interval, '{}'::jsonb, 'todo') $$,
    'a NULL is as good as nothing said');
truncate made;

insert into made values ('in', procrastinate_defer('a', schedule_in => '1 hour'));
select ok(
    scheduled_at between now() + interval '1 hour' and clock_timestamp() + interval '1 hour',
    'schedule_in counts from the call')
from job;
truncate made;

-- what the task says

select procrastinate_define_task('t', queue => 'tq', priority => 3, lock => 'customer-{id}', max_attempts => 4, timeout => '5 s');
insert into made values
    ('1 defaults', procrastinate_defer('t', '{"id": 6}')),
    ('2 own',      procrastinate_defer('t', '{}', queue => 'q', priority => 0, lock => '', max_attempts => 1, timeout => '1 s')),
    ('3 another',  procrastinate_defer('u', '{"id": 6}'));
select results_eq(
    'select name, queue_name, priority, lock, max_attempts, timeout from job',
    $$ values ('1 defaults', 'tq', 3, 'customer-6', 4, '5 s'::interval), ('2 own', 'q', 0, '', 1, '1 s'), ('3 another', 'default', 0, null, null, null) $$,
    'what is not said comes from the task''s definition, what is said does not');
select throws_ok(
    $$ select procrastinate_defer('t', '{"ID": 6}') $$,
    'PJ008', 'args lack id, which the lock of the task names',
    'an argument that the task''s lock names must be there');
select throws_ok(
    $$ select procrastinate_defer('t', '["id"]') $$,
    'PJ008', null,
    'args that are not an object have no argument for the lock');
select is(
    pg_temp.refusal(format('select procrastinate_defer(%L, %L)', 't', jsonb_build_object('id', repeat('x', 1016)))), 'PJ001 invalid lock',
    'a lock that grows too large with its arguments is refused');
truncate made;

select procrastinate_define_task('*', queue => 'all', priority => 9, lock => 'one', max_attempts => 2, timeout => '9 s');
insert into made values ('1 all', procrastinate_defer('u')), ('2 task', procrastinate_defer('t', '{"id": 1}'));
select results_eq(
    'select name, queue_name, priority, lock, max_attempts, timeout from job',
    $$ values ('1 all', 'all', 9, 'one', 2, '9 s'::interval), ('2 task', 'tq', 3, 'customer-1', 4, '5 s') $$,
    'what the task does not say comes from *');
insert into made select 'many ' || n, id
from procrastinate_defer_many('[{"task": "u"}, {"task": "t", "args": {"id": 1}}, {"task": "t", "queue": "q", "priority": 0, "lock": "", "max_attempts": 1, "timeout": "1 s"}]') with ordinality d(id, n);
select results_eq(
    $$ select name, queue_name, priority, lock, max_attempts, timeout from job where name like 'many%' $$,
    $$ values ('many 1', 'all', 9, 'one', 2, '9 s'::interval), ('many 2', 'tq', 3, 'customer-1', 4, '5 s'), ('many 3', 'q', 0, '', 1, '1 s') $$,
    'jobs of an array are completed likewise');
select throws_ok(
    $$ select procrastinate_defer_many('[{"task": "u"}, {"task": "t"}]') $$,
    'PJ008', 'args lack id, which the lock of the task names',
    'an argument that the task''s lock names must be there in an array');
select procrastinate_define_task('t', max_attempts => 99), procrastinate_drop_task('*');
select is((select max_attempts from job where name = '2 task'), 4, 'a definition does not change the jobs that were deferred before it');
truncate made;

-- many

insert into made select n::text, id
from procrastinate_defer_many('[
    {"task": "c", "args": {"x": 1}, "queue": "q", "priority": -5, "lock": "l", "queueing_lock": "many", "schedule_at": "2001-02-03 04:05:06Z",
     "max_attempts": 7, "timeout": "8 min", "on_conflict": "error", "metadata": {"y": 2}},
    {"task": "b"},
    {"task": "a", "args": null, "queue": null, "priority": null, "lock": null, "queueing_lock": null, "schedule_at": null, "schedule_in": null,
     "max_attempts": null, "timeout": null, "on_conflict": null, "metadata": null},
    {"task": "b", "priority": "4", "lock": 5}]') with ordinality d(id, n);
select results_eq(
    'table job',
    $$ values ('1', 'c', '{"x": 1}'::jsonb, 'q', -5, 'l', 'many', '2001-02-03 04:05:06Z'::timestamptz, 7, '8 min'::interval, '{"y": 2}'::jsonb, 'todo'),
              ('2', 'b', '{}', 'default', 0, null, null, null, null, null, '{}', 'todo'),
              ('3', 'a', '{}', 'default', 0, null, null, null, null, null, '{}', 'todo'),
              ('4', 'b', '{}', 'default', 4, '5', null, null, null, null, '{}', 'todo') $$,
    'each word of each job is stored in its place, and the ids come in the order of the jobs');
select results_eq('select id from made order by name', 'select id from made order by id', 'the ids grow in the order of the jobs');
select results_eq(
    $$ select q.queueing_lock::text, m.name from procrastinate_queueing_locks q join made m on m.id = q.job_id $$,
    $$ values ('many', '1') $$,
    'a waiting job of an array has its queueing lock');
truncate made;

insert into made select n::text, id
from procrastinate_defer_many('[{"task": "a", "schedule_in": "1 hour"}, {"task": "a", "schedule_in": "1 hour"}]') with ordinality d(id, n);
select results_eq(
    $$ select count(*), bool_and(scheduled_at between now() + interval '1 hour' and clock_timestamp() + interval '1 hour') from job $$,
    $$ values (2::bigint, true) $$,
    'spans of an array count from the call');
truncate made;

insert into made select n::text, id
from procrastinate_defer_many((select jsonb_agg(jsonb_build_object('task', 'n' || n % 10, 'args', jsonb_build_object('n', n))) from generate_series(1, 200) n)) with ordinality d(id, n);
select results_eq(
    $$ select count(*), bool_and(task_name = 'n' || name::integer % 10 and args ->> 'n' = name) from job $$,
    $$ values (200::bigint, true) $$,
    'two hundred jobs are deferred, in their order');
truncate made;

select is_empty($$ select procrastinate_defer_many('[]') $$, 'an empty array defers nothing');

create temp table before as select count(*) as jobs from procrastinate_jobs;
select is(pg_temp.refusal(format('select procrastinate_defer_many(%L)', c.jobs)), 'PJ001 ' || c.want, c.sentence)
from (values
    (1,  null,                                             'invalid jobs',  'many jobs are given'),
    (2,  '{"task": "a"}',                                  'invalid jobs',  'an object is not an array of jobs'),
    (3,  'null',                                           'invalid jobs',  'the JSON null is not an array of jobs'),
    (4,  '[{"task": "a"}, "b"]',                           'invalid jobs',  'a string is not a job'),
    (5,  '[{"task": "a"}, null]',                          'invalid jobs',  'the JSON null is not a job'),
    (6,  '[{"task": "a"}, [{"task": "b"}]]',               'invalid jobs',  'an array is not a job'),
    (7,  '[{"task": "a"}, {}]',                            'invalid jobs',  'a job without a task is refused'),
    (8,  '[{"task": "a"}, {"task": "b", "tasks": 1}]',     'invalid jobs',  'a key that is not known is refused'),
    (9,  '[{"task": "a", "Queue": "q"}]',                  'invalid jobs',  'keys are written in lowercase'),
    (10, '[{"task": "a", "priority": "high"}]',            'invalid jobs',  'a priority is a number'),
    (11, '[{"task": "a", "priority": 2147483648}]',        'invalid jobs',  'a priority is an integer of 32 bits'),
    (12, '[{"task": "a", "priority": 1.5}]',               'invalid jobs',  'a priority is whole'),
    (13, '[{"task": "a", "max_attempts": "x"}]',           'invalid jobs',  'max_attempts is a number'),
    (14, '[{"task": "a", "schedule_at": "tomorrowish"}]',  'invalid jobs',  'schedule_at is a time'),
    (15, '[{"task": "a", "schedule_at": "2001-02-30"}]',   'invalid jobs',  'schedule_at is a time that there is'),
    (16, '[{"task": "a", "schedule_in": "soon"}]',         'invalid jobs',  'schedule_in is a span'),
    (17, '[{"task": "a", "schedule_in": "999999999999 years"}]', 'invalid jobs', 'schedule_in is a span that there is'),
    (18, '[{"task": "a", "timeout": "long"}]',             'invalid jobs',  'a timeout is a span')
) c(n, jobs, want, sentence)
order by c.n;
select throws_ok(
    format('select procrastinate_defer_many(%L)', '[{"task": "a"}, {"task": "b", "priority": "4", "timeout": null}, ' || c.job || ', {"task": "c", "priority": "low"}]'),
    'PJ001', 'invalid jobs: element 3' || c.want,
    c.sentence)
from (values
    (1,  '{"task": "b", "priority": "x"}',               ', priority: invalid input syntax for type integer: "x"', 'the element with a wrong value is numbered, and the key named'),
    (2,  '{"task": "b", "priority": 2147483648}',        ', priority: value "2147483648" is out of range for type integer', 'so it is for a number out of range'),
    (3,  '{"task": "b", "max_attempts": {}}',            ', max_attempts: invalid input syntax for type integer: "{}"', 'for max_attempts'),
    (4,  '{"task": "b", "schedule_at": "2001-02-30"}',   ', schedule_at: date/time field value out of range: "2001-02-30"', 'for schedule_at'),
    (5,  '{"task": "b", "schedule_in": "soon"}',         ', schedule_in: invalid input syntax for type interval: "soon"', 'for schedule_in'),
    (6,  '{"task": "b", "timeout": "long"}',             ', timeout: invalid input syntax for type interval: "long"', 'and for timeout'),
    (7,  '"b"',                                          ': a JSON string, not an object', 'the element that is no object is numbered'),
    (8,  '[]',                                           ': a JSON array, not an object', 'also an array')
) c(n, job, want, sentence)
order by c.n;
select throws_ok(
    format('select procrastinate_defer_many(%L)', c.jobs), 'PJ001', 'invalid jobs: element 2' || c.want, c.sentence)
from (values
    (1,  '[{"task": "a"}, {"task": "b", "tasks": 1}]',   ': unknown key tasks', 'the key that is not known is named, and its element numbered'),
    (2,  '[{"task": "a"}, {"queue": "q"}, {}]',          ' has no task', 'the first element without a task is numbered'),
    (3,  '[{"task": "a"}, {"task": null}]',              ' has no task', 'a task that is null is none')
) c(n, jobs, want, sentence)
order by c.n;
select is((select count(*) from procrastinate_jobs), (select jobs from before), 'of an array with one bad job nothing is deferred');

-- queueing locks: error

create function pg_temp.conflict(p_sql text)
returns table (state text, constraint_name text, detail text)
language plpgsql
as $function$
begin
    execute p_sql;
exception when others then
    get stacked diagnostics state = returned_sqlstate, constraint_name = constraint_name, detail = pg_exception_detail;
    return next;
end;
$function$;

select is((select detail from pg_temp.conflict($$ select procrastinate_defer('a', schedule_in => '-5 min') $$)), 'A span from 0 to 100 years is accepted.',
    'a span out of its range is told the range');

insert into made values ('waiting', procrastinate_defer('a', queueing_lock => 'e'));
truncate before;
insert into before select count(*) from procrastinate_jobs;
select results_eq(
    format('select * from pg_temp.conflict(%L)', c.command),
    $$ values ('23505', 'procrastinate_jobs_queueing_lock_idx_v1', 'Key (queueing_lock)=(e) already exists.') $$,
    c.sentence)
from (values
    (1, $$ select procrastinate_defer('a', queueing_lock => 'e') $$,                         'a second job with a queueing lock is an error by itself'),
    (2, $$ select procrastinate_defer('a', queueing_lock => 'e', on_conflict => 'error') $$, 'a second job with a queueing lock is an error when that is asked for'),
    (3, $$ select procrastinate_defer('b', queueing_lock => 'e', queue => 'q', schedule_in => '1 hour') $$, 'a queueing lock is one for all tasks, queues and times'),
    (4, $$ select procrastinate_defer_many('[{"task": "c"}, {"task": "a", "queueing_lock": "e"}]') $$, 'a queueing lock that is taken is an error in an array'),
    (5, $$ select procrastinate_defer_many('[{"task": "c"}, {"task": "a", "queueing_lock": "e"}, {"task": "a", "queueing_lock": "s", "on_conflict": "skip"}]') $$,
        'a queueing lock that is taken is an error in an array with other wishes')
) c(n, command, sentence)
order by c.n;
select is((select state from pg_temp.conflict($$ select procrastinate_defer_many('[{"task": "a", "queueing_lock": "f"}, {"task": "a", "queueing_lock": "f"}]') $$)), '23505',
    'two jobs of one array cannot have one queueing lock');
select is((select count(*) from procrastinate_jobs), (select jobs from before), 'a job that is refused its queueing lock is not there');
select lives_ok($$ select procrastinate_defer('a', queueing_lock => 'E') $$, 'another queueing lock is free');

-- a queueing lock is free when its job no longer waits
insert into made values ('worker', procrastinate_register_worker('w', tasks => '{started}'));
insert into made values ('started', procrastinate_defer('started', queueing_lock => 'g'));
select is((select f.id from made m cross join procrastinate_fetch_jobs(m.id, 1) f where m.name = 'worker'), (select id from made where name = 'started'), 'a job with a queueing lock starts');
select is((select state from pg_temp.conflict($$ insert into made values ('next', procrastinate_defer('started', queueing_lock => 'g')) $$)), null, 'the queueing lock of a job that runs is free');
select is((select procrastinate_cancel_job(id)::text from made where name = 'next'), 'cancelled', 'a job with a queueing lock is cancelled');
select lives_ok($$ insert into made values ('third', procrastinate_defer('started', queueing_lock => 'g')) $$, 'the queueing lock of a job that was cancelled is free');
delete from procrastinate_jobs j using made m where m.name = 'third' and j.id = m.id;
select lives_ok($$ insert into made values ('fourth', procrastinate_defer('started', queueing_lock => 'g')) $$, 'the queueing lock of a job that was deleted is free');
truncate made;

-- queueing locks: skip

insert into made values ('1 new', procrastinate_defer('a', '{"n": 1}', queueing_lock => 's', on_conflict => 'skip'));
insert into made select '2 skipped', procrastinate_defer('b', '{"n": 2}', queue => 'q', lock => 'l', queueing_lock => 's', priority => 7, on_conflict => 'skip');
select results_eq(
    'select name, task_name, args, queue_name, lock, queueing_lock, priority from job',
    $$ values ('1 new', 'a', '{"n": 1}'::jsonb, 'default', null::text, 's', 0), ('2 skipped', 'a', '{"n": 1}', 'default', null, 's', 0) $$,
    'skip returns the id of the job that waits, and leaves it as it is');
truncate made;

insert into made select n::text, id
from procrastinate_defer_many('[{"task": "a", "queueing_lock": "s2", "on_conflict": "skip"}, {"task": "b"}, {"task": "c", "queueing_lock": "s2", "on_conflict": "skip"},
                                {"task": "d", "queueing_lock": "s3"}]') with ordinality d(id, n);
select results_eq(
    'select name, task_name, queueing_lock from job',
    $$ values ('1', 'a', 's2'), ('2', 'b', null), ('3', 'a', 's2'), ('4', 'd', 's3') $$,
    'in an array each job finds what the ones before it left');
insert into made select 'again', id from procrastinate_defer_many('[{"task": "a", "queueing_lock": "s2", "on_conflict": "skip"}]') d(id);
select is((select id from made where name = 'again'), (select id from made where name = '1'), 'in an array of one job it finds what was there before');
delete from made where name = 'again';
select lives_ok($$ insert into made values ('5', procrastinate_defer('a', on_conflict => 'skip')) $$, 'skip without a queueing lock defers');
select is((select count(distinct id) from made), 4::bigint, 'without a queueing lock nothing is skipped');
truncate made;

-- queueing locks: replace

insert into made values ('1 first', procrastinate_defer(
    'r', '{"n": 1}', queueing_lock => 'r', priority => 1, schedule_in => '1 hour', max_attempts => 1, timeout => '1 s', metadata => '{"m": 1}'));
insert into made select '2 second', procrastinate_defer(
    'r', '{"n": 2}', queueing_lock => 'r', priority => 2, schedule_at => '2033-01-01', max_attempts => 2, timeout => '2 s', metadata => '{"m": 2}', on_conflict => 'replace');
select results_eq(
    'select name, args, queueing_lock, priority, scheduled_at, max_attempts, timeout, metadata, status from job',
    $$ select n, '{"n": 2}'::jsonb, 'r', 2, '2033-01-01'::timestamptz, 2, '2 s'::interval, '{"m": 2}'::jsonb, 'todo' from (values ('1 first'), ('2 second')) t(n) $$,
    'replace gives the job that waits the new args, schedule, priority, timeout, max_attempts and metadata');
select results_eq(
    $$ select a.at from procrastinate_agenda a where a.id in (select id from made) order by a.at desc limit 1 $$,
    $$ values ('2033-01-01'::timestamptz) $$,
    'the job that was replaced is in the agenda at its new time');

insert into made select '3 third', procrastinate_defer('r', queueing_lock => 'r', on_conflict => 'replace');
select results_eq(
    $$ select args, priority, scheduled_at, max_attempts, timeout, metadata from job where name = '3 third' $$,
    $$ values ('{}'::jsonb, 0, null::timestamptz, null::integer, null::interval, '{}'::jsonb) $$,
    'replace also takes away what the new job does not say');
select is(
    (select count(*) from procrastinate_tokens t join procrastinate_lanes l using (lane) join made m on m.id = t.id
     where m.name = '3 third' and l.kind = 'plain' and l.task_name = 'r' and l.priority = 0), 1::bigint,
    'the job that was replaced without a schedule is due at once');
truncate made;

-- its place in a lock

insert into made values ('waiting', procrastinate_defer('r', lock => 'x', queueing_lock => 'rl', priority => 1));
insert into made select 'replaced', procrastinate_defer('r', lock => 'x', queueing_lock => 'rl', priority => 2, on_conflict => 'replace');
select results_eq(
    $$ select q.held, q.priority from procrastinate_lock_queue q join made m on m.id = q.job_id where m.name = 'replaced' $$,
    $$ values (false, 2) $$,
    'the job that was replaced waits for its lock once, with its new priority');
truncate made;

-- queueing locks: update

insert into made values ('1 first', procrastinate_defer(
    'r', '{"n": 1}', queueing_lock => 'u', priority => 1, schedule_at => '2033-01-01', max_attempts => 1, timeout => '1 s', metadata => '{"m": 1}'));
insert into made select '2 second', procrastinate_defer(
    'r', '{"n": 2}', queueing_lock => 'u', priority => 2, schedule_at => '2044-01-01', max_attempts => 2, timeout => '2 s', metadata => '{"m": 2}', on_conflict => 'update');
select results_eq(
    'select name, args, queueing_lock, priority, scheduled_at, max_attempts, timeout, metadata, status from job',
    $$ select n, '{"n": 2}'::jsonb, 'u', 2, '2033-01-01'::timestamptz, 2, '2 s'::interval, '{"m": 2}'::jsonb, 'todo' from (values ('1 first'), ('2 second')) t(n) $$,
    'update gives the job that waits all that replace does, and keeps its schedule');
insert into made select '3 third', procrastinate_defer('r', queueing_lock => 'u', on_conflict => 'update');
select results_eq(
    $$ select args, scheduled_at from job where name = '3 third' $$,
    $$ values ('{}'::jsonb, '2033-01-01'::timestamptz) $$,
    'update keeps the schedule when the new job has none');
truncate made;

insert into made values ('1 first', procrastinate_defer('r', queueing_lock => 'now'));
insert into made select '2 second', procrastinate_defer('r', queueing_lock => 'now', schedule_in => '1 hour', on_conflict => 'update');
select results_eq(
    'select name, scheduled_at from job',
    $$ values ('1 first', null::timestamptz), ('2 second', null) $$,
    'a job that is due stays due when it is updated');
truncate made;

-- another task, queue or lock

insert into made values ('waiting', procrastinate_defer('r', '{"n": 1}', queue => 'q', lock => 'x', queueing_lock => 'o'));
select throws_ok(
    format($$ select procrastinate_defer(%s, queueing_lock => 'o', on_conflict => %L) $$, c.args, o.on_conflict),
    'PJ001', format('invalid %s: the waiting job %s has another one', c.what, m.id),
    c.sentence || ' with ' || o.on_conflict)
from made m, (values (1, 'replace'), (2, 'update')) o(n, on_conflict),
     (values (1, $$ 's', queue => 'q', lock => 'x' $$, 'task',  'a waiting job does not get another task'),
             (2, $$ 'r', queue => 'p', lock => 'x' $$, 'queue', 'a waiting job does not get another queue'),
             (3, $$ 'r', queue => 'q', lock => 'y' $$, 'lock',  'a waiting job does not get another lock'),
             (4, $$ 'r', queue => 'q' $$,              'lock',  'a waiting job does not lose its lock')) c(n, args, what, sentence)
where m.name = 'waiting'
order by o.n, c.n;
insert into made values ('unlocked', procrastinate_defer('r', queueing_lock => 'o2'));
select throws_ok(
    $$ select procrastinate_defer('r', lock => 'x', queueing_lock => 'o2', on_conflict => 'replace') $$,
    'PJ001', null,
    'a waiting job without a lock does not get one');
select results_eq(
    'select name, task_name, args, queue_name, lock from job',
    $$ values ('unlocked', 'r', '{}'::jsonb, 'default', null::text), ('waiting', 'r', '{"n": 1}', 'q', 'x') $$,
    'a waiting job that was not to be changed is as it was');
truncate made;

-- a job that runs is nobody's to replace

insert into made values ('worker', procrastinate_register_worker('w', tasks => '{running}'));
insert into made values ('1 running', procrastinate_defer('running', '{"n": 1}', queueing_lock => 'run'));
select is((select count(*) from made m cross join procrastinate_fetch_jobs(m.id, 1) f where m.name = 'worker'), 1::bigint, 'a job with a queueing lock runs');
insert into made select '2 new', procrastinate_defer('running', '{"n": 2}', queueing_lock => 'run', on_conflict => 'replace');
select results_eq(
    'select name, args, status from job',
    $$ values ('1 running', '{"n": 1}'::jsonb, 'doing'), ('2 new', '{"n": 2}', 'todo') $$,
    'beside a job that runs replace defers a new one');
select results_eq(
    $$ select procrastinate_job_status(id)::text from made where name <> 'worker' order by name $$,
    $$ values ('doing'), ('todo') $$,
    'a producer sees the status of each job');

-- what may have happened to the waiting job between our look and our hand on it

insert into made select '3 other', procrastinate_defer('running', queueing_lock => 'other');
select results_eq(
    $$ select m.name, procrastinate_replace_waiting(m.id, jsonb_populate_record(null::procrastinate_new_job,
           '{"task_name": "running", "args": {"n": 3}, "queue_name": "default", "priority": 0, "queueing_lock": "run", "on_conflict": "replace", "metadata": {}}'))
       from made m where m.name <> 'worker' order by 1 $$,
    $$ values ('1 running', false), ('2 new', true), ('3 other', false) $$,
    'a job that was started or has another queueing lock is not replaced, and that is said');
select results_eq(
    'select name, args, status from job',
    $$ values ('1 running', '{"n": 1}'::jsonb, 'doing'), ('2 new', '{"n": 3}', 'todo'), ('3 other', '{}', 'todo') $$,
    'a job that was not replaced is as it was');
savepoint orphan;
update procrastinate_queueing_locks q set job_id = m.id from made m where q.queueing_lock = 'run' and m.name = '1 running';
select throws_ok(
    $$ select procrastinate_defer('running', queueing_lock => 'run', on_conflict => 'replace') $$,
    '40001', null,
    'a queueing lock of a job that does not wait is not looked at for ever');
rollback to savepoint orphan;

-- job_status

select throws_ok(
    'select procrastinate_job_status(-1)',
    'PJ004', 'job -1 does not exist',
    'a job that does not exist has no status');
select throws_ok(
    'select procrastinate_job_status(null::bigint)',
    'PJ001', 'invalid job_id: NULL',
    'to see a status takes an id');

-- all of it can be undone

truncate before;
insert into before select count(*) from procrastinate_jobs;
savepoint s;
select procrastinate_defer('a', lock => 'x', queueing_lock => 'undone'), procrastinate_defer('a', schedule_in => '1 hour') \g /dev/null
rollback to savepoint s;
select is((select count(*) from procrastinate_jobs), (select jobs from before), 'a job whose defer is rolled back was never deferred');
select lives_ok($$ select procrastinate_defer('a', queueing_lock => 'undone') $$, 'its queueing lock is free');

select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
