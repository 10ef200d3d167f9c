-- Retention: jobs whose time has come are deleted, in small batches, and no others.
begin;
select plan(45);
set local client_min_messages = warning;

-- A job that ended so long ago, and its note.
create temp table made (name text primary key, id bigint);
create function pg_temp.make(name text, status text default 'succeeded', ended interval default '8 days', task text default 't', noted interval default '1 s')
returns void language sql as $$
    with job as (
        insert into procrastinate_jobs as j (task_name, status, started_at, finished_at)
        values (task, status::procrastinate_job_status, now() - interval '1 year', now() - ended)
        returning j.id
    ), made as (
        insert into made as m select name, job.id from job returning m.id
    )
    insert into procrastinate_retention (delete_at, job_ids) select now() - noted, array[m.id] from made m
$$;
create function pg_temp.id(name text) returns bigint language sql as $$ select m.id from made m where m.name = id.name $$;
create temp view job as select m.name from procrastinate_jobs j join made m using (id);
create temp view note as
    select m.name, round(extract(epoch from r.delete_at - now()) / 60)::integer as minutes
    from procrastinate_retention r cross join unnest(r.job_ids) i join made m on m.id = i;
create function pg_temp.retain(p_at timestamptz default '-infinity', p_until timestamptz default '-infinity')
returns table (at timestamptz, until timestamptz, again interval) language sql as
    $$ select r.* from procrastinate_retain_jobs(p_at, p_until) r $$;
delete from procrastinate_retention;

-- whose time has come
select procrastinate_define_task('short', keep_succeeded => '1 hour', keep_failed => '2 hours');
select procrastinate_define_task('long', keep_succeeded => '1 year');
select pg_temp.make('new', ended => '6 days'), pg_temp.make('old'), pg_temp.make('failed', 'failed'), pg_temp.make('failed long ago', 'failed', '31 days'),
    pg_temp.make('cancelled', 'cancelled'), pg_temp.make('cancelled long ago', 'cancelled', '31 days'),
    pg_temp.make('aborted', 'aborted'), pg_temp.make('aborted long ago', 'aborted', '31 days'),
    pg_temp.make('short', ended => '59 min', task => 'short'), pg_temp.make('short over', ended => '61 min', task => 'short'),
    pg_temp.make('short failed', 'failed', '119 min', 'short'), pg_temp.make('short failed over', 'failed', '121 min', 'short'),
    pg_temp.make('long', ended => '300 days', task => 'long'), pg_temp.make('not noted yet', ended => '1 year', noted => '-1 s');
select results_eq(
    'select at between now() and clock_timestamp(), until = now() - interval $d$1 s$d$, again from pg_temp.retain()', 'values (true, true, null::interval)',
    'it says when it deleted and up to which note, and that there is no more');
select set_eq(
    'table job', $$ values ('new'), ('failed'), ('cancelled'), ('aborted'), ('short'), ('short failed'), ('long'), ('not noted yet') $$,
    'jobs go that were kept as long as their task says, or * or what is built in; those that did not succeed have a time of their own');
select set_eq(
    'table note',
    $$ values ('new', 1440), ('failed', 31680), ('cancelled', 31680), ('aborted', 31680), ('short', 1), ('short failed', 1), ('long', 93600), ('not noted yet', 0) $$,
    'those that have to stay are noted anew, for the time that is right as tasks are defined now');
select is_empty('select * from procrastinate_check()', 'all is well');

-- what became of them since
delete from procrastinate_jobs; delete from procrastinate_retention; delete from made;
select pg_temp.make('gone'), pg_temp.make('retried', 'failed', '31 days'), pg_temp.make('runs', 'failed', '31 days'), pg_temp.make('retried, and ended again');
delete from procrastinate_jobs j where j.id = pg_temp.id('gone');
update procrastinate_jobs j set status = 'todo', finished_at = null where j.id = pg_temp.id('retried');
update procrastinate_jobs j set status = 'doing', finished_at = null where j.id = pg_temp.id('runs');
update procrastinate_jobs j set finished_at = now() where j.id = pg_temp.id('retried, and ended again');
select count(*) from pg_temp.retain();
select set_eq('table job', $$ values ('retried'), ('runs'), ('retried, and ended again') $$, 'a job that waits or runs once more is not deleted, nor one that ended again since');
select results_eq('table note', $$ values ('retried, and ended again', 10080) $$, 'a note is dropped whose job is gone, or has not ended any more');
select is_empty('select * from procrastinate_retention where job_ids = $d${}$d$', 'no note is empty');

