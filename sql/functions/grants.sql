-- Nothing is executable by everybody; procrastinate_* functions of this schema only.
do $block$
declare
    v_function regprocedure;
begin
    for v_function in
        select p.oid
        from pg_proc p
        where p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname like 'procrastinate\_%'
    loop
        execute format('revoke execute on function %s from public', v_function);
    end loop;
end;
$block$;
