-- What is superseded goes, and idle lanes are parked. A lane is parked over several transactions; here each step by itself.
begin;
select plan(46);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.lane(task text) returns integer language sql as
    $$ select l.lane from procrastinate_lanes l where l.task_name = lane.task and l.kind = 'plain' $$;
create temp view lane as
    select l.task_name as task, l.state, l.settled_xid is not null as settled from procrastinate_lanes l where l.kind = 'plain';

-- one look of the clockwork at what is to be tidied, as if the last one had been so long ago
create function pg_temp.tidy(ago interval default '1 min', floor bigint default 0, lease timestamptz default '-infinity', pruned timestamptz default '-infinity', swept timestamptz default now())
returns setof procrastinate_ticks language sql as
    $$ select t.* from procrastinate_tidy(row(1, now(), now(), '0', '{}', clock_timestamp() - ago, floor, lease, '-infinity', pruned, swept, null)::procrastinate_ticks) t $$;

select procrastinate_register_worker('w') as worker \gset
delete from procrastinate_lanes l where l.lane <> 0;

-- closing
select procrastinate_defer(t, format('{"name": "%s"}', t)::jsonb) from unnest('{idle,young,live,busy}'::text[]) t;
delete from procrastinate_tokens t where t.lane <> pg_temp.lane('live');
delete from procrastinate_jobs j where j.task_name <> 'live';
delete from procrastinate_floors;
insert into procrastinate_floors (lane, at, xid, id, late) values
    (pg_temp.lane('busy'), clock_timestamp() - interval '299 s', '3', 0, '{}'),
    (pg_temp.lane('idle'), clock_timestamp() - interval '301 s', '3', 0, '{}');
update procrastinate_lanes l set opened_at = clock_timestamp() - case when l.task_name = 'young' then interval '299 s' else '301 s' end;
select procrastinate_park_lanes();
select results_eq(
    'select * from lane order by 1', $$ values ('busy', 'open', false), ('idle', 'closed', false), ('live', 'open', false), ('young', 'open', false) $$,
    'a lane is closed that is empty, was opened five minutes ago and gave out nothing in five minutes');
select is((select l.state from procrastinate_lanes l where l.lane = 0), 'open', 'the hand-over lane stays open');

-- closed: read, not written to
select procrastinate_park_lanes();
select results_eq(
    $$ select * from lane where task = 'idle' $$, $$ values ('idle', 'closed', false) $$,
    'a closed lane is not parked while somebody may have seen it open, and a transaction that has its id already cannot tell');
insert into procrastinate_tokens (lane, id) values (pg_temp.lane('idle'), 1);
select ok(exists (select from procrastinate_heads h where h.lane = pg_temp.lane('idle')), 'a closed lane is still read');
select procrastinate_defer('idle', '{"name": "late"}');
select results_eq(
    $$ select state, settled_xid is null, opened_at between now() and clock_timestamp() from procrastinate_lanes where task_name = 'idle' $$,
    $$ values ('open', true, true) $$,
    'a job that is deferred to a closed lane opens it again');
select results_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) f where task_name = 'idle' $$, :worker), $$ values ('late') $$,
    'and is fetched');

-- parking; a transaction that came after us has ended, so that ours is not the newest that anybody knows
savepoint later;
insert into procrastinate_removed_workers (worker_id) values (-1);
rollback to later;
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select procrastinate_defer('live', '{"name": "live"}');
update procrastinate_lanes l set state = 'closed', settled_xid = case l.task_name when 'busy' then pg_current_xact_id() when 'young' then null else '3'::xid8 end where l.lane <> 0;
select procrastinate_park_lanes();
select results_eq(
    'select * from lane order by 1', $$ values ('busy', 'closed', true), ('idle', 'parked', true), ('live', 'closed', true), ('young', 'closed', false) $$,
    'a closed lane is parked when it is empty and all who may have seen it open have ended');
