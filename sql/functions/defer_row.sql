-- A loop, for it can name the argument that is wrong.
create or replace function procrastinate_trigger_options(p_argv text[])
returns jsonb
language plpgsql
immutable
set search_path from current
as $function$
declare
    v_names   constant text[] := array[
        'queue', 'priority', 'lock', 'queueing_lock', 'schedule_at', 'schedule_in', 'max_attempts', 'timeout', 'on_conflict', 'metadata'];
    v_options jsonb := '{}'::jsonb;
    v_arg     text;
    v_name    text;
    v_value   text;
begin
    if p_argv[0] is null or p_argv[0] like '%=%' and split_part(p_argv[0], '=', 1) = any (v_names) then
        raise exception 'invalid task: %', coalesce(p_argv[0], 'NULL')
            using errcode = 'PJ001', hint = 'The first argument of the trigger is the task.';
    end if;
    if p_argv[0] ~ '[{}]' then
        raise exception 'invalid task: %', p_argv[0] using errcode = 'PJ001', detail = 'The task is no template: nothing replaces a {name}.';
    end if;
    foreach v_arg in array coalesce(p_argv[1:], '{}'::text[]) loop
        v_name := split_part(v_arg, '=', 1);
        v_value := substr(v_arg, length(v_name) + 2);
        if v_name <> all (v_names) or v_name = v_arg or v_options ? v_name then
            raise exception 'invalid argument %: %', v_arg, case
                    when v_name = v_arg then 'not name=value'
                    when v_name <> all (v_names) then 'unknown name'
                    else 'given twice'
                end
                using errcode = 'PJ001', hint = format('After the task come name=value, of %s.', array_to_string(v_names, ', '));
        end if;
        if v_name in ('lock', 'queueing_lock', 'schedule_at') then
            perform procrastinate_check_template(v_name, v_value);
        elsif v_name <> 'metadata' and v_value ~ '[{}]' then
            raise exception 'invalid %: %', v_name, v_value
                using errcode = 'PJ001', detail = 'Only lock, queueing_lock and schedule_at are templates: nothing replaces a {name} here.';
        end if;
        v_options := v_options || jsonb_build_object(v_name, v_value);
    end loop;
    return v_options;
end;
$function$;

comment on function procrastinate_trigger_options(text[]) is
    'The arguments of a trigger after the task, by name. Raises PJ001 when there is no task, or something else than name=value.';

-- The block around the casts writes nothing, so it costs no transaction id.
create or replace function procrastinate_trigger_job(p_task text, p_options jsonb)
returns procrastinate_new_job
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_policy procrastinate_tasks := procrastinate_policy(p_task);
    v_job    procrastinate_new_job;
    v_in     interval;
    v_name   text;
begin
    begin
        v_name := 'priority';       v_job.priority     := coalesce((p_options ->> v_name)::integer, v_policy.priority);
        v_name := 'schedule_in';    v_in               := (p_options ->> v_name)::interval;
        v_name := 'max_attempts';   v_job.max_attempts := coalesce((p_options ->> v_name)::integer, v_policy.max_attempts);
        v_name := 'timeout';        v_job.timeout      := coalesce((p_options ->> v_name)::interval, v_policy.timeout);
        v_name := 'metadata';       v_job.metadata     := coalesce((p_options ->> v_name)::jsonb, '{}'::jsonb);
    exception when data_exception then
        raise exception 'invalid %: %', v_name, p_options ->> v_name using errcode = 'PJ001', detail = sqlerrm;
    end;
    if v_in is not null then
        if p_options ? 'schedule_at' then
            raise exception 'invalid schedule_in: schedule_at is given too' using errcode = 'PJ001', hint = 'Give one of them.';
        end if;
        v_job.scheduled_at := procrastinate_due_at(null, v_in);
    end if;
    v_job.task_name := p_task;
    v_job.queue_name := coalesce(p_options ->> 'queue', v_policy.queue_name);
    v_job.lock := coalesce(p_options ->> 'lock', v_policy.lock);
    v_job.queueing_lock := p_options ->> 'queueing_lock';
    v_job.on_conflict := coalesce(p_options ->> 'on_conflict', 'error');
    return v_job;
end;
$function$;

comment on function procrastinate_trigger_job(text, jsonb) is
    'The job of a trigger, completed from its task''s definition; the locks are templates yet. Raises PJ001 for what has not the type of its parameter.';

create or replace function procrastinate_row_job(p_job procrastinate_new_job, p_schedule_at text, p_rows jsonb)
returns procrastinate_new_job
language plpgsql
stable
set search_path from current
as $function$
declare
    v_values jsonb := p_job.args || coalesce(p_rows -> 'new', p_rows -> 'old');
    v_at     text;
begin
    p_job.args := p_job.args || p_rows;
    if p_job.lock is not null then
        p_job.lock := procrastinate_fill_template(p_job.lock, v_values, 'lock', 'columns');
    end if;
    if p_job.queueing_lock is not null then
        p_job.queueing_lock := procrastinate_fill_template(p_job.queueing_lock, v_values, 'queueing_lock', 'columns');
    end if;
    if p_schedule_at is not null then
        v_at := procrastinate_fill_template(p_schedule_at, v_values, 'schedule_at', 'columns');
        begin
            p_job.scheduled_at := v_at::timestamptz;
        exception when data_exception then
            raise exception 'invalid schedule_at: %', v_at using errcode = 'PJ001', detail = sqlerrm;
        end;
    end if;
    return p_job;
