begin;
select plan(40);

-- The policy of a task of that name with these retry words.
create function pg_temp.delay(
    p_attempts integer, wait interval default null, linear interval default null, exponential double precision default null,
    max_wait interval default null, jitter double precision default null
)
returns double precision
language plpgsql
as $function$
begin
    perform procrastinate_define_task(
        'a', retry_wait => wait, retry_linear => linear, retry_exponential => exponential, retry_max_wait => max_wait, retry_jitter => jitter);
    return extract(epoch from procrastinate_retry_delay(procrastinate_policy('a'), p_attempts));
end;
$function$;

-- the formula: wait + linear * n + exponential ^ (n + 1) seconds, at most max_wait and a year

select is(round(c.got::numeric, 3), c.want::numeric(20, 3), c.sentence)
from (values
    (1,  pg_temp.delay(0),                                                     0,     'without a policy there is no wait'),
    (2,  pg_temp.delay(5),                                                     0,     'without a policy there is no wait after many failures'),
    (3,  pg_temp.delay(0, wait => '5 s'),                                      5,     'retry_wait is waited after the first failure'),
    (4,  pg_temp.delay(7, wait => '5 s'),                                      5,     'retry_wait is waited after the eighth failure'),
    (5,  pg_temp.delay(0, linear => '3 s'),                                    0,     'retry_linear adds nothing after the first failure'),
    (6,  pg_temp.delay(1, linear => '3 s'),                                    3,     'retry_linear is added once after the second failure'),
    (7,  pg_temp.delay(4, linear => '3 s'),                                    12,    'retry_linear is added four times after the fifth failure'),
    (8,  pg_temp.delay(0, exponential => 3),                                   3,     'retry_exponential is added as it is after the first failure'),
    (9,  pg_temp.delay(3, exponential => 3),                                   81,    'retry_exponential is raised to the fourth power after the fourth failure'),
    (10, pg_temp.delay(3, exponential => 1),                                   1,     'all powers of 1 are 1'),
    (11, pg_temp.delay(1, exponential => 0.5),                                 0.25,  'a retry_exponential below 1 shrinks'),
    (12, pg_temp.delay(0, exponential => 0),                                   0,     'a retry_exponential of 0 adds nothing'),
    (13, pg_temp.delay(2, wait => '10 s', linear => '4 s', exponential => 2),  26,    'the three are added'),
    (14, pg_temp.delay(2, wait => '1.5 s', linear => '0.25 s'),                2,     'fractions of seconds count'),
    (15, pg_temp.delay(2, wait => '10 s', linear => '4 s', exponential => 2, max_wait => '20 s'), 20, 'the sum is at most retry_max_wait'),
    (16, pg_temp.delay(0, wait => '10 s', max_wait => '0'),                    0,     'a retry_max_wait of nothing means no wait'),
    (17, pg_temp.delay(0, wait => '2 days', max_wait => '3 days'),             172800, 'a retry_max_wait that is not reached changes nothing'),
    (18, pg_temp.delay(0, wait => '99 years', max_wait => '100 years'),        365 * 86400, 'nobody waits longer than a year, whatever retry_max_wait says'),
    (19, pg_temp.delay(0, wait => '99 years'),                                 365 * 86400, 'nobody waits longer than a year when retry_max_wait is not given'),
    (20, pg_temp.delay(10000, linear => '100 years'),                          365 * 86400, 'a long retry_linear comes to a year'),
    (21, pg_temp.delay(19, exponential => 2, max_wait => '100 years'),         1048576, 'a power below a year is not cut')
) c(n, got, want, sentence)
order by c.n;

-- whatever the numbers

select is(c.got, c.want, c.sentence)
from (values
    (1,  pg_temp.delay(2147483647),                                            0::double precision,            'as many failures as there can be do not overflow without a policy'),
    (2,  pg_temp.delay(2147483647, linear => '100 years'),                     365 * 86400,  'retry_linear does not overflow'),
    (3,  pg_temp.delay(2147483647, exponential => 2),                          365 * 86400,  'retry_exponential does not overflow after many failures'),
    (4,  pg_temp.delay(0, exponential => 1.7976931348623157e308),              365 * 86400,  'the largest retry_exponential does not overflow'),
    (5,  pg_temp.delay(2147483647, exponential => 1.7976931348623157e308),     365 * 86400,  'the largest retry_exponential does not overflow after many failures'),
    (6,  pg_temp.delay(2147483647, exponential => 0.5),                        0,            'a retry_exponential below 1 does not underflow after many failures'),
    (7,  pg_temp.delay(0, exponential => 4.94e-324),                           0,            'the smallest retry_exponential does not underflow'),
    (8,  pg_temp.delay(2147483647, exponential => 4.94e-324),                  0,            'the smallest retry_exponential does not underflow after many failures'),
    (9,  pg_temp.delay(2147483647, '100 years', '100 years', 1e308, '100 years'), 365 * 86400, 'the largest of everything comes to a year'),
    (10, pg_temp.delay(100000, exponential => 1000, max_wait => '1 hour'),     3600,         'an immense power comes to retry_max_wait')
) c(n, got, want, sentence)
order by c.n;

-- the jitter

create temp table spread as
select pg_temp.delay(0, wait => '100 s', jitter => 0.1) as delay from generate_series(1, 300);
select ok(min(delay) >= 90 and max(delay) <= 110, 'the jitter is at most that fraction to either side') from spread;
select ok(min(delay) < 95, 'the jitter shortens the wait') from spread;
select ok(max(delay) > 105, 'the jitter lengthens the wait') from spread;

truncate spread;
insert into spread
select pg_temp.delay(2147483647, '100 years', '100 years', 1e308, '100 years', 1) from generate_series(1, 100);
select ok(min(delay) >= 0, 'a wait with the whole of it as jitter is never negative') from spread;
select ok(max(delay) <= 2 * 365 * 86400, 'a wait with the whole of it as jitter is at most doubled') from spread;

-- in a job's life

create temp table made as
select procrastinate_register_worker('w') as worker_id, 0::bigint as job_id;
select procrastinate_define_task('a', max_attempts => 2147483647, retry_exponential => 1e308, retry_linear => '100 years', retry_max_wait => '100 years');
update made set job_id = procrastinate_defer('a');
update procrastinate_jobs j set attempts = 2147483645 from made m where j.id = m.job_id;
select is((select count(*) from made m cross join procrastinate_fetch_jobs(m.worker_id, 1)), 1::bigint, 'a job that failed for ever starts once more');
select is((select procrastinate_fail_job(m.worker_id, m.job_id, 'boom') from made m)::text, 'todo', 'it fails once more, for a year');
select results_eq(
    $$ select j.attempts::integer, round(extract(epoch from j.scheduled_at - clock_timestamp()) / 86400) from procrastinate_jobs j join made m on m.job_id = j.id $$,
    $$ values (2147483646, 365::numeric) $$,
    'the job is due in a year');
select is_empty('select * from procrastinate_check()', 'all is well in the end');

select * from finish();
rollback;