-- what belongs to them
delete from procrastinate_jobs; delete from procrastinate_retention; delete from made;
select pg_temp.make('a'), pg_temp.make('b', ended => '1 s');
insert into procrastinate_attempts (job_id, kind) select m.id, 'failed' from made m;
insert into procrastinate_leases (worker_id, job_ids) select -1, array_agg(m.id) from made m;
update procrastinate_retention r set job_ids = r.job_ids || r.job_ids;
select count(*) from pg_temp.retain();
select results_eq('select m.name from procrastinate_attempts a join made m on m.id = a.job_id', $$ values ('b') $$, 'attempts go with their jobs');
select results_eq('table note', $$ values ('b', 10080) $$, 'a job that was named twice is noted once');
delete from procrastinate_leases;

-- batches
delete from procrastinate_jobs; delete from procrastinate_retention; delete from made;
with job as (
    insert into procrastinate_jobs as j (task_name, status, finished_at) select 't', 'succeeded', now() - interval '8 days' from generate_series(1, 2500) returning j.id
)
insert into procrastinate_retention (delete_at, job_ids)
select now() - interval '1 hour' + n.id / 400 * interval '1 s', array_agg(n.id)
from (select j.id, row_number() over (order by j.id) as n from job j) n
group by n.n / 400, n.id / 400;
create temp view left_over as select count(*)::integer as jobs from procrastinate_jobs;
create temp table came (n integer generated always as identity, at timestamptz, until timestamptz, again interval);
insert into came (at, until, again) select * from pg_temp.retain();
select cmp_ok((table left_over), '<=', 1500, 'a batch is of a thousand jobs,');
select cmp_ok((table left_over), '>', 1000, 'and what else is in its last note');
select results_eq(
    'select again between $d$10 ms$d$ and $d$30 ms$d$ from came', 'values (true)', 'while there is more it wants to come again within thirty milliseconds');
select ok(
    (select c.until > now() - interval '1 hour' and c.until <= (select min(r.delete_at) from procrastinate_retention r) from came c),
    'it has come up to its last note');
create temp table before as table left_over;
insert into came (at, until, again) select r.* from came c, pg_temp.retain(now() - interval '1 s', c.until) r where c.n = 1;
select cmp_ok((table left_over), '<', (table before), 'then it goes on');
select count(*) from pg_temp.retain(now() - interval '1 s', '-infinity');
select results_eq('table left_over', 'values (0)', 'until all are gone');
select is_empty('table procrastinate_retention', 'and their notes');
select results_eq(
    'select at = now() - interval $d$1 s$d$, until between now() - interval $d$1 s$d$ and clock_timestamp() - interval $d$1 s$d$, again from pg_temp.retain(now() - interval $d$1 s$d$)',
    'values (true, true, null::interval)',
    'with nothing to delete it has come up to a second ago, so that the next one does not look from the beginning');
select results_eq(
    'select until = now() + interval $d$1 s$d$ from pg_temp.retain(p_until => now() + interval $d$1 s$d$)', 'values (true)', 'and never goes back');
select is((select at < clock_timestamp() from pg_temp.retain(clock_timestamp() + interval '1 hour')), false, 'and deleted nothing');

-- where ticks are rare
with job as (
    insert into procrastinate_jobs as j (task_name, status, finished_at) select 't', 'succeeded', now() - interval '8 days' from generate_series(1, 2500) returning j.id
)
insert into procrastinate_retention (delete_at, job_ids) select now() - j.id % 5 * interval '1 s', array_agg(j.id) from job j group by j.id % 5;
select is((select r.p_again from procrastinate_retain_jobs('-infinity', '-infinity', '1 min') r), null, 'given time, it does not want to come again');
select results_eq('table left_over', 'values (0)', 'but deletes all in one go');

