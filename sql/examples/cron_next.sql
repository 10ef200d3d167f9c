select procrastinate_cron_next('*/5 * * * *', '2026-11-22 21:03Z') as every_five_minutes;
select procrastinate_cron_next('0 9 * * mon-fri', '2026-11-22 21:03Z', 'America/New_York') as working_days_at_nine;
-- the clock goes from 2:00 to 3:00 that night, and from 3:00 to 2:00
select procrastinate_cron_next('30 2 * * *', '2027-03-27 12:00Z', 'Europe/Berlin') as after_the_gap;
select procrastinate_cron_next('30 2 * * *', '2027-10-30 12:00Z', 'Europe/Berlin') as the_first_time;
