-- The catalog is asked what STYLE.md asks of us. A test that finds something says what.
begin;
select plan(57);

-- our functions, tables and views; those of extensions in the same schema are not ours
create temp view function as
select
    p.oid, p.proname::text as name, p.oid::regprocedure::text as signature, p.provolatile as volatility, p.prosecdef as definer, p.proconfig as settings,
    p.proacl as acl, p.prosrc as source, exists (select from pg_trigger t where t.tgfoid = p.oid) as is_trigger, l.lanname as language, p.pronargs, p.pronargdefaults
from pg_proc p
join pg_language l on l.oid = p.prolang
where p.pronamespace = quote_ident(current_schema())::regnamespace
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e');

create temp view relation as
select c.oid, c.relname::text as name, c.relkind as kind
from pg_class c
where c.relnamespace = quote_ident(current_schema())::regnamespace
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e');

-- what the users and workers call, DESIGN sections 3 and 4: signatures are part of the contract
create temp table public_function (name text, arguments text, result text);
insert into public_function values
    ('procrastinate_defer',             'task text, args jsonb DEFAULT ''{}''::jsonb, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, '
                                        'lock text DEFAULT NULL::text, queueing_lock text DEFAULT NULL::text, schedule_at timestamp with time zone DEFAULT NULL::timestamp with time zone, '
                                        'schedule_in interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, timeout interval DEFAULT NULL::interval, '
                                        'on_conflict text DEFAULT ''error''::text, metadata jsonb DEFAULT ''{}''::jsonb', 'bigint'),
    ('procrastinate_defer_many',        'jobs jsonb', 'SETOF bigint'),
    ('procrastinate_defer_row',         '', 'trigger'),
    ('procrastinate_job_status',        'job_id bigint', 'procrastinate_job_status'),
    ('procrastinate_cancel_job',        'job_id bigint, abort boolean DEFAULT false', 'procrastinate_job_status'),
    ('procrastinate_retry_job',         'job_id bigint, schedule_in interval DEFAULT NULL::interval', 'procrastinate_job_status'),
    ('procrastinate_change_job',        'job_id bigint, priority integer DEFAULT NULL::integer, queue text DEFAULT NULL::text, '
                                        'schedule_at timestamp with time zone DEFAULT NULL::timestamp with time zone', 'procrastinate_job_status'),
    ('procrastinate_cancel_jobs',       'task text DEFAULT NULL::text, queue text DEFAULT NULL::text, statuses text[] DEFAULT NULL::text[], older_than interval DEFAULT NULL::interval, '
                                        'max_jobs integer DEFAULT 10000, abort boolean DEFAULT false', 'bigint'),
    ('procrastinate_retry_jobs',        'task text DEFAULT NULL::text, queue text DEFAULT NULL::text, statuses text[] DEFAULT NULL::text[], older_than interval DEFAULT NULL::interval, '
                                        'max_jobs integer DEFAULT 10000, schedule_in interval DEFAULT NULL::interval', 'bigint'),
    ('procrastinate_delete_jobs',       'task text DEFAULT NULL::text, queue text DEFAULT NULL::text, statuses text[] DEFAULT NULL::text[], older_than interval DEFAULT NULL::interval, '
                                        'max_jobs integer DEFAULT 10000', 'bigint'),
    ('procrastinate_prune_jobs',        'older_than interval, statuses text[] DEFAULT NULL::text[], queue text DEFAULT NULL::text, max_jobs integer DEFAULT 10000', 'bigint'),
    ('procrastinate_explain_job',       'job_id bigint', 'TABLE(reason text, detail jsonb)'),
    ('procrastinate_define_task',       'task text, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, lock text DEFAULT NULL::text, '
                                        'max_attempts integer DEFAULT NULL::integer, retry_wait interval DEFAULT NULL::interval, retry_linear interval DEFAULT NULL::interval, '
                                        'retry_exponential double precision DEFAULT NULL::double precision, retry_max_wait interval DEFAULT NULL::interval, '
                                        'retry_jitter double precision DEFAULT NULL::double precision, timeout interval DEFAULT NULL::interval, on_stall text DEFAULT NULL::text, '
                                        'max_rescues integer DEFAULT NULL::integer, keep_succeeded interval DEFAULT NULL::interval, keep_failed interval DEFAULT NULL::interval, '
                                        'shared boolean DEFAULT NULL::boolean', 'void'),
    ('procrastinate_drop_task',         'task text', 'void'),
    ('procrastinate_cron_next',         'cron text, after timestamp with time zone DEFAULT now(), timezone text DEFAULT ''UTC''::text', 'timestamp with time zone'),
    ('procrastinate_pause_queue',       'queue text', 'void'),
    ('procrastinate_resume_queue',      'queue text', 'void'),
    ('procrastinate_define_schedule',   'schedule text, cron text, task text DEFAULT NULL::text, args jsonb DEFAULT ''{}''::jsonb, timezone text DEFAULT ''UTC''::text, '
                                        'queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, lock text DEFAULT NULL::text, queueing_lock text DEFAULT NULL::text, '
                                        'catch_up text DEFAULT ''last''::text, max_lateness interval DEFAULT ''00:10:00''::interval, pass_timestamp boolean DEFAULT false, '
                                        'enabled boolean DEFAULT NULL::boolean', 'timestamp with time zone'),
    ('procrastinate_drop_schedule',     'schedule text', 'void'),
    ('procrastinate_enable_schedule',   'schedule text', 'timestamp with time zone'),
    ('procrastinate_disable_schedule',  'schedule text', 'void'),
    ('procrastinate_run_schedule',      'schedule text', 'bigint'),
    ('procrastinate_tick',              'worker_id bigint DEFAULT NULL::bigint', 'interval'),
    ('procrastinate_check',             '', 'TABLE(invariant text, job_id bigint, detail text)'),
    ('procrastinate_repair',            '', 'void'),
    ('procrastinate_version',           '', 'text'),
    ('procrastinate_register_worker',   'worker_name text, queues text[] DEFAULT NULL::text[], tasks text[] DEFAULT NULL::text[], '
                                        'stalled_after interval DEFAULT ''00:00:30''::interval, info jsonb DEFAULT ''{}''::jsonb', 'bigint'),
    ('procrastinate_fetch_jobs',        'worker_id bigint, max_jobs integer, max_per_lock integer DEFAULT 1', 'SETOF procrastinate_job'),
    ('procrastinate_finish_jobs',       'worker_id bigint, job_ids bigint[], results jsonb[] DEFAULT NULL::jsonb[]', 'TABLE(job_id bigint, outcome text)'),
    ('procrastinate_exchange_jobs',     'worker_id bigint, job_ids bigint[], results jsonb[], max_jobs integer, max_per_lock integer DEFAULT 1', 'SETOF procrastinate_job'),
    ('procrastinate_fail_jobs',         'worker_id bigint, job_ids bigint[], errors text[] DEFAULT NULL::text[], retry_in interval[] DEFAULT NULL::interval[], '
                                        'final boolean[] DEFAULT NULL::boolean[]', 'TABLE(job_id bigint, status text)'),
    ('procrastinate_fail_job',          'worker_id bigint, job_id bigint, error text DEFAULT NULL::text, retry_in interval DEFAULT NULL::interval, final boolean DEFAULT false',
                                        'procrastinate_job_status'),
    ('procrastinate_snooze_job',        'worker_id bigint, job_id bigint, snooze_in interval', 'procrastinate_job_status'),
    ('procrastinate_abort_job',         'worker_id bigint, job_id bigint, error text DEFAULT NULL::text', 'procrastinate_job_status'),
    ('procrastinate_return_jobs',       'worker_id bigint, job_ids bigint[]', 'TABLE(job_id bigint, outcome text)'),
    ('procrastinate_keep_jobs',         'worker_id bigint, job_ids bigint[]', 'TABLE(job_id bigint, outcome text)'),
    ('procrastinate_beat',              'worker_id bigint', 'SETOF bigint'),
    ('procrastinate_unregister_worker', 'worker_id bigint', 'void');

