-- When nobody could tick, or the clock was set, who is alive is not buried for it, and who is dead is not kept.
begin;
select plan(9);

create function pg_temp.workers() returns text language sql as $$
    select coalesce(string_agg(concat_ws(' ', w.worker_name, w.spared, extract(epoch from w.spared_until - now())::integer), ', ' order by w.id), 'none')
    from procrastinate_workers w
$$;

-- Last beats, and how long the clockwork stood still after them.
create function pg_temp.look(p_stalled_after interval, p_silent interval[], p_still interval) returns text language plpgsql as $function$
begin
    delete from procrastinate_workers;
    perform procrastinate_register_worker('silent ' || s, stalled_after => p_stalled_after) from unnest(p_silent) s;
    update procrastinate_workers w set last_heartbeat = clock_timestamp() - substr(w.worker_name, 8)::interval;
    perform procrastinate_remove_silent_workers(clock_timestamp() - p_still);
    return pg_temp.workers();
end;
$function$;

select is(
    pg_temp.look('30 s', '{25 s,29 s,31 s,1 h}', '7 s'), 'silent 00:00:25 0, silent 00:00:29 0',
    'while the clockwork goes, or nearly so, silence is death');
select is(
    pg_temp.look('30 s', '{2 s,18 s,29 s,31 s,1 h}', '8 s'),
    'silent 00:00:02 0, silent 00:00:18 1 30, silent 00:00:29 1 30, silent 00:00:31 1 30, silent 01:00:00 1 30',
    'where it stood still for a quarter of stalled_after, who has not beaten since is spared, also who is to be silent for too long only soon');
select is(
    pg_temp.look('1 h', '{10 min,59 min,61 min,1 day}', '14 min'), 'silent 00:10:00 0, silent 00:59:00 0',
    'fourteen minutes are no standstill for who may be silent for an hour');
select is(
    pg_temp.look('1 s', '{1.5 s,3 s}', '0.5 s'), 'none',
    'for who may be silent for a second only, the second between two ticks is none');
select is(
    pg_temp.look('5 s', '{4 s,6 s}', '2 s'), 'silent 00:00:04 0',
    'nor is it a standstill that a tick or two are missing');

-- somebody ticks once a minute, and some are alive
delete from procrastinate_workers;
select procrastinate_register_worker(n) from unnest('{alive,dead}'::text[]) n;
create function pg_temp.minutes(p_minutes integer) returns text language plpgsql as $function$
begin
    for v_minute in 1 .. p_minutes loop
        update procrastinate_workers w
        set last_heartbeat = w.last_heartbeat - interval '1 min', spared_until = w.spared_until - interval '1 min';
        perform procrastinate_beat(w.id) from procrastinate_workers w where w.worker_name = 'alive';
        update procrastinate_workers w set last_heartbeat = clock_timestamp() - interval '9 s' where w.worker_name = 'alive';
        perform procrastinate_remove_silent_workers(clock_timestamp() - interval '1 min');
    end loop;
    return (select string_agg(w.worker_name, ', ' order by w.worker_name) from procrastinate_workers w);
end;
$function$;
select is(pg_temp.minutes(2), 'alive, dead', 'with a tick a minute the dead are spared twice');
select is(pg_temp.minutes(1), 'alive', 'and removed at the third tick');
select is(pg_temp.minutes(5), 'alive', 'but never the living');

-- the clock was set back by an hour
delete from procrastinate_workers;
select procrastinate_register_worker(n) from unnest('{alive,spared}'::text[]) n;
update procrastinate_workers w set last_heartbeat = clock_timestamp() + interval '1 h';
update procrastinate_workers w set spared = 1, last_heartbeat = now() - interval '1 h', spared_until = clock_timestamp() + interval '1 h' where w.worker_name = 'spared';
select procrastinate_remove_silent_workers(clock_timestamp() + interval '1 h');
select is(
    (select bool_and(w.spared_until < clock_timestamp() + interval '30.1 s' and w.last_heartbeat <= clock_timestamp()) from procrastinate_workers w), true,
    'after the clock was set back nobody counts as alive for longer than his stalled_after');

select * from finish();
rollback;
