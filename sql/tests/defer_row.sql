-- The rows of users' tables. All tables here are made for it, the last ones by a role that would like to be another.
begin;
select plan(82);

-- What the jobs are, in their order; each question forgets them.
create function pg_temp.jobs() returns setof jsonb language plpgsql as $function$
begin
    return query
        select jsonb_strip_nulls(jsonb_build_object('task', j.task_name, 'lock', j.lock)) || j.args - '{schema,table}'::text[]
        from procrastinate_jobs j
        order by j.id;
    delete from procrastinate_jobs;
end;
$function$;

create function pg_temp.refusal(p_sql text) returns text language plpgsql as $function$
begin
    execute p_sql;
    return 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end;
$function$;

-- for each row

create table orders (id integer primary key, item text);
create trigger each after insert or update or delete on orders for each row execute function procrastinate_defer_row('bill');
insert into orders values (1, 'tea'), (2, null);
select is(args, jsonb_build_object('operation', 'INSERT', 'schema', current_schema(), 'table', 'orders', 'new', '{"id": 1, "item": "tea"}'::jsonb),
    'args are the operation, the schema, the table and the row')
from procrastinate_jobs order by id limit 1;
select results_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "bill", "operation": "INSERT", "new": {"id": 1, "item": "tea"}}'::jsonb),
              ('{"task": "bill", "operation": "INSERT", "new": {"id": 2, "item": null}}') $$,
    'each inserted row gets its job, with the new row only');
update orders set item = 'milk' where id = 2;
select results_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "bill", "operation": "UPDATE", "new": {"id": 2, "item": "milk"}, "old": {"id": 2, "item": null}}'::jsonb) $$,
    'an updated row gets a job with the new row and the old one');
delete from orders;
select bag_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "bill", "operation": "DELETE", "old": {"id": 1, "item": "tea"}}'::jsonb),
              ('{"task": "bill", "operation": "DELETE", "old": {"id": 2, "item": "milk"}}') $$,
    'a deleted row gets a job with the old row only');
insert into orders values (1, 'tea') on conflict do nothing;
insert into orders values (1, 'coffee') on conflict (id) do update set item = excluded.item;
select results_eq('select pg_temp.jobs() ->> $$operation$$', $$ values ('INSERT'), ('UPDATE') $$, 'an upsert defers for what became of it');
savepoint before;
insert into orders values (7, 'regret');
rollback to before;
select is_empty('select pg_temp.jobs()', 'a row that is rolled back takes its job with it');

-- What a trigger on orders, whose arguments these are, makes of an insert.
create function pg_temp.insert_with(p_arguments text, p_row text default '(99, ''x'')') returns text language plpgsql as $function$
begin
    execute format('create or replace trigger each after insert on orders for each row execute function procrastinate_defer_row(%s)', p_arguments);
    delete from orders where id = 99;
    return pg_temp.refusal('insert into orders values ' || p_row);
end;
$function$;

-- what the trigger says

select pg_temp.insert_with($$ 'bill', 'queue=q', 'priority=-5', 'lock=l', 'queueing_lock=ql', 'schedule_at=2101-02-03 04:05:06Z', 'max_attempts=7',
    'timeout=8 min', 'on_conflict=skip', 'metadata={"y": "a=b"}' $$);
select results_eq(
    'select task_name::text, queue_name::text, priority, lock::text, queueing_lock::text, scheduled_at::timestamptz, max_attempts::integer, timeout, metadata from procrastinate_jobs',
    $$ values ('bill', 'q', -5, 'l', 'ql', '2101-02-03 04:05:06Z'::timestamptz, 7, '8 min'::interval, '{"y": "a=b"}'::jsonb) $$,
    'each argument of the trigger is stored in its place');
