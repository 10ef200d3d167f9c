create or replace function procrastinate_version()
returns text
language sql
immutable
security definer
set search_path from current
as $function$
    select '0.1.0'
$function$;

comment on function procrastinate_version() is
'The version of the functions that are installed.
Returns it, as in 0.1.0.';