-- names

select is_empty(
    $$ select signature from function where name not like 'procrastinate\_%' $$,
    'every function is named procrastinate_…');
select is_empty(
    $$ select name from relation where name not like 'procrastinate\_%' $$,
    'every table, view, index and sequence is named procrastinate_…');
select is_empty(
    $$ select t.typname from pg_type t
       where t.typnamespace = quote_ident(current_schema())::regnamespace and ltrim(t.typname, '_') not like 'procrastinate\_%'
         and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = coalesce(nullif(t.typelem, 0), t.oid) and d.deptype = 'e') $$,
    'every type is named procrastinate_…');
select is_empty(
    $$ select t.tgname from pg_trigger t join relation r on r.oid = t.tgrelid where not t.tgisinternal and t.tgname not like 'procrastinate\_%' $$,
    'every trigger is named procrastinate_…');
select is_empty(
    $$ select name from function group by name having count(*) > 1 $$,
    'no function has two signatures');
select is_empty(
    $$ select distinct f.signature, a.name
       from function f join pg_proc p using (oid) cross join unnest(p.proargnames, p.proargmodes) a(name, mode)
       where not f.definer and coalesce(a.mode, 'i') in ('i', 'b') and a.name not like 'p\_%' $$,
    'parameters of private functions begin with p_');
