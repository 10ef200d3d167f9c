-- What is in the schema that is first in search_path, a line each: two installations are equal if their lines are.
-- Without oids, and without saying whether all belongs to an extension.
with here as (
    select n.oid
    from pg_namespace n
    where n.nspname = current_schema()
), object(class, oid, kind, name, owner, acl, default_acl, definition) as (
    select
        'pg_class'::regclass, c.oid, c.relkind::text, c.relname::text, c.relowner, c.relacl, case c.relkind when 'S' then 's' else 'r' end,
        concat_ws(' ', c.relpersistence, c.relrowsecurity, c.relreplident, a.amname, c.reloptions,
            case c.relkind when 'i' then pg_get_indexdef(c.oid) when 'v' then pg_get_viewdef(c.oid) end)
    from pg_class c
    join here on here.oid = c.relnamespace
    left join pg_am a on a.oid = c.relam
    union all
    select 'pg_proc'::regclass, p.oid, 'function', p.oid::regprocedure::text, p.proowner, p.proacl, 'f', pg_get_functiondef(p.oid)
    from pg_proc p
    join here on here.oid = p.pronamespace
    union all
    select
        'pg_type'::regclass, t.oid, 'type', t.typname::text, t.typowner, t.typacl, 'T',
        concat_ws(' ', t.typtype, t.typcategory, t.typlen, t.typelem::regtype, t.typrelid::regclass,
            array(select e.enumlabel from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder))
    from pg_type t
    join here on here.oid = t.typnamespace
    union all
    select
        'pg_constraint'::regclass, c.oid, 'constraint', concat_ws(' ', c.conname, c.conrelid::regclass), null, null, null,
        concat_ws(' ', pg_get_constraintdef(c.oid), c.convalidated)
    from pg_constraint c
    join here on here.oid = c.connamespace
    union all
    select
        'pg_trigger'::regclass, t.oid, 'trigger', concat_ws(' ', t.tgname, t.tgrelid::regclass), null, null, null,
        concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid
    join here on here.oid = c.relnamespace
    where not t.tgisinternal
), line(kind, name, what) as (
    select o.kind, o.name, concat('is ', o.definition)
    from object o
    union all
    select o.kind, o.name, concat('belongs to ', o.owner::regrole)
    from object o
    where o.owner is not null
    union all
    select o.kind, o.name, concat('lets ', case x.grantee when 0 then 'everybody' else x.grantee::regrole::text end, ' ', x.privilege_type, ' ', x.is_grantable)
    from object o
    cross join aclexplode(coalesce(o.acl, acldefault(o.default_acl::"char", o.owner))) x
    where o.owner is not null
    union all
    select o.kind, o.name, concat('means ', d.description)
    from object o
    join pg_description d on d.classoid = o.class and d.objoid = o.oid and d.objsubid = 0
    union all
    select
        o.kind, o.name, concat_ws(' ', 'has', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation,
            case when a.attnotnull then 'not null' end, a.attidentity, a.attgenerated, a.attstorage, a.attacl,
            pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
    from object o
    join pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where o.class = 'pg_class'::regclass
    union all
    select
        o.kind, o.name, concat_ws(' ', 'counts', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
            d.deptype, d.refobjid::regclass, d.refobjsubid)
    from object o
    join pg_sequence s on s.seqrelid = o.oid
    left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = o.oid and d.refclassid = 'pg_class'::regclass
)
select concat_ws(' ', l.kind, l.name, l.what)
from line l
order by 1
