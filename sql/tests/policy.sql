begin;
select plan(6);

create temp table built_in as
select
    'default'::text as queue_name, 0 as priority, null::text as lock, null::integer as max_attempts, '0'::interval as retry_wait, '0'::interval as retry_linear,
    0::double precision as retry_exponential, '1 year'::interval as retry_max_wait, 0::double precision as retry_jitter, null::interval as timeout,
    'retry'::text as on_stall, 3 as max_rescues, '7 days'::interval as keep_succeeded, '30 days'::interval as keep_failed, false as shared;

create function pg_temp.policy(p_task text)
returns setof built_in
language sql
as $function$
    select p.queue_name::text, p.priority, p.lock::text, p.max_attempts::integer, p.retry_wait, p.retry_linear, p.retry_exponential, p.retry_max_wait, p.retry_jitter,
           p.timeout, p.on_stall, p.max_rescues::integer, p.keep_succeeded, p.keep_failed, p.shared
    from procrastinate_policy(p_task) p
$function$;

select results_eq(
    $$ select * from pg_temp.policy('a') $$,
    'table built_in',
    'a task that nobody defined has the built-in policy');

select procrastinate_define_task(
    'b', 'other', 1, 'l', 2, '3 s', '4 s', 5, '6 s', 0.7, '8 s', 'fail', 9, '10 s', '11 s', true);
select results_eq(
    $$ select * from pg_temp.policy('a') $$,
    'table built_in',
    'the policy of one task is not that of another');

select procrastinate_define_task(
    '*', 'all', -1, 'm', 20, '30 s', '40 s', 50, '60 s', 0.07, '80 s', 'fail', 90, '100 s', '110 s', true);
select results_eq(
    $$ select * from pg_temp.policy('a') $$,
    $$ values ('all', -1, 'm', 20, '30 s'::interval, '40 s'::interval, 50::double precision, '60 s'::interval, 0.07::double precision, '80 s'::interval,
               'fail', 90, '100 s'::interval, '110 s'::interval, true) $$,
    'what a task does not say is as * says');

select procrastinate_define_task(
    'a', 'mine', 0, '', 1, '0', '0', 0, '0', 0, '1 ms', 'retry', 1, '0', '0', false);
select results_eq(
    $$ select * from pg_temp.policy('a') $$,
    $$ values ('mine', 0, '', 1, '0'::interval, '0'::interval, 0::double precision, '0'::interval, 0::double precision, '1 ms'::interval,
               'retry', 1, '0'::interval, '0'::interval, false) $$,
    'what a task says counts, also when it says nothing, no and zero');

insert into procrastinate_tasks (task_name, native) values ('native', true);
select results_eq(
    $$ select p.task_name::text, p.native, p.defined_at, p.queue_name::text from unnest(array['native', 'c', '*', null]) with ordinality t(task, n)
       cross join procrastinate_policy(t.task) p order by t.n $$,
    $$ values ('native', true, null::timestamptz, 'all'), ('c', false, null, 'all'),
              ('*', false, (select defined_at from procrastinate_tasks where task_name = '*'), 'all'), (null, false, null, 'all') $$,
    'there is one policy for each name, even for one that is only noted as native or for none');

select procrastinate_drop_task('*'), procrastinate_drop_task('a');
select results_eq(
    $$ select * from pg_temp.policy('a') $$,
    'table built_in',
    'a task whose definition was dropped has the built-in policy again');

select * from finish();
rollback;