select is_empty(
    $$ select distinct f.signature, a.name
       from function f join pg_proc p using (oid) cross join unnest(p.proargnames) a(name)
       where f.definer and a.name like 'p\_%' $$,
    'parameters of public functions have friendly names');
select is_empty(
    $$ select f.signature from function f join pg_proc p using (oid) where p.pronargs > 0 and p.proargnames is null $$,
    'every parameter has a name');

-- the public ones

select bag_eq(
    $$ select f.name, pg_get_function_arguments(f.oid), pg_get_function_result(f.oid) from function f where f.definer and not f.is_trigger $$,
    'table public_function',
    'the public functions, and they alone, run with their owner''s rights, and have the signatures of the contract');
select is_empty(
    $$ select signature from function where is_trigger and not definer $$,
    'trigger functions run with their owner''s rights, for anybody''s delete fires them');
select is_empty(
    $$ select signature, x.grantee::regrole, x.privilege_type
       from function f cross join aclexplode(coalesce(f.acl, acldefault('f', (select p.proowner from pg_proc p where p.oid = f.oid)))) x
       where x.grantee = 0 $$,
    'nothing is executable by everybody');
select is_empty(
    $$ select r.name, x.privilege_type
       from relation r join pg_class c using (oid) cross join aclexplode(c.relacl) x
       where x.grantee = 0 $$,
    'no table is everybody''s');

-- settings

select is_empty(
    $$ select signature, settings from function
       where settings is null or not (format('search_path=%I, pg_temp', current_schema()) = any (settings)) $$,
    'every function pins its search_path to this schema and then pg_temp, and to nothing else');
select is_empty(
    $$ select f.signature, array_agg(s) from function f cross join unnest(f.settings) s
       where s not similar to '(search_path|jit|plan_cache_mode|enable_%|lock_timeout|TimeZone)=%' group by 1 $$,
    'functions set nothing but their path, the planner''s ways, how long to wait and how to write a time');

-- volatility

select is_empty(
    $$ select signature, volatility from function
       where volatility in ('i', 's')
         and regexp_replace(source, '--[^\n]*', '', 'g') ~* '\y(insert\s+into|update\s+procrastinate|delete\s+from|truncate|nextval|setval|pg_notify|for\s+(no\s+key\s+)?update|for\s+(key\s+)?share|pg_current_xact_id\(|random\(\))' $$,
    'no function that says it only reads writes');
select is_empty(
    $$ select signature from function
       where volatility = 'i' and regexp_replace(source, '--[^\n]*', '', 'g') ~* '\y(from|join|into)\s+procrastinate_|current_setting|clock_timestamp|\ynow\(|current_schema' $$,
    'no function that says it reads only its arguments reads tables, settings or the clock');
select is_empty(
    $$ select f.signature, g.signature as calls
       from function f join function g on f.oid <> g.oid
       where case f.volatility when 'i' then g.volatility <> 'i' when 's' then g.volatility = 'v' end
         and regexp_replace(regexp_replace(f.source, '--[^\n]*', '', 'g'), '''[^'']*''', '', 'g') ~ ('\y' || g.name || '\s*\(') $$,
    'no function calls one that does more than it says of itself');
select is_empty(
    $$ select signature from function where is_trigger and volatility <> 'v' $$,
    'trigger functions are volatile');
select bag_eq(
    $$ select name, volatility::text from function f where definer and not is_trigger and volatility <> 'v' $$,
    $$ values ('procrastinate_job_status', 's'), ('procrastinate_explain_job', 's'), ('procrastinate_check', 's'), ('procrastinate_cron_next', 's'), ('procrastinate_version', 'i') $$,
    'of the public functions only these read and do not write');