select pg_temp.insert_with($$ 'bill', 'queueing_lock=ql', 'queue=q', 'lock=l', 'on_conflict=replace', 'priority=3' $$) \g /dev/null
select is((select array_agg(priority) from procrastinate_jobs), '{3}', 'a waiting job is replaced when the trigger says so');
select matches(pg_temp.insert_with($$ 'bill', 'queueing_lock=ql' $$), '^23505 ', 'a queueing lock that is taken fails the insert');
delete from procrastinate_jobs;
select pg_temp.insert_with($$ 'bill', 'schedule_in=1 hour' $$) \g /dev/null
select ok(scheduled_at between now() + interval '1 hour' and clock_timestamp() + interval '1 hour', 'schedule_in counts from the firing') from procrastinate_jobs;
delete from procrastinate_jobs;

select procrastinate_define_task('bill', queue => 'tq', priority => 3, lock => '{table}-{id}', max_attempts => 4, timeout => '5 s');
select pg_temp.insert_with($$ 'bill' $$), pg_temp.insert_with($$ 'bill', 'queue=q', 'priority=0', 'lock=l', 'max_attempts=1', 'timeout=1 s' $$) \g /dev/null
select results_eq(
    'select queue_name::text, priority, lock::text, max_attempts::integer, timeout from procrastinate_jobs order by id',
    $$ values ('tq', 3, 'orders-99', 4, '5 s'::interval), ('q', 0, 'l', 1, '1 s') $$,
    'what the trigger does not say comes from the task''s definition, whose lock may name columns');
select procrastinate_drop_task('bill') \g /dev/null
delete from procrastinate_jobs;

alter table orders add customer_id integer, add due timestamp, add "table" text;
select pg_temp.insert_with(
    $$ 'bill', 'lock={schema}.{operation}-{customer_id}', 'queueing_lock={table}:{item}', 'schedule_at={due}' $$,
    $$ (99, '{id}', 6, '2101-02-03', 'of the row') $$) \g /dev/null
select results_eq(
    'select lock::text, queueing_lock::text, scheduled_at::timestamptz from procrastinate_jobs',
    $$ select (current_schema() || '.INSERT-6') collate "default", 'of the row:{id}', '2101-02-03'::timestamptz $$,
    'locks and schedule_at may name columns, or else operation, schema and table; values are not looked into for braces');
delete from procrastinate_jobs;
select is(
    pg_temp.insert_with($$ 'bill', 'lock=customer-{customer_id}' $$), 'PJ008 columns lack customer_id, which the lock names',
    'a column that the lock names must not be NULL');
select is(
    pg_temp.insert_with($$ 'bill', 'queueing_lock={price}' $$), 'PJ008 columns lack price, which the queueing_lock names',
    'a column that the queueing lock names must be there');
select is(
    pg_temp.insert_with($$ 'bill', 'schedule_at={due}' $$), 'PJ008 columns lack due, which the schedule_at names',
    'a column that schedule_at names must not be NULL');
select is(pg_temp.insert_with($$ 'bill', 'schedule_at={item}' $$), 'PJ001 invalid schedule_at: x', 'schedule_at must be a time when it is filled');
select is(
    pg_temp.insert_with($$ 'bill', 'lock={item}' $$, format('(99, %L)', repeat('x', 1025))),
    'PJ001 invalid lock: 1025 bytes, at most 1024 are accepted', 'a lock that grows too large with its columns is refused');
alter table orders drop column customer_id, drop column due, drop column "table";

