-- Choosing jobs of a lane without locks.
begin;
select plan(27);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;

-- what choose_plain says of the lane of task send, from its head on
create function pg_temp.look(max_jobs integer, out chosen tid[], out tokens integer) returns setof record language sql as
    $$ select c.* from procrastinate_heads h, procrastinate_choose_plain(h, max_jobs) c
       where h.kind = 'plain' and h.task_name = 'send' and h.queue_name = 'default' and h.priority = 0 $$;

-- the names of the jobs it chooses, which start, as in a fetch
create function pg_temp.start(worker bigint, max_jobs integer) returns setof text language plpgsql as $function$
declare
    v_chosen tid[];
begin
    select l.chosen into v_chosen from pg_temp.look(max_jobs) l;
    insert into procrastinate_leases (worker_id, job_ids)
    select worker, array_agg(j.id) from procrastinate_jobs j where j.ctid = any (v_chosen) having count(*) > 0;
    return query
    update procrastinate_jobs j set status = 'doing', worker_id = worker, started_at = clock_timestamp() where j.ctid = any (v_chosen)
    returning j.args ->> 'name';
end;
$function$;

create temp view token as
    select coalesce(j.args ->> 'name', 'none') as name, l.queue_name, l.task_name, l.priority, l.kind
    from procrastinate_tokens t
    join procrastinate_lanes l using (lane)
    left join procrastinate_jobs j on j.id = t.id;

select procrastinate_register_worker('w') as worker \gset

-- what is chosen
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, queueing_lock => 'q' || n, schedule_at => at)
from (values ('a', timestamptz '2001-01-01'), ('b', null), ('c', null)) r(n, at);
select procrastinate_defer('sum', '{"name": "d"}');
create temp table before as select j.ctid as place, j.* from procrastinate_jobs j;

create temp table look as select * from pg_temp.look(2);
select set_eq(
    'select unnest(chosen)::text, tokens from look', $$ select place::text, 2 from before where id in (pg_temp.job('a'), pg_temp.job('b')) $$,
    'the first jobs of the lane are chosen: it says where their rows are, and how many tokens it took');
select results_eq(
    'select j.ctid::text, to_jsonb(j) from procrastinate_jobs j order by j.id', 'select place::text, to_jsonb(b) - $d$place$d$ from before b order by id',
    'no job is changed: to start them is the caller''s');
select results_eq(
    $$ select j.args ->> 'name', j.xmax = pg_current_xact_id()::xid from procrastinate_jobs j order by 1 $$,
    $$ values ('a', true), ('b', true), ('c', false), ('d', false) $$,
    'the rows of those chosen are locked, and no others');
select set_eq(
    'select * from token',
    $$ values ('c', 'default', 'send', 0, 'plain'), ('d', 'default', 'sum', 0, 'plain') $$,
    'their tokens are gone, those of the others are left');
select results_eq(
    'select queueing_lock from procrastinate_queueing_locks',
    $$ values ('qc') $$,
    'a job that is chosen lets its queueing lock go');
select is_empty('select * from procrastinate_agenda', 'what was chosen is not looked at again');
select is_empty('select * from procrastinate_leases', 'no lease is written, for a fetch writes one for all its lanes');
select results_eq('select cardinality(chosen), tokens from pg_temp.look(5)', 'values (1, 1)', 'a lane with fewer jobs than asked for gives what it has, and says so by the tokens');
select is_empty('select * from pg_temp.look(5)', 'an empty lane has no head to look from');
select results_eq(
    $$ select c.chosen::text[], c.tokens from procrastinate_lanes l, procrastinate_choose_plain(
           row(l.lane, 'default', 'send', 0, 'plain', '3', 0, '18446744073709551615', '{}', true)::procrastinate_heads, 5) c
       where l.task_name = 'send' $$,
    $$ values ('{}'::text[], 0) $$,
    'nor does it give anything to who read the head before it was emptied');

-- what is not chosen
delete from procrastinate_jobs;
delete from procrastinate_tokens;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb)
from unnest('{cancelled,doing,future,other priority,other queue,other task,locked,fine}'::text[]) n;
insert into procrastinate_tokens (lane, id)
select l.lane, -5 from procrastinate_lanes l where l.kind = 'plain' and l.task_name = 'send';
update procrastinate_jobs j set status = 'cancelled', finished_at = now() where j.id = pg_temp.job('cancelled');
update procrastinate_jobs j set status = 'doing', started_at = '2001-01-01', worker_id = -1 where j.id = pg_temp.job('doing');
update procrastinate_jobs j set scheduled_at = '2101-01-01' where j.id = pg_temp.job('future');
update procrastinate_jobs j set priority = 1 where j.id = pg_temp.job('other priority');
update procrastinate_jobs j set queue_name = 'mail' where j.id = pg_temp.job('other queue');
update procrastinate_jobs j set task_name = 'sum' where j.id = pg_temp.job('other task');
update procrastinate_jobs j set lock = 'l', lock_key = hashtextextended('l', 0) where j.id = pg_temp.job('locked');
drop table look;
create temp table look as select * from pg_temp.look(100);