-- bodies

select bag_eq(
    $$ select name from function where source ~* 'when\s+others' $$, $$ values ('procrastinate_delete_in_steps') $$,
    'no function catches whatever comes, but one that leaves what a user''s trigger refuses for later');
select is_empty(
    $$ select signature from function where source ~* '#variable_conflict' $$,
    'no function lets PostgreSQL guess what a name means');
select is_empty(
    $$ select signature from function where regexp_replace(regexp_replace(source, '--[^\n]*', '', 'g'), '''[^'']*''|\$sql\$.*\$sql\$', '', 'g') ~ '\$[1-9]' $$,
    'no function speaks of its arguments by number');
select is_empty(
    $$ select signature from function where regexp_replace(source, '--[^\n]*', '', 'g') ~* '\ypg_(try_)?advisory_(lock|unlock)' $$,
    'no function takes a lock that outlives its transaction');
select is_empty(
    $$ select f.signature, m[1] as sqlstate from function f cross join regexp_matches(f.source, 'errcode = ''([^'']*)''', 'g') m
       where m[1] not similar to 'PJ0(0[1-9]|10)' and m[1] <> '40001' $$,
    'every SQLSTATE raised is one of the contract');

-- comments

select is_empty(
    $$ select signature from function where coalesce(obj_description(oid, 'pg_proc'), '') = '' $$,
    'every function has a comment');
select is_empty(
    $$ select name from relation where kind in ('r', 'p', 'v', 'm') and name <> 'procrastinate_schema_version' and coalesce(obj_description(oid, 'pg_class'), '') = '' $$,
    'every table and view has a comment, but the one that the migrations are counted in');
select is_empty(
    $$ select distinct t.typname
       from pg_type t
       where t.typnamespace = quote_ident(current_schema())::regnamespace and t.typtype in ('e', 'c', 'd')
         and (t.oid in (select p.prorettype from pg_proc p join function f using (oid) where f.definer)
              or t.oid in (select a.atttypid from pg_attribute a
                           where a.attrelid in ('procrastinate_jobs'::regclass, 'procrastinate_attempts'::regclass) and a.attnum > 0))
         and coalesce(obj_description(t.oid, 'pg_type'), obj_description(t.typrelid, 'pg_class'), '') = '' $$,
    'every type that users and workers see has a comment');

-- What docs/sql.md is made of. The comment of a public function says what it does, then in lines of their own (a line that
-- begins otherwise goes on with the one above it) what each argument means, what it returns, what each column of that
-- means, and what it raises: Raises CODE (when), CODE (when).

create temp table documented as
select f.oid, f.name, p.prorettype, coalesce(p.proargnames, '{}') as names, l.line, l.n, (regexp_match(l.line, '^([a-z_]+): .'))[1] as describes
from function f
join pg_proc p using (oid)
cross join regexp_split_to_table(obj_description(f.oid, 'pg_proc'), '\n') with ordinality l(line, n)
where f.definer and not f.is_trigger;

create temp table says_it_raises as
select d.name, m[1] as sqlstate
from (
    select d.name, string_agg(d.line, ' ' order by d.n) as text
    from documented d
    where d.n >= (select min(r.n) from documented r where r.oid = d.oid and r.line like 'Raises %')
    group by d.name
) d
cross join regexp_matches(d.text, '([0-9A-Z]{5}) \(([^()]+)\)[,.]', 'g') m;

-- through whatever it calls
create temp table can_raise as
with recursive code as (
    select f.oid, f.name, f.source, regexp_replace(regexp_replace(f.source, '--[^\n]*', '', 'g'), '''[^'']*''', '', 'g') as plain from function f
), call as materialized (
    select f.oid, g.oid as calls from code f join code g on strpos(f.plain, g.name) > 0 and f.plain ~ ('\y' || g.name || '\s*\(')
), reach as (
    select f.name, f.oid from function f where f.definer and not f.is_trigger
    union
    select r.name, c.calls from reach r join call c using (oid)
)
select distinct r.name, m[1] as sqlstate
from reach r
join code using (oid)
cross join regexp_matches(code.source, 'errcode = ''([^'']*)''', 'g') m
-- what is wrong with one schedule must not stop the clockwork: run_schedules catches it, and waits for no queueing lock
where (r.name, m[1]) not in (('procrastinate_tick', 'PJ001'), ('procrastinate_tick', 'PJ006'), ('procrastinate_tick', 'PJ008'), ('procrastinate_tick', '40001'),
                             ('procrastinate_run_schedule', '40001'));

