-- What is noted of jobs whose lease goes, or that never were in one.
begin;
select plan(18);

set local enable_hashjoin = off;         -- as in tick

create temp table made (name text primary key, id bigint);
create function pg_temp.make(name text, status text, ended interval default null, task text default 't', worker bigint default null) returns void language sql as $$
    with job as (
        insert into procrastinate_jobs as j (task_name, status, worker_id, started_at, finished_at, args)
        values (
            task, status::procrastinate_job_status, worker, case when status <> 'todo' then now() - interval '1 year' end,
            timestamptz '2026-01-01' + ended, jsonb_build_object('name', name))
        returning j.id
    )
    insert into made select name, job.id from job
$$;
create function pg_temp.ids(variadic names text[]) returns bigint[] language sql as
    $$ select array_agg(m.id order by m.name) from made m where m.name = any (names) $$;
create temp view note as
    select r.delete_at, array(select coalesce(m.name, i::text) from unnest(r.job_ids) i left join made m on m.id = i order by 1) as names, cardinality(r.job_ids) as jobs
    from procrastinate_retention r;

select procrastinate_register_worker('w') as worker \gset
select procrastinate_register_worker('other') as other \gset
select procrastinate_define_task('*', keep_succeeded => '50 years', keep_failed => '80 years');
select procrastinate_define_task('own', keep_succeeded => '60 years');
select procrastinate_define_task('same', keep_succeeded => '50 years');
select pg_temp.make('waits', 'todo'), pg_temp.make('runs', 'doing', worker => :worker), pg_temp.make('runs too', 'doing', worker => :worker),
    pg_temp.make('elsewhere', 'doing', worker => :other), pg_temp.make('orphan', 'doing'),
    pg_temp.make('a', 'succeeded', '0 s'), pg_temp.make('b', 'succeeded', '5 s', 'same'), pg_temp.make('c', 'succeeded', '1 year'),
    pg_temp.make('own', 'succeeded', '0 s', 'own'),
    pg_temp.make('failed', 'failed', '1 s'), pg_temp.make('cancelled', 'cancelled', '2 s'), pg_temp.make('aborted', 'aborted', '3 s', 'own');

-- without a lease
select procrastinate_note_jobs();
select procrastinate_note_jobs('{}'), procrastinate_note_jobs(null);
select is_empty('table note', 'of no jobs nothing is noted');
select procrastinate_note_jobs(array(select m.id from made m) || 0::bigint);
select set_eq(
    'select delete_at, names from note',
    $$ values (timestamptz '2026-01-01 00:00:05' + interval '50 years', '{a,b}'::text[]), (timestamptz '2027-01-01' + interval '50 years', '{c}'),
              (timestamptz '2026-01-01' + interval '60 years', '{own}'), (timestamptz '2026-01-01 00:00:03' + interval '80 years', '{aborted,cancelled,failed}') $$,
    'jobs that ended about the same time, and are kept as long by their tasks, are in one note, of the last of them; what has not ended is in none');
select is_empty('select * from procrastinate_leases', 'no lease is written for jobs that were in none');
delete from procrastinate_retention;

-- not before the note can be seen
select procrastinate_define_task('*', keep_succeeded => '0', keep_failed => '1 min');
select procrastinate_define_task('own');
select procrastinate_note_jobs(pg_temp.ids('a', 'failed'));
select results_eq(
    $$ select names, delete_at between now() + '1 s' and clock_timestamp() + '1 s' from note order by 1 $$, $$ values ('{a}'::text[], true), ('{failed}', true) $$,
    'what is overdue is noted for a second later');
delete from procrastinate_retention;
select procrastinate_note_jobs(pg_temp.ids('a'), p_earliest => '1 min');
select results_eq(
    $$ select names, delete_at between now() + '1 min' and clock_timestamp() + '1 min' from note $$, $$ values ('{a}'::text[], true) $$,
    'or for as much later as is wanted');
delete from procrastinate_retention;
select procrastinate_define_task('*', keep_succeeded => '70 years');
select procrastinate_note_jobs(pg_temp.ids('a'), p_earliest => '1 min');
select results_eq(
    'select names, delete_at from note', $$ values ('{a}'::text[], timestamptz '2026-01-01' + interval '70 years') $$,
    'which does not hasten what is to be kept');
