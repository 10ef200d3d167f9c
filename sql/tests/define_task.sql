begin;
select plan(83);

-- What a call meets: 'accepted', or the SQLSTATE and the message up to its first colon or digit.
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

-- A whole definition as text, save when it was made.
create function pg_temp.definition(p_task text)
returns text
language sql
as $function$
    select (to_jsonb(t) - 'defined_at' || jsonb_build_object('defined', t.defined_at is not null))::text
    from procrastinate_tasks t
    where t.task_name = p_task
$function$;

create temp view definition as
select
    t.task_name::text, t.queue_name::text, t.priority, t.lock::text, t.max_attempts::integer, t.retry_wait, t.retry_linear, t.retry_exponential, t.retry_max_wait,
    t.retry_jitter, t.timeout, t.on_stall, t.max_rescues::integer, t.keep_succeeded, t.keep_failed, t.shared, t.native, t.defined_at is not null as defined
from procrastinate_tasks t
order by t.task_name;

-- what is stored

select lives_ok(
    $$ select procrastinate_define_task(
           'full', queue => 'q', priority => -7, lock => 'l-{x}', max_attempts => 9, retry_wait => '1 s', retry_linear => '2 s',
           retry_exponential => 3.5, retry_max_wait => '4 s', retry_jitter => 0.5, timeout => '6 s', on_stall => 'fail', max_rescues => 8,
           keep_succeeded => '10 s', keep_failed => '11 s', shared => true) $$,
    'a task is defined with all that can be said');
select results_eq(
    'table definition',
    $$ values ('full', 'q', -7, 'l-{x}', 9, '1 s'::interval, '2 s'::interval, 3.5::double precision, '4 s'::interval,
               0.5::double precision, '6 s'::interval, 'fail', 8, '10 s'::interval, '11 s'::interval, true, false, true) $$,
    'each word of the definition is stored in its place');
select ok(
    defined_at between now() and clock_timestamp(),
    'when a task was defined is noted')
from procrastinate_tasks where task_name = 'full';

update procrastinate_tasks set defined_at = '2000-01-01';
select lives_ok($$ select procrastinate_define_task('full', shared => false) $$, 'a task is defined once more');
select results_eq(
    'table definition',
    $$ values ('full', null::text, null::integer, null::text, null::integer, null::interval, null::interval, null::double precision, null::interval,
               null::double precision, null::interval, null::text, null::integer, null::interval, null::interval, false, false, true) $$,
    'a new definition replaces the whole of the old one');
select isnt(defined_at, '2000-01-01', 'a new definition has a new time')
from procrastinate_tasks where task_name = 'full';

select lives_ok(
    $$ select procrastinate_define_task(
           'full', 'r', 1, 'm', 2, '3 s', '4 s', 5, '6 s', 0.7, '8 s', 'retry', 9, '10 s', '11 s', true) $$,
    'a definition may be given by place');
select results_eq(
    'table definition',
    $$ values ('full', 'r', 1, 'm', 2, '3 s'::interval, '4 s'::interval, 5::double precision, '6 s'::interval,
               0.7::double precision, '8 s'::interval, 'retry', 9, '10 s'::interval, '11 s'::interval, true, false, true) $$,
    'a new definition of all words replaces each of them');

select lives_ok($$ select procrastinate_define_task('*', queue => 'all') $$, 'the default of all tasks is defined');
select results_eq(
    'select task_name, queue_name from definition',
    $$ values ('*', 'all'), ('full', 'r') $$,
    'a task''s definition does not touch another''s');
delete from procrastinate_tasks;

-- that a task is native outlives its definitions

insert into procrastinate_tasks (task_name, native) values ('native', true);
select lives_ok($$ select procrastinate_define_task('native', queue => 'q') $$, 'a task that was only noted as native is defined');
select results_eq(
    'select task_name, queue_name, native, defined from definition',
    $$ values ('native', 'q', true, true) $$,
    'a definition leaves a native task native');
select lives_ok($$ select procrastinate_drop_task('native') $$, 'a native task is dropped');
select results_eq(
    'table definition',
    $$ values ('native', null::text, null::integer, null::text, null::integer, null::interval, null::interval, null::double precision, null::interval,
               null::double precision, null::interval, null::text, null::integer, null::interval, null::interval, null::boolean, true, false) $$,
    'of a native task that was dropped nothing is left but that it is native');
select throws_ok(
    $$ select procrastinate_drop_task('native') $$,
    'PJ007', 'task native is not defined',
    'a native task that is not defined cannot be dropped');
delete from procrastinate_tasks;

-- dropping