-- the one table of SQLSTATEs
\set sqlstates `sed -n 's/^| \([0-9A-Z]\{5\}\) | .*/\1/p' docs/ARCHITECTURE.md`
create temp table sqlstate as select s.code from string_to_table(:'sqlstates', E'\n') s(code);

select is_empty(
    $$ select d.name, array_agg(d.describes order by d.n) filter (where d.describes is not null) as described, d.names
       from documented d
       group by d.oid, d.name, d.names
       having coalesce(array_agg(d.describes order by d.n) filter (where d.describes is not null), '{}') <> d.names $$,
    'the comment of a public function describes its arguments and the columns of its result, in their order, and nothing else');
select is_empty(
    $$ select d.name
       from documented d
       group by d.oid, d.name, d.prorettype
       having count(*) filter (where d.line like 'Returns %') <> (d.prorettype <> 'void'::regtype)::integer $$,
    'the comment of a public function says what it returns, if anything');
select set_eq(
    $$ select name, sqlstate from says_it_raises where sqlstate <> '23505' $$,
    $$ select name, sqlstate from can_raise $$,
    'what a public function, or one that it calls, may raise stands in its comment, and nothing else');
select set_eq(
    $$ select name from says_it_raises where sqlstate = '23505' $$,
    array['procrastinate_defer', 'procrastinate_defer_many', 'procrastinate_defer_row', 'procrastinate_run_schedule'],
    'those that defer say that a queueing lock may be taken');
select is_empty(
    $$ select distinct x.sqlstate from (select sqlstate from says_it_raises union all select sqlstate from can_raise) x
       where x.sqlstate not in (select code from sqlstate) $$,
    'every SQLSTATE that may be met is in the table of docs/ARCHITECTURE.md');
select is_empty(
    $$ select a.attrelid::regclass, a.attname
       from pg_attribute a
       where a.attrelid in ('procrastinate_jobs'::regclass, 'procrastinate_attempts'::regclass, 'procrastinate_tasks'::regclass, 'procrastinate_queues'::regclass,
                            'procrastinate_schedules'::regclass, 'procrastinate_workers'::regclass, 'procrastinate_job'::regclass,
                            'procrastinate_queue_stats'::regclass, 'procrastinate_task_stats'::regclass, 'procrastinate_lock_stats'::regclass,
                            'procrastinate_worker_status'::regclass, 'procrastinate_schedule_status'::regclass)
         and a.attnum > 0 and not a.attisdropped and coalesce(col_description(a.attrelid, a.attnum), '') = '' $$,
    'every column that users and workers read has a comment');
select is_empty(
    $$ select e.enumtypid::regtype, e.enumlabel
       from pg_enum e join pg_type t on t.oid = e.enumtypid
       where t.typnamespace = quote_ident(current_schema())::regnamespace and obj_description(t.oid, 'pg_type') !~ format('\n%s: .', e.enumlabel) $$,
    'the comment of an enum describes each of its values');
select is_empty(
    $$ select d.name from documented d where d.n = 1 and (d.describes is not null or d.line ~ '^(Returns|Raises) ') $$,
    'the comment of a public function begins with what it does');

-- indexes, keys and triggers

select is_empty(
    $$ select i.indexrelid::regclass, pg_get_indexdef(i.indexrelid)
       from pg_index i
       where i.indrelid = 'procrastinate_jobs'::regclass
         and pg_get_indexdef(i.indexrelid) ~ '[ (](status|worker_id|attempts|started_at|finished_at|result)\y' $$,
    'no index of jobs mentions what a start or a finish changes');