select results_eq(
    $$ select j.args ->> 'name' from look l join procrastinate_jobs j on j.ctid = any (l.chosen) $$,
    $$ values ('fine') $$,
    'a job is not chosen that is cancelled, running, not due, or no longer of the lane''s priority, queue, task or kind');
select results_eq('select tokens from look', 'values (9)', 'its token was looked at all the same');
select results_eq(
    $$ select j.args ->> 'name', j.status, j.worker_id, j.xmax = pg_current_xact_id()::xid from procrastinate_jobs j order by 1 $$,
    $$ values ('cancelled', 'cancelled'::procrastinate_job_status, null::bigint, false),
              ('doing', 'doing', -1, false), ('fine', 'todo', null, true), ('future', 'todo', null, false), ('locked', 'todo', null, false),
              ('other priority', 'todo', null, false), ('other queue', 'todo', null, false), ('other task', 'todo', null, false) $$,
    'those jobs are left as they are, and free for others to lock');
select is_empty('select * from token', 'all the tokens are dropped, also that of a job which is no more');
select results_eq(
    $$ select j.args ->> 'name', a.at between now() and clock_timestamp() from procrastinate_agenda a join procrastinate_jobs j using (id) order by 1 $$,
    $$ values ('future', false), ('locked', true), ('other priority', true), ('other queue', true), ('other task', true) $$,
    'each that is still todo is to be looked at again, the others are not');
select results_eq(
    $$ select at from procrastinate_agenda where id = pg_temp.job('future') $$,
    $$ values (timestamptz '2101-01-01') $$,
    'one that is not due is looked at when it is');

-- nothing but tokens that are good for nothing
delete from procrastinate_agenda;
select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb) from unnest('{x,y,z}'::text[]) n;
update procrastinate_jobs j set status = 'cancelled', finished_at = now() where j.id in (pg_temp.job('x'), pg_temp.job('y'));
select results_eq(
    'select chosen::text[], tokens from pg_temp.look(2)', $$ values ('{}'::text[], 2) $$,
    'a look that chose nothing says by the tokens that there may be more');
select results_eq(format('select * from pg_temp.start(%s, 2)', :worker), $$ values ('z') $$, 'so the next look is at others');

-- which tokens are looked at
delete from procrastinate_jobs;
delete from procrastinate_leases;
delete from procrastinate_tokens;
select procrastinate_defer('send', '{"name": "a"}');
select procrastinate_defer('send', '{"name": "b"}');
select procrastinate_defer('sum', '{"name": "c"}');
select l.lane as lane from procrastinate_lanes l where l.task_name = 'send' and l.kind = 'plain' \gset
create function pg_temp.look_from(lane integer, first_xid xid8, first_id bigint, last_xid xid8) returns setof text language sql as
    $$ select j.args ->> 'name'
       from procrastinate_choose_plain(row(lane, 'default', 'send', 0, 'plain', first_xid, first_id, last_xid, '{}', true)::procrastinate_heads, 100) c
       join procrastinate_jobs j on j.ctid = any (c.chosen) $$;
select is_empty(
    format($$ select pg_temp.look_from(%s, '0', 0, '3') $$, :lane),
    'tokens above the last transaction to look at are left');
select results_eq(
    format($$ select pg_temp.look_from(%s, pg_current_xact_id(), pg_temp.job('b'), pg_current_xact_id()) $$, :lane),
    $$ values ('b') $$,
    'tokens below the first one to look at are left, the first one is taken');
select results_eq(
    'select name, task_name from token order by 1', $$ values ('a', 'send'), ('c', 'sum') $$,
    'what was left is still there');

-- duplicates
insert into procrastinate_tokens (lane, id) values (:lane, pg_temp.job('a'));
select results_eq(
    'select cardinality(chosen), tokens from pg_temp.look(100)', 'values (1, 2)',
    'two tokens of one job choose it once');
select results_eq('select name from token', $$ values ('c') $$, 'both of the tokens are dropped');

-- queueing locks
select procrastinate_defer('send', '{"name": "e"}', queueing_lock => 'qe');
update procrastinate_queueing_locks q set job_id = pg_temp.job('c') where q.queueing_lock = 'qe';
select procrastinate_defer('send', '{"name": "f"}', queueing_lock => 'qf');
insert into procrastinate_queueing_locks (queueing_lock, job_id) values ('qx', pg_temp.job('f'));
select count(*) from pg_temp.look(100);
select results_eq(
    'select queueing_lock, job_id from procrastinate_queueing_locks order by 1',
    $$ values ('qe', pg_temp.job('c')), ('qx', pg_temp.job('f')) $$,
    'a job that is chosen lets only its own queueing lock go');
delete from procrastinate_queueing_locks;

-- many
delete from procrastinate_jobs;
select count(*) from procrastinate_defer_many((select jsonb_agg(jsonb_build_object('task', 'send', 'args', jsonb_build_object('name', n))) from generate_series(1, 500) n));
select set_eq(
    format('select * from pg_temp.start(%s, 300)', :worker), 'select n::text from generate_series(1, 300) n',
    'of hundreds of jobs the first are chosen');
select is((select count(*) from token where task_name = 'send'), 200::bigint, 'the tokens of the others are left');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