select is(pg_temp.insert_with(c.arguments), 'PJ001 ' || c.refusal, c.arguments || ' is refused')
from (values
    ('',                                              'invalid task: NULL'),
    ($$''$$,                                          'invalid task: 0 characters, 1 to 128 are accepted'),
    ($$'queue=q'$$,                                   'invalid task: queue=q'),
    ($$'a', 'q'$$,                                    'invalid argument q: not name=value'),
    ($$'a', 'args={}'$$,                              'invalid argument args={}: unknown name'),
    ($$'a', 'Queue=q'$$,                              'invalid argument Queue=q: unknown name'),
    ($$'a', 'queue=q', 'queue=r'$$,                   'invalid argument queue=r: given twice'),
    ($$'a', 'queue='$$,                               'invalid queue: 0 characters, 1 to 128 are accepted'),
    ($$'a', 'priority=high'$$,                        'invalid priority: high'),
    ($$'a', 'priority=3000000000'$$,                  'invalid priority: 3000000000'),
    ($$'a-{id}'$$,                                    'invalid task: a-{id}'),
    ($$'a', 'queue=q-{id}'$$,                         'invalid queue: q-{id}'),
    ($$'a', 'queue=q}'$$,                             'invalid queue: q}'),
    ($$'a', 'priority={id}'$$,                        'invalid priority: {id}'),
    ($$'a', 'lock={id'$$,                             'invalid lock: {id'),
    ($$'a', 'queueing_lock={}'$$,                     'invalid queueing_lock: {}'),
    ($$'a', 'schedule_in=soon'$$,                     'invalid schedule_in: soon'),
    ($$'a', 'schedule_in=-1 s'$$,                     'invalid schedule_in: -00:00:01'),
    ($$'a', 'schedule_in=1 s', 'schedule_at=now'$$,   'invalid schedule_in: schedule_at is given too'),
    ($$'a', 'schedule_at=infinity'$$,                 'invalid schedule_at: infinity, a finite time is accepted'),
    ($$'a', 'max_attempts=0'$$,                       'invalid max_attempts: 0, a job runs at least once'),
    ($$'a', 'timeout=0'$$,                            'invalid timeout: 00:00:00, from 1 ms to 100 years are accepted'),
    ($$'a', 'on_conflict=ignore'$$,                   'invalid on_conflict: ignore, accepted are error, skip, replace and update'),
    ($$'a', 'metadata=5'$$,                           'invalid metadata: a JSON number, not an object'),
    ($$'a', 'metadata={'$$,                           'invalid metadata: {')) c(arguments, refusal);
select is_empty('select pg_temp.jobs()', 'what is refused defers nothing');
select is_empty('select * from orders where id = 99', 'and the row is not inserted either');
drop trigger each on orders;

-- triggers that cannot be meant

create function pg_temp.made(p_trigger text, p_sql text) returns text language plpgsql as $function$
declare
    v_refusal text;
begin
    execute format('create trigger made %s execute function procrastinate_defer_row(''bill'')', p_trigger);
    v_refusal := pg_temp.refusal(p_sql);
    execute format('drop trigger made on %s', (regexp_match(p_trigger, ' on (\w+)'))[1]);
    return v_refusal;
end;
$function$;
create view order_view as select * from orders;
create table keyless (id integer);
insert into keyless values (1);
create table late (id integer primary key deferrable);
insert into late values (1);
select is(pg_temp.made(c.trigger, c.sql), 'PJ001 invalid trigger made: ' || c.refusal, c.trigger || ' is refused')
from (values
    ('before insert on orders for each row',           'insert into orders values (99)', 'BEFORE INSERT'),
    ('instead of insert on order_view for each row',   'insert into order_view values (99)', 'INSTEAD OF INSERT'),
    ('after truncate on orders for each statement',    'truncate orders', 'AFTER TRUNCATE'),
    ('after insert on orders for each statement',      'insert into orders values (99)', 'for each statement, without its rows'),
    ('after update on keyless referencing old table as o new table as n for each statement',
                                                       'update keyless set id = 2', 'without a primary key nothing joins old rows and new ones'),
    ('after update on late referencing old table as o new table as n for each statement',
                                                       'update late set id = 2', 'without a primary key nothing joins old rows and new ones')
) c(trigger, sql, refusal);
drop view order_view;

-- for each statement

create trigger inserted after insert on orders referencing new table as new_rows for each statement
    execute function procrastinate_defer_row('bill', 'lock=order-{id}');