select is_empty(
    $$ select * from procrastinate_heads h where h.lane = pg_temp.lane('idle') $$, 'a parked lane is not read');
update procrastinate_lanes l set opened_at = now() - interval '1 hour' where l.task_name = 'idle';
select procrastinate_park_lanes();
select results_eq($$ select state from lane where task = 'idle' $$, $$ values ('parked') $$, 'a parked lane stays parked');
insert into procrastinate_tokens (lane, id) values (pg_temp.lane('idle'), 1);
select is_empty('select * from procrastinate_check()', 'a token that is good for nothing may be in it');
delete from procrastinate_tokens t where t.lane = pg_temp.lane('idle');
select procrastinate_defer('idle', '{"name": "new"}');
select results_eq(
    $$ select count(*), max(state), bool_or(settled_xid is not null) from procrastinate_lanes where task_name = 'idle' $$, $$ values (1::bigint, 'open', false) $$,
    'a job that is deferred to a parked lane opens it, and no other');
select set_eq(
    format($$ select args ->> 'name' from procrastinate_fetch_jobs(%s, 10) $$, :worker), $$ values ('live'), ('new') $$, 'and is fetched');
select is_empty('select * from procrastinate_check()', 'all is well with the lanes');

-- through tidy, at its own pace
delete from procrastinate_floors;
update procrastinate_lanes l set state = 'open', settled_xid = null, opened_at = now() - interval '1 hour' where l.lane <> 0;
select results_eq(
    $$ select tidied_at > now() - interval '10 s', tidied_floor, tidied_lease from pg_temp.tidy('9 s', 7) $$,
    $$ values (true, 7::bigint, timestamptz '-infinity') $$, 'less than ten seconds after the last time nothing is tidied');
select is((select count(*) from lane where state = 'open'), 4::bigint, 'no lane is closed then');
select results_eq(
    $$ select tidied_at between now() and clock_timestamp(), tidied_floor, clock_timestamp() - tidied_lease between '10 s' and '11 s', n from pg_temp.tidy('11 s', 7) $$,
    $$ values (true, 7::bigint, true, 1::bigint) $$, 'after ten seconds it notes when it tidied, and up to which lease and floor');
select is((select count(*) from lane where state = 'closed'), 4::bigint, 'the idle lanes are closed then');
update procrastinate_lanes l set state = 'open' where l.lane <> 0;

-- floors
delete from procrastinate_floors;
insert into procrastinate_floors (lane, n, xid, id, late) overriding system value
select case when n in (3, 6, 9, 12) then pg_temp.lane('live') when n = 13 then pg_temp.lane('young') when n in (2, 14) then 0 else pg_temp.lane('idle') end, n, '3', 0, '{}'
from generate_series(1, 14) n;
select results_eq('select tidied_floor from pg_temp.tidy(floor => 0)', $$ values (14::bigint) $$, 'floors are dealt with up to the newest of all');
select set_eq(
    'select lane, n from procrastinate_floors',
    $$ values (pg_temp.lane('idle'), 11::bigint), (pg_temp.lane('live'), 12), (pg_temp.lane('young'), 13), (0, 14) $$, 'of each lane the newest floor is left');

delete from procrastinate_floors;
insert into procrastinate_floors (lane, n, xid, id, late) overriding system value
values (pg_temp.lane('live'), 5, '3', 0, '{}'), (pg_temp.lane('live'), 8, '3', 0, '{}'), (pg_temp.lane('live'), 11, '3', 0, '{}'), (pg_temp.lane('live'), 12, '3', 0, '{}'),
       (pg_temp.lane('idle'), 6, '3', 0, '{}'), (pg_temp.lane('idle'), 7, '3', 0, '{}');
select results_eq('select tidied_floor from pg_temp.tidy(floor => 10)', $$ values (12::bigint) $$, 'the next time it goes on');
select set_eq(
    'select lane, n from procrastinate_floors',
    $$ values (pg_temp.lane('live'), 12::bigint), (pg_temp.lane('idle'), 6), (pg_temp.lane('idle'), 7) $$,
    'of a lane with a new floor all older ones go; a lane without one is not looked at');
