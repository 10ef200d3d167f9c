-- What plpgsql_check finds in the functions. PL/pgSQL looks at a statement when it first runs, and then only at the branch that
-- is taken; plpgsql_check reads them all. It is made here, and gone with the rollback.
begin;
select plan(5);

create function pg_temp.why_not() returns text language plpgsql as $function$
begin
    if not exists (select from pg_available_extensions where name = 'plpgsql_check') then
        return 'the server has no plpgsql_check';
    end if;
    create schema if not exists plpgsql_check;      -- the schema under test may have a name that the extension refuses
    create extension if not exists plpgsql_check schema plpgsql_check;
    return '';
exception when insufficient_privilege then
    return 'this role may not create the extension plpgsql_check';
end;
$function$;
set local client_min_messages = warning;
select pg_temp.why_not() as why_not \gset
select :'why_not' = '' as is_there \gset

-- One that is wrong, to see that wrong ones are found.
create function procrastinate_wrong() returns void language plpgsql as
    $$ begin if false then perform j.no_such_column from procrastinate_jobs j; end if; end $$;

-- A function for users' triggers is read as one of them calls it.
create temp table orders (id bigint primary key);
create trigger orders after update on orders referencing old table as old_rows new table as new_rows for each statement
    execute function procrastinate_defer_row('bill');

create temp view function as
select p.oid, p.proname as name, l.lanname as language, p.prorettype = 'trigger'::regtype as is_trigger
from pg_proc p
join pg_language l on l.oid = p.prolang
where p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname like 'procrastinate\_%';

\if :is_there
-- A server that has the extension already has it in a schema of its choice.
select set_config('search_path', format('%s, %I', current_setting('search_path'), n.nspname), true)
from pg_extension e
join pg_namespace n on n.oid = e.extnamespace
where e.extname = 'plpgsql_check' \g /dev/null

-- A trigger function is read once for each trigger that calls it. What two functions execute is put together elsewhere, of names
-- quoted by format, and no more is known of it here.
create temp view finding as
select f.name, c.level, c.lineno, c.sqlstate, c.message, c.detail, c.query
from function f
left join pg_trigger t on t.tgfoid = f.oid and not t.tgisinternal
cross join lateral plpgsql_check_function_tb(
    f.oid, coalesce(t.tgrelid, 0)::regclass, fatal_errors => false, other_warnings => true, extra_warnings => true, performance_warnings => true,
    security_warnings => true, compatibility_warnings => true, oldtable => t.tgoldtable, newtable => t.tgnewtable) c
where f.language = 'plpgsql'
  and not (f.name in ('procrastinate_defer_row', 'procrastinate_row_to_jsonb') and c.message = 'text type variable is not sanitized');

select is_empty($$ select * from finding where name <> 'procrastinate_wrong' and level = 'error' $$, 'no function has an error in any branch');
select is_empty(
    $$ select * from finding where name <> 'procrastinate_wrong' and level <> 'error' $$,
    'no function has anything else that plpgsql_check warns of: what is unused, cast at run time, unsafe, or less volatile than it says');
select isnt_empty($$ select * from finding where name = 'procrastinate_wrong' and level = 'error' and sqlstate = '42703' $$, 'one with an error is found');
\else
select skip(:'why_not', 3);
\endif

-- It does not read functions in SQL; those are read when they are made, so they are made once more.
create function pg_temp.made_anew(p_function oid) returns text language plpgsql as $function$
begin
    execute pg_get_functiondef(p_function);
    return null;
exception when syntax_error_or_access_rule_violation then
    return sqlerrm;
end;
$function$;
set local check_function_bodies = on;
select is_empty(
    $$ select * from (select f.name, pg_temp.made_anew(f.oid) as error from function f where f.language = 'sql') m where m.error is not null $$,
    'no function in SQL speaks of what is no more');
select is_empty($$ select name, language from function where language not in ('plpgsql', 'sql') $$, 'there is no function in another language');

select * from finish();
rollback;
