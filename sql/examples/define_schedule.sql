select procrastinate_define_schedule('report', '30 7 * * mon-fri', args => '{"to": "a@b.c"}', timezone => 'Europe/Berlin') > now() as later;
select procrastinate_define_schedule('sync', '*/10 * * * *', queueing_lock => 'sync') > now() as later;       -- not while one waits
select procrastinate_define_schedule('heartbeat', '* * * * * */2', 'ping', catch_up => 'none') > now() as later;

-- two seconds later, whoever ticks
select pg_sleep_for('2.1 s') \g /dev/null
select procrastinate_tick() \g /dev/null
select task_name, metadata ->> 'schedule' as schedule, (metadata ->> 'scheduled_for')::timestamptz <= now() as due from procrastinate_jobs;