select lives_ok($$ select procrastinate_define_task('a'), procrastinate_define_task('b') $$, 'two tasks are defined');
select lives_ok($$ select procrastinate_drop_task('a') $$, 'a task is dropped');
select results_eq('select task_name from definition', $$ values ('b') $$, 'a task that is dropped is gone, and no other');
select throws_ok(
    $$ select procrastinate_drop_task('a') $$,
    'PJ007', 'task a is not defined',
    'a task cannot be dropped twice');
select throws_ok(
    $$ select procrastinate_drop_task(null) $$,
    'PJ001', 'invalid task: NULL',
    'to drop a task takes its name');
select throws_ok(
    $$ select procrastinate_drop_task('') $$,
    'PJ001', 'invalid task: empty',
    'a task without a name cannot be dropped');
delete from procrastinate_tasks;

-- what is refused, and what just not

select is(pg_temp.refusal('select procrastinate_define_task(' || c.args || ')'), c.want, c.sentence)
from (values
    (1,  $$ null $$,                                  'PJ001 invalid task',              'a task that is defined has a name'),
    (2,  $$ '' $$,                                    'PJ001 invalid task',              'the name of a task is not empty'),
    (3,  $$ repeat('t', 129) $$,                      'PJ001 invalid task',              'the name of a task has at most 128 characters'),
    (4,  $$ repeat('é', 128) $$,                      'accepted',                        'the name of a task may have 128 characters of any size'),
    (5,  $$ 'a', queue => '' $$,                      'PJ001 invalid queue',             'the queue of a task has a name'),
    (6,  $$ 'a', queue => repeat('q', 129) $$,        'PJ001 invalid queue',             'the queue of a task has a name of at most 128 characters'),
    (7,  $$ 'a', queue => repeat('é', 128) $$,        'accepted',                        'the queue of a task may have 128 characters of any size'),
    (8,  $$ 'a', lock => repeat('é', 513) $$,         'PJ001 invalid lock',              'the lock of a task has at most 1024 bytes'),
    (9,  $$ 'a', lock => repeat('é', 512) $$,         'accepted',                        'the lock of a task may have 1024 bytes'),
    (10, $$ 'a', max_attempts => 0 $$,                'PJ001 invalid max_attempts',      'a task''s jobs run at least once'),
    (11, $$ 'a', max_attempts => 2147483647 $$,       'accepted',                        'a task''s jobs may run for ever'),
    (46, $$ 'a', max_attempts => 1 $$,                'accepted',                        'a task''s jobs may run once only'),
    (12, $$ 'a', max_rescues => 0 $$,                 'PJ001 invalid max_rescues',       'max_rescues is at least 1'),
    (13, $$ 'a', max_rescues => 1 $$,                 'accepted',                        'max_rescues may be 1'),
    (14, $$ 'a', retry_wait => '-1 s' $$,             'PJ001 invalid retry_wait',        'retry_wait is not negative'),
    (15, $$ 'a', retry_wait => '100 years 1 s' $$,    'PJ001 invalid retry_wait',        'retry_wait is at most a century'),
    (16, $$ 'a', retry_wait => '100 years' $$,        'accepted',                        'retry_wait may be a century'),
    (17, $$ 'a', retry_wait => '0' $$,                'accepted',                        'retry_wait may be nothing'),
    (18, $$ 'a', retry_linear => '-1 s' $$,           'PJ001 invalid retry_linear',      'retry_linear is not negative'),
    (19, $$ 'a', retry_linear => '101 years' $$,      'PJ001 invalid retry_linear',      'retry_linear is at most a century'),
    (20, $$ 'a', retry_max_wait => '-1 s' $$,         'PJ001 invalid retry_max_wait',    'retry_max_wait is not negative'),
    (21, $$ 'a', retry_max_wait => '101 years' $$,    'PJ001 invalid retry_max_wait',    'retry_max_wait is at most a century'),
    (22, $$ 'a', retry_exponential => -0.1 $$,        'PJ001 invalid retry_exponential', 'retry_exponential is not negative'),
    (23, $$ 'a', retry_exponential => 'NaN' $$,       'PJ001 invalid retry_exponential', 'retry_exponential is a number'),
    (24, $$ 'a', retry_exponential => 'Infinity' $$,  'PJ001 invalid retry_exponential', 'retry_exponential is finite'),
    (25, $$ 'a', retry_exponential => '-Infinity' $$, 'PJ001 invalid retry_exponential', 'retry_exponential is not below everything'),
    (26, $$ 'a', retry_exponential => 0 $$,           'accepted',                        'retry_exponential may be 0'),
    (27, $$ 'a', retry_exponential => 1e308 $$,       'accepted',                        'retry_exponential may be large'),
    (28, $$ 'a', retry_jitter => -0.01 $$,            'PJ001 invalid retry_jitter',      'retry_jitter is not negative'),
    (29, $$ 'a', retry_jitter => 1.01 $$,             'PJ001 invalid retry_jitter',      'retry_jitter is at most 1'),
    (30, $$ 'a', retry_jitter => 'NaN' $$,            'PJ001 invalid retry_jitter',      'retry_jitter is a number'),
    (31, $$ 'a', retry_jitter => 0 $$,                'accepted',                        'retry_jitter may be 0'),
    (32, $$ 'a', retry_jitter => 1 $$,                'accepted',                        'retry_jitter may be 1'),
    (33, $$ 'a', timeout => '0' $$,                   'PJ001 invalid timeout',           'a timeout is longer than nothing'),
    (34, $$ 'a', timeout => '-1 s' $$,                'PJ001 invalid timeout',           'a timeout is not negative'),
    (35, $$ 'a', timeout => '1 ms' $$,                'accepted',                        'a timeout may be a millisecond'),
    (36, $$ 'a', timeout => '101 years' $$,           'PJ001 invalid timeout',           'a timeout is at most a century'),
    (37, $$ 'a', on_stall => 'explode' $$,            'PJ001 invalid on_stall',          'on_stall is a known word'),
    (38, $$ 'a', on_stall => 'RETRY' $$,              'PJ001 invalid on_stall',          'on_stall is written in lowercase'),
    (39, $$ 'a', on_stall => 'retry' $$,              'accepted',                        'on_stall may be retry'),
    (40, $$ 'a', keep_succeeded => '-1 s' $$,         'PJ001 invalid keep_succeeded',    'keep_succeeded is not negative'),
    (41, $$ 'a', keep_succeeded => '101 years' $$,    'PJ001 invalid keep_succeeded',    'keep_succeeded is at most a century'),
    (42, $$ 'a', keep_succeeded => '0' $$,            'accepted',                        'keep_succeeded may be nothing'),
    (43, $$ 'a', keep_failed => '-1 s' $$,            'PJ001 invalid keep_failed',       'keep_failed is not negative'),
    (44, $$ 'a', keep_failed => '101 years' $$,       'PJ001 invalid keep_failed',       'keep_failed is at most a century'),
    (47, $$ 'a', lock => 'a}b' $$,                 'PJ001 invalid lock',              'a brace that closes nothing is refused'),
    (48, $$ 'a', lock => 'a{b' $$,                 'PJ001 invalid lock',              'a brace that is not closed is refused'),
    (49, $$ 'a', lock => 'a{}b' $$,                'PJ001 invalid lock',              'braces with nothing in them are refused'),
    (50, $$ 'a', lock => '{a{b}}' $$,              'PJ001 invalid lock',              'braces within braces are refused'),
    (51, $$ 'a', lock => '{a}-{b c}!' $$,          'accepted',                        'a lock may name several arguments'),
    (52, $$ 'a', lock => '{a}{b}' $$,              'accepted',                        'a lock may be of names only'),
    (45, $$ 'a', keep_failed => '0' $$,               'accepted',                        'keep_failed may be nothing')
) c(n, args, want, sentence)
order by c.n;

