-- After the database's clock was set back by an hour.
begin;
select plan(2);

select procrastinate_register_worker('w') as worker \gset
select procrastinate_defer('send');
select count(*) from procrastinate_fetch_jobs(:worker, 1);
select count(*) from procrastinate_finish_jobs(:worker, array(select j.id from procrastinate_jobs j));
update procrastinate_leases l set at = now() - interval '11 s';
update procrastinate_ticks t
set at = now() + interval '1 h', agenda_at = now() + interval '1 h', tidied_at = now() + interval '1 h', tidied_lease = now() + interval '1 h';
select procrastinate_tick();
select is_empty('select * from procrastinate_leases', 'leases are tidied away as before');
select ok(
    (select t.at < now() + interval '1 min' and t.tidied_at < now() + interval '1 min' from procrastinate_ticks t order by t.n desc limit 1),
    'the clockwork goes on from the new time');

select * from finish();
rollback;