delete from procrastinate_retention;

-- with a lease
insert into procrastinate_leases (worker_id, at, job_ids)
values (:worker, '2026-01-01', pg_temp.ids('a', 'elsewhere', 'runs', 'waits')), (:worker, '2026-01-01', pg_temp.ids('c', 'own', 'runs too') || 0::bigint),
       (:other, '2026-01-01', pg_temp.ids('b', 'elsewhere', 'orphan')), (:other, '2026-01-02', pg_temp.ids('failed'));
select procrastinate_note_jobs(p_leases => array(select l.ctid from procrastinate_leases l where l.at = '2026-01-01'));
select set_eq(
    'select worker_id, array(select m.name from unnest(job_ids) i join made m on m.id = i order by 1), at between now() and clock_timestamp() from procrastinate_leases',
    format($$ values (%1$s::bigint, '{runs,runs too}'::text[], true), (%2$s, '{elsewhere}', true), (0, '{orphan}', true), (%2$s, '{failed}', false) $$, :worker, :other),
    'of leases that go each worker gets one with the jobs it still runs, and worker 0 those that are nobody''s; others are left');
select results_eq('table procrastinate_removed_workers', 'values (0::bigint)', 'whose jobs are to be rescued');
select set_eq(
    'select array_to_string(names, $d$,$d$) from note', $$ values ('b'), ('a,own'), ('c') $$,
    'and what ended of them is noted');
select is_empty('select * from procrastinate_leases l where l.job_ids = $d${}$d$', 'no lease is empty');
select results_eq('select count(*) from procrastinate_leases', 'values (4::bigint)', 'a lease that goes is gone');
delete from procrastinate_leases;
delete from procrastinate_retention;

-- how much is in one note
delete from procrastinate_jobs;
with job as (
    insert into procrastinate_jobs as j (task_name, status, finished_at)
    select 't' || n % 7, 'succeeded', timestamptz '2026-01-01' + n * interval '1 ms' from generate_series(1, 2500) n
    returning j.id
)
select procrastinate_note_jobs(array_agg(j.id)) from job j;
select is_empty(
    'select j.id from procrastinate_jobs j where 1 <> (select count(*) from procrastinate_retention r where j.id = any (r.job_ids))', 'each job is in one note');
select results_eq(
    'select jobs from note order by 1', $$ values (500), (1000), (1000) $$, 'a thousand jobs are in a note, of however many tasks');
delete from procrastinate_retention;
select procrastinate_define_task('*', keep_succeeded => '1000 s');
update procrastinate_jobs j set finished_at = '2099-01-01'::timestamptz + (j.id % 30) * interval '1 s';
select procrastinate_note_jobs(array(select j.id from procrastinate_jobs j));
select results_eq(
    $$ select count(*), min(jobs) > 800 from note $$, $$ values (3::bigint, true) $$, 'of those that are kept for long less than a hundredth of it lies between');
delete from procrastinate_retention;
select procrastinate_define_task('*', keep_succeeded => '100 s');
select procrastinate_note_jobs(array(select j.id from procrastinate_jobs j));
select results_eq('select count(*), min(jobs) > 800 from note', $$ values (3::bigint, true) $$, 'of others ten seconds');
delete from procrastinate_retention;
select procrastinate_define_task('*', keep_succeeded => '10000 s');
select procrastinate_note_jobs(array(select j.id from procrastinate_jobs j));
select results_eq('select count(distinct delete_at) from note', $$ values (1::bigint) $$, 'the longer it is kept the rougher may be its time');

-- within a statement_timeout of a minute; with each job compared with each task it would take longer
with job as (
    insert into procrastinate_jobs as j (task_name, status, finished_at) select 'task of ' || n, 'succeeded', now() from generate_series(1, 30000) n returning j.id
)
insert into procrastinate_leases (worker_id, job_ids) select :worker, array_agg(j.id) from job j;
select lives_ok(
    'select procrastinate_note_jobs(p_leases => array(select l.ctid from procrastinate_leases l))', 'of as many tasks as there are jobs all are noted in due time');
delete from procrastinate_jobs j where j.task_name like 'task of%';
select is_empty('select * from procrastinate_check()', 'all is well');

select * from finish();
rollback;