update procrastinate_lanes l set state = 'parked' where l.task_name = 'idle';
select results_eq('select tidied_floor from pg_temp.tidy(floor => 0)', $$ values (12::bigint) $$, 'a parked lane is passed by');
select is((select count(*) from procrastinate_floors f where f.lane = pg_temp.lane('idle')), 2::bigint, 'and its floors are left');
update procrastinate_lanes l set state = 'open' where l.task_name = 'idle';
select results_eq('select tidied_floor from pg_temp.tidy(floor => 20)', $$ values (20::bigint) $$, 'the position does not move back');
delete from procrastinate_floors;
select results_eq('select tidied_floor from pg_temp.tidy(floor => 20)', $$ values (20::bigint) $$, 'nor without any floor');
insert into procrastinate_floors (lane, n, xid, id, late) overriding system value
select pg_temp.lane('live'), n, '3', 0, '{}' from generate_series(30, 60) n;
select results_eq('select count(*) from pg_temp.tidy(floor => 59)', $$ values (1::bigint) $$, 'floors that were left behind are looked for too');
select is((select count(*) from procrastinate_floors), 21::bigint, 'ten of each lane at once');
delete from procrastinate_floors;
insert into procrastinate_floors (lane, xid, id, late) select pg_temp.lane('busy'), '3', i, '{}' from generate_series(1, 20000) i;
select count(*) from pg_temp.tidy(floor => 0);
select results_eq('select id from procrastinate_floors', $$ values (20000::bigint) $$, 'twenty thousand floors are tidied up as well as ten');

-- leases
delete from procrastinate_jobs;
delete from procrastinate_tokens;
delete from procrastinate_leases;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb) from unnest('{a,b,c,d,e,f}'::text[]) n;
select procrastinate_register_worker('other') as other \gset
select count(*) from procrastinate_fetch_jobs(:worker, 2);
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select count(*) from procrastinate_fetch_jobs(:other, 1);
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select count(*) from procrastinate_finish_jobs(:worker, array[pg_temp.job('a'), pg_temp.job('c'), pg_temp.job('e')]);
update procrastinate_leases l set at = now() - interval '1 min' where l.job_ids <> array[pg_temp.job('e')];
select count(*) from pg_temp.tidy();
select set_eq(
    'select worker_id, job_ids, at between now() and clock_timestamp() from procrastinate_leases',
    format($$ values (%1$s::bigint, array[pg_temp.job('b')], true), (%2$s, array[pg_temp.job('d')], true), (%1$s, array[pg_temp.job('e')], true) $$, :worker, :other),
    'old leases are written anew with only the jobs that run; a young one is left');
select set_eq(
    'select i, delete_at > now() from procrastinate_retention r, unnest(r.job_ids) i', $$ values (pg_temp.job('a'), true), (pg_temp.job('c'), true) $$,
    'and what has ended is noted for retention');
select is_empty('select * from procrastinate_check()', 'all is well with the new leases');
select procrastinate_return_jobs(:other, array[pg_temp.job('d')]);
select count(*) from procrastinate_fetch_jobs(:worker, 1);
update procrastinate_leases l set at = now() - interval '1 min';
select count(*) from pg_temp.tidy(lease => now() - interval '30 s');
select is((select count(*) from procrastinate_leases), 4::bigint, 'leases before its position were dealt with and are not looked at');
select results_eq(
    $$ select count(*), max(pruned_until) = now(), max(swept_at) < clock_timestamp() - interval '9 s'
       from pg_temp.tidy(lease => now() - interval '30 s', pruned => now(), swept => clock_timestamp() - interval '10 s') $$,
    $$ values (1::bigint, true, true) $$,
    'nor less than a minute after the last look from the beginning');