end;
$function$;

comment on function procrastinate_row_job(procrastinate_new_job, text, jsonb) is
    'The job of one row: the trigger''s, its templates filled with the columns of the row. Raises PJ008 for a column that is absent or NULL, PJ001 for a time that is none.';

-- to_jsonb calls a cast to json that the owner of an enum, range or base type has made, and here it would run with the rights of
-- the owner of these functions. So a column with such a type in it, of an owner who has not these rights anyhow, is made
-- text first: output functions and format call nobody's code. To ask for the casts is not enough, one may be made meanwhile.
create or replace function procrastinate_row_columns(p_table oid)
returns text
language plpgsql
stable
set search_path from current
as $function$
begin
    return (
        with recursive part as (
            select a.attnum, a.atttypid as type
            from pg_attribute a
            where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped
            union
            select p.attnum, inside.type
            from part p
            join pg_type t on t.oid = p.type
            cross join lateral (
                select t.typbasetype union all
                select t.typelem union all
                select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
            ) inside(type)
            where inside.type >= 16384
        ), alien as (
            select p.attnum
            from part p
            join pg_type t on t.oid = p.type
            where t.oid >= 16384 and t.typtype not in ('c', 'd') and t.typelem = 0
              and not pg_has_role(t.typowner, current_user, 'usage')
        )
        select string_agg(
                case when a.attnum in (select x.attnum from alien x)
                    then format('case when num_nulls(r.%1$I) = 0 then format(''%%s'', r.%1$I) end as %1$I', a.attname)
                    else format('r.%I', a.attname) end,
                ', ' order by a.attnum)
        from pg_attribute a
        where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped
        having count(*) filter (where a.attnum in (select x.attnum from alien x)) > 0
    );
end;
$function$;

comment on function procrastinate_row_columns(oid) is
    'The columns of a table r as a select list that makes a row safe for to_jsonb, NULL when it is safe as it is.';

create or replace function procrastinate_row_to_jsonb(p_row anyelement, p_columns text)
returns jsonb
language plpgsql
stable
set search_path from current
as $function$
declare
    v_row jsonb;
begin
    if p_columns is null then
        return to_jsonb(p_row);
    end if;
    execute format('select to_jsonb(s.*) from (select %s from (select ($1).*) r) s', p_columns) into v_row using p_row;
    return v_row;
end;
$function$;

comment on function procrastinate_row_to_jsonb(anyelement, text) is
    'The row as JSON, made safe by the select list of procrastinate_row_columns.';

-- Old and new rows have nothing in common but the primary key: the columns that are not among the others. Chunks, so that the
-- jobs of a large statement are never all in memory; over all of them in the order of their queueing locks, as in insert_jobs.
create or replace function procrastinate_rows_sql(p_trigger name, p_table oid, p_new name, p_old name, p_columns text)
returns text
language plpgsql
stable
set search_path from current
as $function$
declare
    v_key    text := 's.place';
    v_others text[];
    v_rows   text;
begin
    if p_new is null and p_old is null then
        raise exception 'invalid trigger %: for each statement, without its rows', p_trigger
            using errcode = 'PJ001', hint = 'Add: referencing new table as new_rows. Or make it for each row.';
    elsif p_new is not null and p_old is not null then
        select coalesce(array_agg(a.attname::text) filter (where a.attnum <> all (i.indkey)), '{}') into v_others
        from pg_index i
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 and not a.attisdropped
        where i.indrelid = p_table and i.indisprimary and i.indimmediate
        group by i.indexrelid;
        if not found then
            raise exception 'invalid trigger %: without a primary key nothing joins old rows and new ones', p_trigger
                using errcode = 'PJ001', hint = 'Reference one of the transition tables, or make the trigger for each row.';
        end if;
        v_key := format('s.row - %L::text[]', v_others);
    end if;

    select string_agg(
        format('select %L as side, row_number() over () as place, to_jsonb(t.*) as row from (select %s from %I r) t',
            x.side, coalesce(p_columns, 'r.*'), x.name),
        ' union all ')
    into v_rows
    from (values ('new', p_new), ('old', p_old)) x(side, name)
    where x.name is not null;

    return format($sql$
        select array_agg(n.job order by n.place)
        from (
            select j.job, row_number() over (order by (j.job).queueing_lock, j.place) as place
            from (
                select procrastinate_row_job($1, $2, jsonb_object_agg(s.side, s.row)) as job, min(s.place) as place
                from (%s) s
                group by %s
                having %L or bool_or(s.side = 'new')
            ) j
        ) n
        group by (n.place - 1) / 1000
        order by (n.place - 1) / 1000
        $sql$, v_rows, v_key, p_new is null);
end;
$function$;