select results_eq(
    $$ select distinct task_name::text from procrastinate_tasks order by 1 $$,
    $$ select * from (values ('a'), (repeat('é', 128))) t(name) order by 1 $$,
    'a definition that was refused is not stored');

-- a refusal leaves the definition that was there
delete from procrastinate_tasks;
select procrastinate_define_task('a', queue => 'q');
select is(pg_temp.refusal($$ select procrastinate_define_task('a', queue => 'r', keep_failed => '-1 s') $$), 'PJ001 invalid keep_failed', 'a new definition is looked at whole');
select is(pg_temp.definition('a')::jsonb ->> 'queue_name', 'q', 'a definition that was refused leaves the one before it');

-- the helpers

select is(pg_temp.refusal('select procrastinate_check_span(' || c.args || ')'), c.want, c.sentence)
from (values
    (1, $$ 'x', null $$,                  'accepted',        'a span may be left out'),
    (2, $$ 'x', '1 s', '1 s' $$,          'accepted',        'a span may be the least one'),
    (3, $$ 'x', '0.999 s', '1 s' $$,      'PJ001 invalid x', 'a span is not below the least one'),
    (4, $$ 'x', '1 day -25 hours' $$,     'PJ001 invalid x', 'a span is negative when its parts are negative together')
) c(n, args, want, sentence)
order by c.n;

select is(pg_temp.refusal(format('select procrastinate_check_name(%L, %L)', 'x', c.value)), c.want, c.sentence)
from (values (1, 'a', 'accepted', 'a name may have one character'), (2, null, 'PJ001 invalid x', 'no name is none')) c(n, value, want, sentence)
order by c.n;

select throws_ok(
    $$ select procrastinate_check_name('queue', repeat('q', 129)) $$,
    'PJ001', 'invalid queue: 129 characters',
    'a name that is too long is not repeated in the message');

select * from finish();
rollback;