select is_empty(
    $$ select c.conrelid::regclass, c.conname
       from pg_constraint c
       where c.contype = 'f' and c.connamespace = quote_ident(current_schema())::regnamespace
         and not exists (
             select from pg_index i
             where i.indrelid = c.conrelid and i.indpred is null
               and (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey) $$,
    'every foreign key has an index');
select is_empty(
    $$ select t.tgname from pg_trigger t join relation r on r.oid = t.tgrelid where not t.tgisinternal and t.tgtype & 1 = 1 $$,
    'triggers fire once a statement, not once a row');

-- rights, as a role meets them

create role procrastinate_test_somebody;
select format('grant usage on schema %I to procrastinate_test_somebody', current_schema()) \gexec

-- What a statement of that role meets: 'done', or the SQLSTATE.
create function pg_temp.somebody(p_sql text)
returns text
language plpgsql
as $function$
begin
    perform set_config('role', 'procrastinate_test_somebody', true);
    execute p_sql;
    perform set_config('role', 'none', true);
    return 'done';
exception when others then
    return sqlstate;
end;
$function$;

select is_empty(
    $$ select f.signature from function f where has_function_privilege('procrastinate_test_somebody', f.oid, 'execute') $$,
    'a role that was granted nothing may call nothing');
select is(pg_temp.somebody($$ select procrastinate_defer('a') $$), '42501', 'a role that was granted nothing cannot defer');
select lives_ok(
    $$ grant execute on function procrastinate_defer(text, jsonb, text, integer, text, text, timestamptz, interval, integer, interval, text, jsonb)
       to procrastinate_test_somebody $$,
    'a role is let defer');
select is(
    pg_temp.somebody($$ select procrastinate_defer('a', lock => 'l', queueing_lock => 'q') $$), 'done',
    'a role that may defer needs no right on any table');
select is(pg_temp.somebody('select count(*) from procrastinate_jobs'), '42501', 'a role that may defer cannot read jobs');
select is(pg_temp.somebody('select procrastinate_job_status(1)'), '42501', 'a role that may defer may do nothing else');
select lives_ok('grant select, delete on procrastinate_jobs to procrastinate_test_somebody', 'a role is let delete jobs');
select is(pg_temp.somebody('delete from procrastinate_jobs'), 'done', 'a role that may delete jobs needs no right on any other table');
select is_empty('select * from procrastinate_check()', 'jobs that it deleted leave nothing dangling');

select lives_ok(
    $$ grant select on procrastinate_queue_stats, procrastinate_task_stats, procrastinate_lock_stats, procrastinate_worker_status, procrastinate_schedule_status
       to procrastinate_test_somebody $$,
    'a role is let read the views');
select is(
    pg_temp.somebody(format('select count(*) from %s', v)), 'done', v || ' needs no other right to be read')
from unnest('{procrastinate_queue_stats,procrastinate_task_stats,procrastinate_lock_stats,procrastinate_worker_status,procrastinate_schedule_status}'::text[]) v;

-- A function that looked into pg_temp first would write here.
create temp table procrastinate_jobs (like procrastinate_jobs including all);
select lives_ok($$ select procrastinate_defer('a') $$, 'beside a temporary table of the jobs'' name a job is deferred');
select is_empty('select * from pg_temp.procrastinate_jobs', 'a temporary table of that name deceives no function');
drop table pg_temp.procrastinate_jobs;
delete from procrastinate_jobs;
-- Of the jobs above tokens are left, and a fetch of three would take them for some of the three.
select procrastinate_repair() \g /dev/null

-- one life of three jobs, by the counters of this transaction

create temp table made as
select procrastinate_register_worker('w') as worker_id, array(select procrastinate_defer_many('[{"task": "a"}, {"task": "a", "lock": "x"}, {"task": "a"}]')) as job_ids;
select pg_stat_get_xact_tuples_updated(o) as updated, pg_stat_get_xact_tuples_hot_updated(o) as hot from (select 'procrastinate_jobs'::regclass::oid) r(o) \gset
select count(*) from made m cross join procrastinate_fetch_jobs(m.worker_id, 3) \g /dev/null
select is(
    (pg_stat_get_xact_tuples_updated(o) - :updated, pg_stat_get_xact_tuples_hot_updated(o) - :hot)::text, '(3,3)',
    'a start is an update that touches no index')
from (select 'procrastinate_jobs'::regclass::oid) r(o);
select procrastinate_finish_jobs(worker_id, job_ids, array['{"r": 1}', '{"r": 2}', null]::jsonb[]) from made \g /dev/null
select is(
    (pg_stat_get_xact_tuples_updated(o) - :updated, pg_stat_get_xact_tuples_hot_updated(o) - :hot)::text, '(6,6)',
    'a finish is an update that touches no index')
from (select 'procrastinate_jobs'::regclass::oid) r(o);

select * from finish();
rollback;