-- what takes long
create function pg_temp.slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(0.01); return old; end $$;
create trigger slowly before delete on procrastinate_jobs for each row execute function pg_temp.slowly();
with job as (
    insert into procrastinate_jobs as j (task_name, status, finished_at) select 't', 'succeeded', now() - interval '8 days' from generate_series(1, 1000) returning j.id
)
insert into procrastinate_retention (delete_at, job_ids) select now(), array_agg(j.id) from job j;
select isnt((select again from pg_temp.retain()), null, 'a batch that takes long is not all deleted,');
select cmp_ok((table left_over), '<', 1000, 'but begun,');
select cmp_ok((table left_over), '>', 900, 'for about as long as a tick may take');
select results_eq(
    'select bool_and(r.delete_at < clock_timestamp() + interval $d$1 s$d$), sum(cardinality(r.job_ids)) = (table left_over) from procrastinate_retention r', 'values (true, true)',
    'the others are noted for a second later');
drop trigger slowly on procrastinate_jobs;
delete from procrastinate_jobs; delete from procrastinate_retention;

-- when somebody has just deleted: the milliseconds that it takes to look may be many, but not each time
create function pg_temp.refrain() returns boolean language plpgsql as $$
declare
    v_again interval;
begin
    for i in 1 .. 100 loop
        perform pg_temp.make('x' || i);
        v_again := (pg_temp.retain(clock_timestamp())).again;
        exit when exists (select from job);
    end loop;
    return v_again is null and exists (select from job);
end $$;
select ok(pg_temp.refrain(), 'less than ten milliseconds after a batch nothing is done, and nobody hastened');
delete from procrastinate_jobs; delete from procrastinate_retention;

-- from where
select pg_temp.make('early', noted => '1 hour'), pg_temp.make('late', noted => '1 min');
select count(*) from pg_temp.retain(p_until => now() - interval '30 min');
select results_eq('table job', $$ values ('early') $$, 'notes are looked at from the last one on');
select count(*) from pg_temp.retain(p_until => now() - interval '1 hour');
select is_empty('table job', 'and that one too, for there may be others of its time');
select pg_temp.make('clock');
select count(*) from pg_temp.retain(p_at => clock_timestamp() + interval '1 hour');
select is_empty('table job', 'a clock that was ahead keeps nobody from deleting');

-- one that cannot be deleted
create table pg_temp.receipt (job_id bigint);
create function pg_temp.refuse() returns trigger language plpgsql as $$
begin
    if old.id = pg_temp.id('needed') then
        raise foreign_key_violation using message = 'there is a receipt';
    elsif old.id = pg_temp.id('loved') then
        raise exception 'no';
    elsif old.id = pg_temp.id('broken') then
        insert into no_such_table values (old.id);
    elsif old.id = pg_temp.id('own') then
        raise exception using errcode = 'ZZ123', message = 'an error of their own';
    elsif old.id = pg_temp.id('kept') then
        return null;
    end if;
    return old;
end $$;
create trigger refuse before delete on procrastinate_jobs for each row execute function pg_temp.refuse();
select pg_temp.make('needed'), pg_temp.make('loved'), pg_temp.make('broken'), pg_temp.make('own'), pg_temp.make('a'), pg_temp.make('b'),
    pg_temp.make('new', ended => '1 s');
set local client_min_messages = error;
select lives_ok('select * from pg_temp.retain()', 'a job that users do not let go stops nobody');
select set_eq('table job', $$ values ('needed'), ('loved'), ('broken'), ('own'), ('new') $$, 'the others are deleted all the same');
select set_eq('table note', $$ values ('needed', 60), ('loved', 60), ('broken', 60), ('own', 60), ('new', 10080) $$, 'and it is noted for an hour later');
select is_empty('select * from procrastinate_check()', 'all is well with it');
delete from procrastinate_retention; delete from made where name <> 'needed';
select pg_temp.make('kept');
select count(*) from pg_temp.retain();
select set_eq('table note', $$ values ('kept', 1) $$, 'one whose deletion a trigger skips is noted for a minute later');
drop trigger refuse on procrastinate_jobs;