create trigger updated after update on orders referencing old table as old_rows new table as new_rows for each statement
    execute function procrastinate_defer_row('bill');
create trigger deleted after delete on orders referencing old table as "Old ""Rows""" for each statement
    execute function procrastinate_defer_row('bill', 'lock=order-{id}');
delete from orders;
delete from procrastinate_jobs;
insert into orders values (3, 'x'), (1, 'y'), (2, 'z');
select results_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "bill", "lock": "order-3", "operation": "INSERT", "new": {"id": 3, "item": "x"}}'::jsonb),
              ('{"task": "bill", "lock": "order-1", "operation": "INSERT", "new": {"id": 1, "item": "y"}}'),
              ('{"task": "bill", "lock": "order-2", "operation": "INSERT", "new": {"id": 2, "item": "z"}}') $$,
    'each row of a statement gets its job, in their order');
update orders set item = item || '!' where id > 1;
select bag_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "bill", "operation": "UPDATE", "new": {"id": 3, "item": "x!"}, "old": {"id": 3, "item": "x"}}'::jsonb),
              ('{"task": "bill", "operation": "UPDATE", "new": {"id": 2, "item": "z!"}, "old": {"id": 2, "item": "z"}}') $$,
    'old rows and new ones are joined by the primary key');
update orders set id = case id when 3 then 30 else id end, item = 'k';
select bag_eq(
    'select pg_temp.jobs() - $$task$$ - $$operation$$',
    $$ values ('{"new": {"id": 30, "item": "k"}}'::jsonb), ('{"new": {"id": 1, "item": "k"}, "old": {"id": 1, "item": "y"}}'),
              ('{"new": {"id": 2, "item": "k"}, "old": {"id": 2, "item": "z!"}}') $$,
    'a row whose primary key no row had has no old one');
alter table orders add tenant integer not null default 0, add extra integer[], drop constraint orders_pkey, add primary key (tenant, id);
insert into orders values (30, 'other tenant', 1);
delete from procrastinate_jobs;
update orders set extra = '{1}' where id = 30;
select bag_eq(
    'select pg_temp.jobs() - $$task$$ - $$operation$$',
    $$ values ('{"new": {"id": 30, "item": "k", "tenant": 0, "extra": [1]}, "old": {"id": 30, "item": "k", "tenant": 0, "extra": null}}'::jsonb),
              ('{"new": {"id": 30, "item": "other tenant", "tenant": 1, "extra": [1]}, "old": {"id": 30, "item": "other tenant", "tenant": 1, "extra": null}}') $$,
    'also by one of several columns, and after columns were added');
alter table orders drop column item;
update orders set extra = null where id < 0;
delete from orders where false;
select is_empty('select pg_temp.jobs()', 'a statement without rows defers nothing');
delete from orders where tenant = 1;
select results_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "bill", "lock": "order-30", "operation": "DELETE", "old": {"id": 30, "tenant": 1, "extra": [1]}}'::jsonb) $$,
    'transition tables may have any name, and columns that were dropped are not in the rows');
drop trigger updated on orders;
create trigger updated after update on orders referencing old table as old_rows for each statement execute function procrastinate_defer_row('bill', 'lock={tenant}');
update orders set tenant = 5 where id = 1;
select results_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "bill", "lock": "0", "operation": "UPDATE", "old": {"id": 1, "tenant": 0, "extra": null}}'::jsonb) $$,
    'an update that references the old rows only has these');
drop trigger updated on orders;
create trigger updated after update on orders referencing new table as new_rows for each statement execute function procrastinate_defer_row('bill', 'lock={tenant}');
update orders set tenant = 6 where id = 1;
select results_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "bill", "lock": "6", "operation": "UPDATE", "new": {"id": 1, "tenant": 6, "extra": null}}'::jsonb) $$,
    'an update that references the new rows only has these');