select results_eq(
    $$ select pruned_until, swept_at between now() and clock_timestamp(), tidied_lease > now() - interval '1 min'
       from pg_temp.tidy(lease => now() - interval '30 s', pruned => now(), swept => clock_timestamp() - interval '61 s') $$,
    $$ values (timestamptz '-infinity', true, true) $$,
    'once a minute it looks from the beginning, and so does retention');
select set_eq(
    'select worker_id, job_ids from procrastinate_leases',
    format($$ values (%1$s::bigint, array[pg_temp.job('b'), pg_temp.job('d')]) $$, :worker),
    'all that a worker holds comes into one lease, and nothing that another one has');
update procrastinate_jobs j set worker_id = null where j.id = pg_temp.job('d');
delete from procrastinate_workers w where w.id = :worker;
update procrastinate_leases l set at = now() - interval '1 min';
create temp table lease as table procrastinate_leases;
select count(*) from pg_temp.tidy();
select results_eq('table procrastinate_leases', 'table lease', 'a lease of a removed worker is left to its rescue');
select procrastinate_tick();
select results_eq(
    $$ select args ->> 'name', status, rescues::integer from procrastinate_jobs where args ->> 'name' in ('b', 'd') order by 1 $$,
    $$ values ('b', 'todo'::procrastinate_job_status, 1), ('d', 'todo', 1) $$, 'which finds its jobs there');
select is_empty('select * from procrastinate_leases', 'and deletes it');

-- leases of workers that nobody noted
select procrastinate_register_worker('w') as worker \gset
insert into procrastinate_leases (worker_id, at, job_ids)
values (-1, now() - interval '1 min', '{1}'), (-1, now() - interval '2 min', '{2}'), (-2, now(), '{1}'), (-3, now() - interval '1 hour', '{1}'), (:worker, now() - interval '1 min', '{1}'),
       (-4, now() - interval '1 min', '{1}');
insert into procrastinate_removed_workers (worker_id) values (-4);
select count(*) from pg_temp.tidy(lease => now() - interval '2 min');
select set_eq(
    'select worker_id from procrastinate_removed_workers', 'values (-1::bigint), (-4)',
    'a worker that is no more is noted for rescue, if it has an old lease that was not looked at');
delete from procrastinate_leases;
delete from procrastinate_removed_workers;

-- tick keeps the position
update procrastinate_ticks t set tidied_at = now() - interval '1 min';
select procrastinate_tick();
select ok(
    (select t.tidied_at between now() and clock_timestamp() from procrastinate_ticks t order by t.n desc limit 1), 'tick tidies, and keeps the position');
create temp table tick as select t.tidied_at from procrastinate_ticks t order by t.n desc limit 1;
select procrastinate_tick();
select results_eq(
    'select t.tidied_at from procrastinate_ticks t order by t.n desc limit 1', 'table tick', 'the next tick does not tidy');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

-- very many leases, in parts
delete from procrastinate_leases;
delete from procrastinate_retention;
insert into procrastinate_leases (worker_id, at, job_ids)
select :worker, now() - interval '1 h' + n * interval '1 s', array_fill(0::bigint, array[1000]) from generate_series(1, 45) n;
create temp table part as select * from pg_temp.tidy();
select results_eq('select count(*) from procrastinate_leases', 'values (35::bigint)', 'leases of ten thousand jobs are looked at in one go');
select results_eq(
    $$ select tidied_at < now() - interval '50 s', tidied_lease from part $$, $$ values (true, now() - interval '1 h' + interval '11 s') $$,
    'and the rest comes next');
select count(*) from pg_temp.tidy(lease => (select p.tidied_lease from part p)) \g /dev/null
select results_eq('select count(*) from procrastinate_leases', 'values (25::bigint)', 'in the order in which they were written');
select ok(
    (select t.tidied_at >= now() and t.tidied_lease > now() - interval '1 min' from pg_temp.tidy(lease => now() - interval '1 h' + interval '36 s') t),
    'until there are no more');

select * from finish();
rollback;
