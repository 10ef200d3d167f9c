-- Nothing is executable by everybody; procrastinate_* functions of this schema only. Those that never were are left alone:
-- in an extension's update a revoke would make all privileges the extension's own, and no dump would bring those that users gave.
do $block$
declare
    v_function regprocedure;
begin
    for v_function in
        select p.oid
        from pg_proc p
        where p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname like 'procrastinate\_%'
          and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x where x.grantee = 0)
    loop
        execute format('revoke execute on function %s from public', v_function);
    end loop;
end;
$block$;
