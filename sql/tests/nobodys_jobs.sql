-- Jobs that are doing and nobody's, for a client took them off their worker or deleted the worker, are found and taken back.
begin;
select plan(7);

create temp view job as select j.id, j.status::text, j.worker_id, j.error from procrastinate_jobs j order by j.id;
-- What ten seconds later is: a tick that tidies, and looks at the leases that were written before the last one did.
create function pg_temp.ten_seconds() returns void language sql as $$
    update procrastinate_leases l set at = l.at - interval '10.1 s';
    update procrastinate_ticks t set tidied_at = t.tidied_at - interval '10.1 s', tidied_lease = t.tidied_lease - interval '10.1 s';
    update procrastinate_workers w set last_heartbeat = clock_timestamp();
    select procrastinate_tick();
$$;

select procrastinate_register_worker('lives') as worker \gset
select procrastinate_defer('send') from generate_series(1, 3);
select array_agg(f.id) as ids from procrastinate_fetch_jobs(:worker, 3) f \gset
select min(j.id) as taken, max(j.id) as kept from procrastinate_jobs j \gset
update procrastinate_jobs j set worker_id = null where j.id <> :kept;
select pg_temp.ten_seconds();
select pg_temp.ten_seconds();
select results_eq(
    'table job',
    format($$ values (%1$s::bigint, 'todo', null::bigint, 'worker died'), (%1$s + 1, 'todo', null, 'worker died'), (%2$s, 'doing', %3$s, null) $$, :taken, :kept, :worker),
    'jobs whose worker_id became NULL are taken back within twenty seconds, though the worker lives, and no other');
select results_eq(
    'select worker_id, job_ids from procrastinate_leases', format('values (%s::bigint, array[%s::bigint])', :worker, :kept),
    'the one that it kept stays in its lease');
select is_empty('select * from procrastinate_check()', 'all is well');

delete from procrastinate_jobs;
select procrastinate_defer('send');
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select pg_temp.ten_seconds();
select pg_temp.ten_seconds();
set local session_replication_role = replica;
delete from procrastinate_workers;
reset session_replication_role;
select is_empty('select * from procrastinate_removed_workers', 'a client deleted the worker, and no trigger noted it');
select pg_temp.ten_seconds();
select pg_temp.ten_seconds();
select results_eq('select status, error from job', $$ values ('todo', 'worker died') $$, 'its jobs are taken back within twenty seconds too');

select procrastinate_register_worker('dies') as worker \gset
select count(*) from procrastinate_fetch_jobs(:worker, 1);
set local session_replication_role = replica;
delete from procrastinate_workers;
reset session_replication_role;
update procrastinate_jobs j set worker_id = null;
select pg_temp.ten_seconds();
select pg_temp.ten_seconds();
select results_eq('select status, error from job', $$ values ('todo', 'worker died 2 times') $$, 'and so are those of which nothing tells who had them but a lease');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