-- one of which a deferred constraint says at the commit that it cannot
delete from procrastinate_jobs; delete from procrastinate_retention; delete from made;
create table receipts (job_id bigint references procrastinate_jobs deferrable initially deferred);
select pg_temp.make('needed'), pg_temp.make('a');
insert into receipts values (pg_temp.id('needed'));
select lives_ok('select * from pg_temp.retain()', 'a constraint that would be checked at the end of a tick is checked before');
select set_eq('table job', $$ values ('needed') $$, 'and keeps its job');
select lives_ok('insert into receipts values (0)', 'then it is deferred again');
delete from receipts;
set constraints all immediate;
drop table receipts;
set constraints all deferred;

-- by tick
delete from procrastinate_jobs; delete from procrastinate_retention; delete from made;
update procrastinate_ticks t set at = clock_timestamp(), tidied_at = clock_timestamp(), pruned_at = '-infinity', pruned_until = '-infinity';
select pg_temp.make('old'), pg_temp.make('new', ended => '1 s');
select is(procrastinate_tick(), interval '1 s', 'a tick that has deleted all that is due comes again in a second');
select results_eq('table job', $$ values ('new') $$, 'tick deletes what is due');
select results_eq(
    'select t.pruned_at between now() and clock_timestamp(), t.pruned_until = now() - interval $d$1 s$d$ from procrastinate_ticks t order by t.n desc limit 1', 'values (true, true)',
    'and notes how far it came');
update procrastinate_ticks t set pruned_at = '-infinity';
with job as (
    insert into procrastinate_jobs as j (task_name, status, finished_at) select 't', 'succeeded', now() - interval '8 days' from generate_series(1, 1500) returning j.id
)
insert into procrastinate_retention (delete_at, job_ids) select now(), array_agg(j.id) from job j group by j.id % 2;
select cmp_ok(procrastinate_tick(), '<=', interval '30 ms', 'a tick that has not comes again soon');

-- who kept them
select procrastinate_define_task('*', keep_succeeded => '1 s');
delete from procrastinate_jobs; delete from procrastinate_retention; delete from made;
select procrastinate_register_worker('w') as worker \gset
select count(procrastinate_defer('t')) from generate_series(1, 3);
select procrastinate_finish_jobs(:worker, array(select f.id from procrastinate_fetch_jobs(:worker, 2) f));
update procrastinate_leases l set at = now() - interval '1 min';
update procrastinate_ticks t set tidied_at = now() - interval '1 min', tidied_lease = '-infinity', pruned_at = '-infinity';
select procrastinate_tick();
select results_eq('select cardinality(r.job_ids) from procrastinate_retention r', 'values (2)', 'what a worker finished is noted when its lease goes');
update procrastinate_jobs j set finished_at = j.finished_at - interval '1 min' where j.status = 'succeeded';
update procrastinate_retention r set delete_at = clock_timestamp();
update procrastinate_ticks t set pruned_at = '-infinity';
select procrastinate_tick();
select results_eq('select j.status from procrastinate_jobs j', $$ values ('todo'::procrastinate_job_status) $$, 'and deleted when its time has come');

-- ticks that are rare
select procrastinate_define_task('*');
delete from procrastinate_jobs; delete from procrastinate_retention; delete from made;
with job as (
    insert into procrastinate_jobs as j (task_name, status, finished_at) select 't', 'succeeded', now() - interval '8 days' from generate_series(1, 3000) returning j.id
)
insert into procrastinate_retention (delete_at, job_ids) select now() - j.id % 6 * interval '1 s', array_agg(j.id) from job j group by j.id % 6;
update procrastinate_ticks t set at = clock_timestamp() - interval '1 min', pruned_at = '-infinity', pruned_until = '-infinity';
select procrastinate_tick();
select results_eq('table left_over', 'values (0)', 'a tick that comes after a minute deletes more than one of many');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
