select procrastinate_defer('remind', schedule_in => '0.2 s');
select procrastinate_register_worker('psql') as worker_id \gset
select id from procrastinate_fetch_jobs(:worker_id, 1);

-- as a worker does: tick, sleep until something is due, tick
select procrastinate_tick() as span \gset
select pg_sleep_for(:'span') \g /dev/null
select procrastinate_tick();
select id from procrastinate_fetch_jobs(:worker_id, 1);