insert into orders (id) select -n from generate_series(1, 2500) n;
select results_eq(
    'select (args #>> $${new,id}$$)::integer, lock::text from procrastinate_jobs order by id',
    $$ select -n, 'order--' || n from generate_series(1, 2500) n $$,
    'thousands of rows get their jobs in their order');
select is_empty('select * from procrastinate_check()', 'all is well with them');
delete from procrastinate_jobs;
select is(
    pg_temp.refusal('insert into orders (id) select nullif(n, 2400) from generate_series(10001, 12500) n'), 'accepted', 'a statement without faults is accepted');
delete from procrastinate_jobs;
alter table orders drop constraint orders_pkey, alter id drop not null;
select is(
    pg_temp.refusal('insert into orders (id) select nullif(n, 22400) from generate_series(20001, 22500) n'), 'PJ008 columns lack id, which the lock names',
    'one row among thousands that gets no job fails the statement');
select is_empty('select pg_temp.jobs()', 'and so none has one');

create or replace trigger inserted after insert on orders referencing new table as new_rows for each statement
    execute function procrastinate_defer_row('bill', 'queueing_lock={tenant}', 'on_conflict=replace');
insert into orders (id, tenant) select n, n % 3 from generate_series(1, 3000) n;
select bag_eq(
    'select queueing_lock::text, (args #>> $${new,id}$$)::integer from procrastinate_jobs',
    $$ values ('0', 3000), ('1', 2998), ('2', 2999) $$,
    'rows of one queueing lock share a job, and the last is what it is for');
delete from procrastinate_jobs;
drop table orders cascade;

-- tables of all sorts, whose jobs one session defers in turn

create table odd (
    "new" numeric, "old" double precision, r bytea, s timestamptz, t jsonb, "row" text generated always as ('g') stored, "pla""ce" text, "%I" integer, "a{b}" text);
create trigger odd_row after insert on odd for each row execute function procrastinate_defer_row('row', 'lock={pla"ce}-{%I}');
create trigger odd_statement after insert on odd referencing new table as new_rows for each statement execute function procrastinate_defer_row('statement', 'lock={pla"ce}-{%I}');
create table "Even %I" (t date primary key);
create trigger even_row after insert on "Even %I" for each row execute function procrastinate_defer_row('row', 'lock={table}');
create trigger even_statement after insert on "Even %I" referencing new table as t for each statement execute function procrastinate_defer_row('statement', 'lock={table}');
set local timezone = 'Asia/Kolkata';
set local bytea_output = hex;
insert into odd values ('NaN', '-Infinity', '\x00ff', '2026-01-02 03:04:05.6+00', '[null, {"a": 1e400}]', default, E'\n"''', 7, 'b');
insert into "Even %I" values ('infinity');
insert into odd ("new", "pla""ce", "%I") values (1e100, '', 0);
select results_eq(
    'select pg_temp.jobs() - $$operation$$',
    format($$
        select jsonb_build_object('task', task, 'lock', lock, 'new', row::jsonb)
        from (values
            (1, E'\n"''-7', '{"new": "NaN", "old": "-Infinity", "r": "\\x00ff", "s": "2026-01-02T08:34:05.6+05:30", "t": [null, {"a": %1$s}], "row": "g", "pla\"ce": "\n\"''", "%%I": 7, "a{b}": "b"}'),
            (2, 'Even %%I', '{"t": "infinity"}'),
            (3, '-0', '{"new": %2$s, "old": null, "r": null, "s": null, "t": null, "row": "g", "pla\"ce": "", "%%I": 0, "a{b}": null}')) v(n, lock, row)
        cross join unnest('{row,statement}'::text[]) task
        order by n, task $$, 1e400::numeric, 1e100::numeric),
    'columns of any name and type come as to_jsonb makes them, at both levels');
drop table odd, "Even %I";