comment on function procrastinate_rows_sql(name, oid, name, name, text) is
    'The query for the jobs of a trigger''s transition tables, as arrays. Raises PJ001 when there are none, or two and no primary key.';

-- A row that goes to a partition fires the partition's copy of the trigger.
create or replace function procrastinate_trigger_table(p_trigger oid)
returns jsonb
language sql
stable
set search_path from current
as $function$
    with recursive up as (
        select t.tgrelid, t.tgparentid from pg_trigger t where t.oid = p_trigger
        union all
        select t.tgrelid, t.tgparentid from up u join pg_trigger t on t.oid = u.tgparentid
    )
    select jsonb_build_object('schema', n.nspname, 'table', c.relname)
    from up u
    join pg_class c on c.oid = u.tgrelid
    join pg_namespace n on n.oid = c.relnamespace
    where u.tgparentid = 0
$function$;

comment on function procrastinate_trigger_table(oid) is
    'Schema and table of the trigger that this one is a copy of, or is.';

-- Only the transition tables that the catalog has for this very trigger are read: without one, new_rows might be a view of
-- somebody who waits for the rights of our owner. Only the trigger itself sees them, hence the query as text.
create or replace function procrastinate_defer_row()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_options jsonb := procrastinate_trigger_options(tg_argv);
    v_job     procrastinate_new_job := procrastinate_trigger_job(tg_argv[0], v_options);
    v_trigger record;
    v_columns text;
    v_rows    jsonb := '{}'::jsonb;
    v_jobs    procrastinate_new_job[];
begin
    if tg_when <> 'AFTER' or tg_op = 'TRUNCATE' then
        raise exception 'invalid trigger %: % %', tg_name, tg_when, tg_op
            using errcode = 'PJ001', hint = 'Make it AFTER INSERT, UPDATE or DELETE, when the rows are what they will be.';
    end if;
    select
        t.tgnewtable as new, t.tgoldtable as old, t.tgparentid as parent,
        exists (select from pg_attribute a where a.attrelid = t.tgrelid and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384) as has_types
    into v_trigger
    from pg_trigger t
    where t.tgrelid = tg_relid and t.tgname = tg_name;
    if v_trigger.has_types then         -- few tables have any but built-in ones
        v_columns := procrastinate_row_columns(tg_relid);
    end if;
    v_job.args := jsonb_build_object('operation', tg_op, 'schema', tg_table_schema, 'table', tg_table_name);
    if v_trigger.parent <> 0 then
        v_job.args := v_job.args || procrastinate_trigger_table(v_trigger.parent);
    end if;

    if tg_level = 'ROW' then
        if tg_op <> 'DELETE' then
            v_rows := jsonb_build_object('new', procrastinate_row_to_jsonb(new, v_columns));
        end if;
        if tg_op <> 'INSERT' then
            v_rows := v_rows || jsonb_build_object('old', procrastinate_row_to_jsonb(old, v_columns));
        end if;
        v_jobs := array[procrastinate_row_job(v_job, v_options ->> 'schedule_at', v_rows)];
        perform procrastinate_check_new_jobs(v_jobs);
        perform procrastinate_insert_job(v_jobs[1]);
    else
        for v_jobs in
            execute procrastinate_rows_sql(tg_name, tg_relid, v_trigger.new, v_trigger.old, v_columns) using v_job, v_options ->> 'schedule_at'
        loop
            perform procrastinate_defer_jobs(v_jobs);
        end loop;
    end if;
    return null;
end;
$function$;

comment on function procrastinate_defer_row() is
'A trigger function that defers a job for each row that was inserted, updated or deleted: AFTER, for each row, or for each
statement with its transition tables, whatever their names, which takes a fraction of the time when rows are many.
The first argument of the trigger is the task. What follows is name=value, of the parameters of procrastinate_defer: queue,
priority, lock, queueing_lock, schedule_at, schedule_in, max_attempts, timeout, on_conflict, metadata. In lock, queueing_lock
and schedule_at, and in the lock of the task''s definition, {name} stands for that column of the row (of the new one, if there
is one), else for operation, schema or table.
The args of the job are an object: operation (INSERT, UPDATE or DELETE), schema and table (those of the trigger, not of a
partition), and the rows as new and old. There is no old after an insert and no new after a delete; for each statement, only
what the trigger references. If an update references both, the table needs a primary key, and old is the row that had the same
key before; there is no old if none had.
Columns are what to_jsonb makes of them, virtual ones NULL. A column with an enum, a range or another such type in it whose
owner lacks the rights of this function''s owner is text.
Who makes the trigger needs execute on this function; whoever fires it needs nothing. What is raised fails the statement that
fired it.
Returns NULL, which no statement sees.
Raises 23505 (a todo job has the queueing_lock, and on_conflict is error; constraint procrastinate_jobs_queueing_lock_idx_v1),
40001 (the queueing lock changed hands a hundred times: try again), PJ001 (an argument of the trigger is unknown, given twice,
out of its range or has a brace where nothing replaces a {name}, the trigger is not one of those described, or replace or update
found a job of another task, queue or lock), PJ008 (a column that lock, queueing_lock or schedule_at names is NULL, or the row has
none such).';