create table parted (id integer, kind text, primary key (kind, id)) partition by list (kind);
create table parted_a partition of parted for values in ('a');
create table parted_rest (kind text, gone integer, id integer not null, primary key (kind, id)) partition by list (kind);
alter table parted_rest drop column gone;
alter table parted attach partition parted_rest default;
create table parted_leaf partition of parted_rest default;
create trigger each after insert or update on parted for each row execute function procrastinate_defer_row('row');
create trigger updated after update on parted referencing old table as o new table as n for each statement execute function procrastinate_defer_row('statement');
insert into parted values (1, 'a'), (2, 'b');
insert into parted_leaf values ('c', 3);
select results_eq(
    'select args ->> $$table$$ as "table", args -> $$new$$ as "new" from procrastinate_jobs order by id',
    $$ values ('parted', '{"id": 1, "kind": "a"}'::jsonb), ('parted', '{"id": 2, "kind": "b"}'), ('parted', '{"id": 3, "kind": "c"}') $$,
    'a row in a partition is one of the table that the trigger was made for');
delete from procrastinate_jobs;
update parted set id = id + 10, kind = case kind when 'b' then 'a' else kind end;
select bag_eq(
    'select pg_temp.jobs()',
    $$ values ('{"task": "row", "operation": "UPDATE", "new": {"id": 11, "kind": "a"}, "old": {"id": 1, "kind": "a"}}'::jsonb),
              ('{"task": "row", "operation": "INSERT", "new": {"id": 12, "kind": "a"}}'),
              ('{"task": "row", "operation": "UPDATE", "new": {"id": 13, "kind": "c"}, "old": {"id": 3, "kind": "c"}}'),
              ('{"task": "statement", "operation": "UPDATE", "new": {"id": 11, "kind": "a"}}'),
              ('{"task": "statement", "operation": "UPDATE", "new": {"id": 12, "kind": "a"}}'),
              ('{"task": "statement", "operation": "UPDATE", "new": {"id": 13, "kind": "c"}}') $$,
    'a row that moves to another partition is an insert there for the row, an update for the statement');
drop table parted;

create constraint trigger late after insert on keyless deferrable initially deferred for each row execute function procrastinate_defer_row('bill');
insert into keyless values (2);
select is_empty('select pg_temp.jobs()', 'a deferred trigger defers nothing yet');
set constraints all immediate;
select isnt_empty('select pg_temp.jobs()', 'but it does when its time has come');

-- rights

create role procrastinate_test_owner;
create role procrastinate_test_clerk;
select format('grant usage, create on schema %I to procrastinate_test_owner', current_schema()),
       format('grant usage on schema %I to procrastinate_test_clerk', current_schema()) \gexec
create function pg_temp.as_role(p_role text, p_sql text) returns text language plpgsql as $function$
declare
    v_refusal text;
begin
    perform set_config('role', p_role, true);
    v_refusal := pg_temp.refusal(p_sql);
    perform set_config('role', 'none', true);
    return v_refusal;
end;
$function$;
select is(pg_temp.as_role('procrastinate_test_owner', $$ create table wages (id integer, amount integer) $$), 'accepted', 'a role makes a table');
select is(
    pg_temp.as_role('procrastinate_test_owner',
        $$ create trigger raised after insert on wages for each row execute function procrastinate_defer_row('pay') $$),
    '42501 permission denied for function procrastinate_defer_row', 'who makes a trigger needs execute on its function');
grant execute on function procrastinate_defer_row() to procrastinate_test_owner;
select is(
    pg_temp.as_role('procrastinate_test_owner', $$
        create trigger raised after insert on wages for each row execute function procrastinate_defer_row('pay');
        grant insert on wages to procrastinate_test_clerk $$),
    'accepted', 'and nothing else of us');
select is(pg_temp.as_role('procrastinate_test_clerk', 'insert into wages values (1, 100)'), 'accepted', 'a role that may insert into the table may insert');
select results_eq(
    'select pg_temp.jobs()', $$ values ('{"task": "pay", "operation": "INSERT", "new": {"id": 1, "amount": 100}}'::jsonb) $$,
    'and that defers the job');
select matches(pg_temp.as_role('procrastinate_test_clerk', $$ select procrastinate_defer('pay') $$), '^42501 ', 'it may not defer by itself');

-- Whose code would run with our owner's rights leaves its name here.
create table trespass (who text);
select is(
    pg_temp.as_role('procrastinate_test_owner', $$
        create type mood as enum ('sad', 'it''s ok');
        create type pair as (mood mood, n integer);
        create domain positive as integer check (value > 0);
        create domain temper as mood;
        create type period as range (subtype = integer);
        create type plain as (a integer, b text);
        create function spy(anyelement) returns json language plpgsql as
            'begin insert into trespass values (current_user); return to_json(current_user::text); end';
        create function spy_mood(mood) returns json language sql as 'select spy($1)';
        create function spy_period(period) returns json language sql as 'select spy($1::text)';
        create function spy_plain(plain) returns json language sql as 'select spy($1::text)';
        create cast (mood as json) with function spy_mood(mood);
        create cast (period as json) with function spy_period(period);
        create cast (plain as json) with function spy_plain(plain);
        create table feelings (id positive primary key, s text, mood mood, temper temper, moods mood[], pairs pair[], period period, plain plain);
        create trigger each after insert or update on feelings for each row execute function procrastinate_defer_row('row', 'lock={mood}');
        create trigger inserted after insert on feelings referencing new table as n for each statement
            execute function procrastinate_defer_row('statement', 'lock={mood}');
        create trigger updated after update on feelings referencing old table as o new table as n for each statement
            execute function procrastinate_defer_row('statement', 'lock={mood}');
        insert into feelings values (1, 's', 'sad', 'sad', '{it''s ok}', '{"(sad,1)"}', '[1,2]', '(3,x)');
        update feelings set mood = 'it''s ok', moods = null $$),
    'accepted', 'a role has types of its own, and casts of them to json');
create temp table was as
select '{"id": 1, "s": "s", "mood": "sad", "temper": "sad", "moods": "{\"it''s ok\"}", "pairs": "{\"(sad,1)\"}", "period": "[1,2]", "plain": {"a": 3, "b": "x"}}'::jsonb as sad;
select is_empty('select * from trespass', 'such a cast is not called with the rights of the owner of our functions');
select results_eq(
    'select pg_temp.jobs() - $$operation$$',
    $$ select jsonb_build_object('task', task, 'lock', 'sad', 'new', sad) from was cross join unnest('{row,statement}'::text[]) task
       union all
       select jsonb_build_object('task', task, 'lock', 'it''s ok', 'new', sad || '{"mood": "it''s ok", "moods": null}', 'old', sad)
       from was cross join unnest('{row,statement}'::text[]) task $$,
    'columns with them are text');
select is(
    pg_temp.as_role('procrastinate_test_owner', $$
        create temp table plain_rows (id integer);
        create function bait() returns integer language plpgsql as 'begin insert into trespass values (current_user); return 1; end';
        create temp view new_rows as select bait() as id;
        create trigger each after insert on plain_rows for each statement execute function procrastinate_defer_row('a');
        insert into plain_rows values (1) $$),
    'PJ001 invalid trigger each: for each statement, without its rows', 'a view named like a transition table is none');
select is_empty('select * from trespass', 'and is not read');

create type colour as enum ('red');
create table paints (colours colour[]);
create trigger each after insert on paints for each row execute function procrastinate_defer_row('a');
insert into paints values ('{red}');
select results_eq('select pg_temp.jobs() -> $$new$$', $$ values ('{"colours": ["red"]}'::jsonb) $$, 'columns with types of the owner of our functions are as any');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
