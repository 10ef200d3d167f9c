-- Cron expressions. sql/cron_test.go compares thousands of them with another implementation, and with a walk.
begin;
select plan(170);
set local timezone = 'UTC';
set local datestyle = 'iso, mdy';

-- how it is refused, whole
create function pg_temp.refusal(cron text, timezone text default 'UTC')
returns text
language plpgsql
as $function$
declare
    v_message text;
    v_detail  text;
    v_hint    text;
begin
    return procrastinate_cron_next(cron, 'epoch', timezone);
exception when sqlstate 'PJ006' then
    get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    return concat_ws(' | ', v_message, v_detail, nullif(v_hint, ''));
end;
$function$;

-- the next runs, as the clock of the zone shows them and with its distance from UTC
create function pg_temp.runs(cron text, after text, zone text, n integer)
returns text
language plpgsql
as $function$
declare
    v_at   timestamptz := after;
    v_runs text[];
begin
    perform set_config('timezone', zone, true);
    for v_n in 1 .. n loop
        v_at := procrastinate_cron_next(cron, v_at, zone);
        v_runs[v_n] := to_char(v_at, 'DD HH24:MI:SS OF');
    end loop;
    perform set_config('timezone', 'UTC', true);
    return array_to_string(v_runs, ', ');
end;
$function$;

-- what a field may say; it is Sunday, the 22nd of November

select is(procrastinate_cron_next(c.cron, '2026-11-22 21:00:00.5+00')::text, c.want || '+00', format('%s: %s', translate(c.cron, E'\t\n\r\f\x0b', '     '), c.sentence))
from (values
    (1,  '* * * * *',                  '2026-11-22 21:01:00', 'every minute'),
    (2,  '* * * * * *',                '2026-11-22 21:00:01', 'every second'),
    (3,  '* * * * * 30',               '2026-11-22 21:00:30', 'the sixth field is the second'),
    (4,  '* * * * * */2',              '2026-11-22 21:00:02', 'every other second'),
    (5,  '5 4 3 2 *',                  '2027-02-03 04:05:00', 'minute, hour, day, month'),
    (6,  '0 0 * * 2',                  '2026-11-24 00:00:00', 'day of the week'),
    (7,  '07 008 * * *',               '2026-11-23 08:07:00', 'zeros before a number'),
    (8,  '10-12 * * * *',              '2026-11-22 21:10:00', 'a range'),
    (9,  '0-59 * * * *',               '2026-11-22 21:01:00', 'a whole range'),
    (10, '59,7,3 * * * *',             '2026-11-22 21:03:00', 'a list'),
    (11, '3,3,1-5,2-4 * * * *',        '2026-11-22 21:01:00', 'a list that says some twice'),
    (12, '*/7 * * * *',                '2026-11-22 21:07:00', 'a step'),
    (13, '*/60 * * * *',               '2026-11-22 22:00:00', 'the longest step'),
    (14, '*/1 * * * *',                '2026-11-22 21:01:00', 'the shortest step'),
    (15, '50/4 * * * *',               '2026-11-22 21:50:00', 'a step from a number on'),
    (16, '58/4 * * * *',               '2026-11-22 21:58:00', 'a step that leads out at once'),
    (17, '10-20/5 * * * *',            '2026-11-22 21:10:00', 'a step in a range'),
    (18, '0 1-23/10 * * *',            '2026-11-23 01:00:00', 'a step in a range that does not end at it'),
    (19, '0 0 */10 * *',               '2026-12-01 00:00:00', 'a step of days begins at the first'),
    (20, '0 0 1 */5 *',                '2027-01-01 00:00:00', 'a step of months begins with January'),
    (21, '0 0 1 jan *',                '2027-01-01 00:00:00', 'the first month by name'),
    (22, '0 0 1 DEC *',                '2026-12-01 00:00:00', 'the last month by name, in capitals'),
    (23, '0 0 1 feb-Apr *',            '2027-02-01 00:00:00', 'a range of months by name'),
    (24, '0 0 1 mar-nov/4,feb *',      '2027-02-01 00:00:00', 'a list of months by name'),
    (25, '0 0 * * sun',                '2026-11-29 00:00:00', 'the first day of the week by name'),
    (26, '0 0 * * 0',                  '2026-11-29 00:00:00', 'Sunday is 0'),
    (27, '0 0 * * 7',                  '2026-11-29 00:00:00', 'Sunday is 7'),
    (28, '0 0 * * saT',                '2026-11-28 00:00:00', 'the last day of the week by name'),
    (29, '0 0 * * mon-5/2',            '2026-11-23 00:00:00', 'a range of days, half by name'),
    (30, '0 0 * * 5-7',                '2026-11-27 00:00:00', 'a range up to Sunday'),
    (31, '0 22 * * fri-sun',           '2026-11-22 22:00:00', 'a range up to Sunday by name'),
    (32, '0 22 * * 6-0',               '2026-11-22 22:00:00', 'a range up to Sunday as 0'),
    (33, '0 22 * * sun-tue',           '2026-11-22 22:00:00', 'a range from Sunday on'),
    (34, '0 0 * * 0-7',                '2026-11-23 00:00:00', 'a range from Sunday to Sunday'),
    (35, '0 0 * * 5/2',                '2026-11-27 00:00:00', 'a step from a day on'),
    (36, E' \t*  *\n*\r\f*\x0b* ',     '2026-11-22 21:01:00', 'blanks of all kinds'),
    (37, '0 0 29 2 *',                 '2028-02-29 00:00:00', 'a leap day'),
    (38, '0 0 31 * *',                 '2026-12-31 00:00:00', 'a day that not all months have'),
    (39, '0 0 31 2-4,6 *',             '2027-03-31 00:00:00', 'a day that few of the months have'),
    (40, '59 23 31 12 * 59',           '2026-12-31 23:59:59', 'the last second of the year'),
    (41, '@yearly',                    '2027-01-01 00:00:00', 'a year begins'),
    (42, '@annually',                  '2027-01-01 00:00:00', 'the same'),
    (43, '@monthly',                   '2026-12-01 00:00:00', 'a month begins'),
    (44, '@weekly',                    '2026-11-29 00:00:00', 'a week begins, on Sunday'),
    (45, '@daily',                     '2026-11-23 00:00:00', 'a day begins'),
    (46, '@midnight',                  '2026-11-23 00:00:00', 'the same'),
    (47, E' @HOURLY\n',                '2026-11-22 22:00:00', 'an hour begins')
) c(n, cron, want, sentence)
order by c.n;

-- day of month and day of week

select is(pg_temp.runs(c.cron, '2026-11-22 21:00+00', 'UTC', 4), c.want, c.cron || ': ' || c.sentence)
from (values
    (1, '0 0 1,13 * fri',   '27 00:00:00 +00, 01 00:00:00 +00, 04 00:00:00 +00, 11 00:00:00 +00', 'one of the two days is enough'),
    (2, '0 0 */13 * fri',   '27 00:00:00 +00, 01 00:00:00 +00, 14 00:00:00 +00, 27 00:00:00 +00', 'a day with a * must match as well: here they do not'),
    (3, '0 0 13 * *',       '13 00:00:00 +00, 13 00:00:00 +00, 13 00:00:00 +00, 13 00:00:00 +00', 'the day of the month alone'),
    (4, '0 0 1-7 * */7',    '06 00:00:00 +00, 03 00:00:00 +00, 07 00:00:00 +00, 07 00:00:00 +00', 'the first Sunday of each month'),
    (5, '0 0 1-31 * 1',     '23 00:00:00 +00, 24 00:00:00 +00, 25 00:00:00 +00, 26 00:00:00 +00', 'all days, written as a range, are a restriction')
) c(n, cron, want, sentence)
order by c.n;

-- from when on

select is(procrastinate_cron_next('* * * * *', '2026-11-22 21:00:00+00')::text, '2026-11-22 21:01:00+00', 'a run is after the time given, not at it');
select is(procrastinate_cron_next('* * * * *', '2026-11-22 20:59:59.999999+00')::text, '2026-11-22 21:00:00+00', 'a microsecond later is after it');
select is(procrastinate_cron_next('0 0 29 2 *', '2096-02-29 00:00+00')::text, '2104-02-29 00:00:00+00', 'there is no leap day in 2100');
select is(procrastinate_cron_next('0 0 29 2 */7', '2072-03-01 00:00+00')::text, '2088-02-29 00:00:00+00', 'a leap day that is a Sunday');
select is(procrastinate_cron_next('0 0 29 2 */7', '2088-03-01 00:00+00')::text, '2128-02-29 00:00:00+00', 'forty years until the next');
select is(procrastinate_cron_next('0 0 1 1 *', '0045-06-01 00:00+00 BC')::text, '0044-01-01 00:00:00+00 BC', 'a time before our era');
select is(procrastinate_cron_next('* * * * *', '1969-12-31 23:59:59.5+00')::text, '1970-01-01 00:00:00+00', 'a time before 1970');
select throws_ok($$ select procrastinate_cron_next('0 0 29 2 *', '294276-03-01 00:00+00') $$, '22008', null, 'after the end of time there is none');
select is(procrastinate_cron_next('* * * * * *'), date_trunc('second', now()) + interval '1 second', 'if nobody says from when on, it is now, in UTC');

-- what is refused, and how

select is(pg_temp.refusal(c.cron), c.want, c.sentence)
from (values
    (1,  '',                'invalid cron: empty | Its fields are 0; minute, hour, day of month, month, day of week are accepted, and last, if wanted, second.', 'an empty one'),
    (2,  E' \n',            'invalid cron: empty | Its fields are 0; minute, hour, day of month, month, day of week are accepted, and last, if wanted, second.', 'blanks alone'),
    (3,  '* * * *',         'invalid cron: * * * * | Its fields are 4; minute, hour, day of month, month, day of week are accepted, and last, if wanted, second.', 'four fields'),
    (4,  '* * * * * * 2026', 'invalid cron: * * * * * * 2026 | Its fields are 7; minute, hour, day of month, month, day of week are accepted, and last, if wanted, second.', 'a year'),
    (5,  repeat('1,', 500) || '1 * * * *', 'invalid cron: 1009 characters | At most 1,000 are accepted.', 'a long one'),
    (6,  '@reboot',         'invalid cron: @reboot | @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly are accepted. | Every five minutes is */5 * * * *, and nothing runs at a start.', '@reboot'),
    (7,  '@every 5m',       'invalid cron: @every 5m | @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly are accepted. | Every five minutes is */5 * * * *, and nothing runs at a start.', '@every'),
    (8,  '*/90 * * * *',    'invalid cron: minute: */90 | Steps from 1 to 60 are accepted.', 'a step over more minutes than an hour has'),
    (9,  '*/0 * * * *',     'invalid cron: minute: */0 | Steps from 1 to 60 are accepted.', 'a step of nothing'),
    (10, '* * * * 1-5/8',   'invalid cron: day of week: 1-5/8 | Steps from 1 to 7 are accepted.', 'a step over more days than a week has'),
    (11, '* 22-6 * * *',    'invalid cron: hour: 22-6 | The range ends before it begins. | Write 22-23,0-6.', 'a range of hours over midnight'),
    (12, '* * * nov-feb *', 'invalid cron: month: nov-feb | The range ends before it begins. | Write nov-12,1-feb.', 'a range of months over the new year'),
    (13, '* * * * fri-tue', 'invalid cron: day of week: fri-tue | The range ends before it begins. | Write fri-6,0-tue.', 'a range of days over the weekend'),
    (14, '* * 30 2 *',      'invalid cron: day of month: 30 | No month of 2 has that day.', 'the 30th of February'),
    (15, '* * 31 2,apr,6-6,9/2 *', 'invalid cron: day of month: 31 | No month of 2,apr,6-6,9/2 has that day.', 'a 31st of short months')
) c(n, cron, want, sentence)
order by c.n;

select is(
    split_part(pg_temp.refusal(c.cron), ' | ', 1) || ' | ' || split_part(pg_temp.refusal(c.cron), ' | ', 2),
    format('invalid cron: %s | Numbers from %s are accepted, ranges of them, *, steps of these as in */2, and lists of all that.', c.field, c.range), c.cron)
from (values
    (1,  '60 * * * *',      'minute: 60',            '0 to 59'),
    (2,  '* 24 * * *',      'hour: 24',              '0 to 23'),
    (3,  '* * 0 * *',       'day of month: 0',       '1 to 31'),
    (4,  '* * 32 * *',      'day of month: 32',      '1 to 31'),
    (5,  '* * * 0 *',       'month: 0',              '1 to 12, jan to dec'),
    (6,  '* * * 13 *',      'month: 13',             '1 to 12, jan to dec'),
    (7,  '* * * * 8',       'day of week: 8',        '0 to 7, sun to sat'),
    (8,  '* * * * * 60',    'second: 60',            '0 to 59'),
    (9,  '* 9-25 * * *',    'hour: 9-25',            '0 to 23'),
    (10, '1,61,62 * * * *', 'minute: 61',            '0 to 59'),
    (11, '99999 * * * *',   'minute: 99999',         '0 to 59'),
    (12, '-1 * * * *',      'minute: -1',            '0 to 59'),
    (13, '1.5 * * * *',     'minute: 1.5',           '0 to 59'),
    (14, '1,,2 * * * *',    'minute: 1,,2',          '0 to 59'),
    (15, ', * * * *',       'minute: ,',             '0 to 59'),
    (16, '1- * * * *',      'minute: 1-',            '0 to 59'),
    (17, '1-2-3 * * * *',   'minute: 1-2-3',         '0 to 59'),
    (18, '1/ * * * *',      'minute: 1/',            '0 to 59'),
    (19, '1/2/3 * * * *',   'minute: 1/2/3',         '0 to 59'),
    (20, '*-5 * * * *',     'minute: *-5',           '0 to 59'),
    (21, '** * * * *',      'minute: **',            '0 to 59'),
    (22, '*5 * * * *',      'minute: *5',            '0 to 59'),
    (23, 'jan * * * *',     'minute: jan',           '0 to 59'),
    (24, '* * * mon *',     'month: mon',            '1 to 12, jan to dec'),
    (25, '* * * january *', 'month: january',        '1 to 12, jan to dec'),
    (26, '* * * * anf',     'day of week: anf',      '0 to 7, sun to sat'),
    (27, '* * * * sun-xyz', 'day of week: sun-xyz',  '0 to 7, sun to sat'),
    (28, '* * * * */mon',   'day of week: */mon',    '0 to 7, sun to sat'),
    (29, '* * ? * *',       'day of month: ?',       '1 to 31'),
    (30, '* * L * *',       'day of month: l',       '1 to 31'),
    (31, '٣ * * * *',       'minute: ٣',             '0 to 59')
) c(n, cron, field, range)
order by c.n;

select is(split_part(pg_temp.refusal(c.cron), ' | ', 3), c.want, c.cron || ' has a hint')
from (values
    (1, '0 60 * * *',    'The fields are minute, hour, day of month, month, day of week and, if there are six, second.'),
    (2, '0 0 ? * mon',   'Quartz''s ?, L, W and # mean nothing here.'),
    (3, '0 0 15W * *',   'Quartz''s ?, L, W and # mean nothing here.'),
    (4, '0 0 L-3 * *',   'Quartz''s ?, L, W and # mean nothing here.'),
    (5, '0 0 * * fri#2', 'Quartz''s ?, L, W and # mean nothing here.')
) c(n, cron, want)
order by c.n;

select throws_ok('select procrastinate_cron_next(null)', 'PJ001', 'invalid cron: NULL', 'no expression');
select throws_ok($$ select procrastinate_cron_next('* * * * *', null) $$, 'PJ001', 'invalid after: NULL', 'no time');
select throws_ok($$ select procrastinate_cron_next('* * * * *', 'infinity') $$, 'PJ001', 'invalid after: infinity', 'after the end of time');
select throws_ok($$ select procrastinate_cron_next('* * * * *', '-infinity') $$, 'PJ001', 'invalid after: -infinity', 'before all time');
select throws_ok($$ select procrastinate_cron_next('* * * * *', timezone => null) $$, 'PJ001', 'invalid timezone: NULL', 'no time zone');

-- time zones

select is(
    pg_temp.refusal('* * * * *', z),
    format('invalid timezone: %s | UTC, GMT, and names of an area and a place that the server knows are accepted. | '
           'Write Europe/Berlin, not CET, and America/New_York, not EST5EDT: an abbreviation does not say when clocks change.', z),
    format('the timezone %L is refused', z))
from unnest(array['', 'CET', 'EST5EDT', 'foo3bar', 'Europe/Berlin3', 'Europe/Nowhere', 'Etc/GMT+13', 'Etc/GMT-15', '+02', '<+02>-2', 'posix/Europe/Berlin',
    ' Europe/Berlin', 'Europe/Berlin ', '../etc/passwd', 'Europe']) z;
select is(procrastinate_cron_next('0 12 * * *', '2026-11-22 00:00+00', c.zone)::text, c.want, c.zone || ' is a time zone')
from (values
    (1, 'UTC',                            '2026-11-22 12:00:00+00'),
    (2, 'GMT',                            '2026-11-22 12:00:00+00'),
    (3, 'europe/berlin',                  '2026-11-22 11:00:00+00'),
    (4, 'Asia/Kathmandu',                 '2026-11-22 06:15:00+00'),
    (5, 'America/Argentina/Buenos_Aires', '2026-11-22 15:00:00+00'),
    (6, 'America/Port-au-Prince',         '2026-11-22 17:00:00+00'),
    (7, 'Etc/GMT+12',                     '2026-11-23 00:00:00+00'),
    (8, 'Etc/GMT-14',                     '2026-11-22 22:00:00+00')
) c(n, zone, want)
order by c.n;

-- where the clock is set

select is(pg_temp.runs(c.cron, c.after, c.zone, 3), c.want, c.sentence)
from (values
    (1,  '30 2 * * *',     '2026-03-28 12:00+00', 'Europe/Berlin',       '29 03:00:00 +02, 30 02:30:00 +02, 31 02:30:00 +02', 'a time that is left out runs right after the gap, once'),
    (2,  '*/20 1-2 * * *', '2026-03-29 00:30+00', 'Europe/Berlin',       '29 01:40:00 +01, 29 03:00:00 +02, 30 01:00:00 +02', 'several times that are left out are one run'),
    (3,  '0 2,3 * * *',    '2026-03-29 00:30+00', 'Europe/Berlin',       '29 03:00:00 +02, 30 02:00:00 +02, 30 03:00:00 +02', 'one that is left out and the end of the gap are one run'),
    (4,  '30 2 * * *',     '2026-10-24 12:00+00', 'Europe/Berlin',       '25 02:30:00 +02, 26 02:30:00 +01, 27 02:30:00 +01', 'a time that comes twice runs the first time'),
    (5,  '30 2 * * *',     '2026-10-25 00:45+00', 'Europe/Berlin',       '26 02:30:00 +01, 27 02:30:00 +01, 28 02:30:00 +01', 'between the two nothing runs'),
    (6,  '*/30 1-3 * * *', '2026-10-25 00:15+00', 'Europe/Berlin',       '25 02:30:00 +02, 25 03:00:00 +01, 25 03:30:00 +01', 'also of several'),
    (7,  '30 * * * *',     '2026-10-24 23:45+00', 'Europe/Berlin',       '25 02:30:00 +02, 25 02:30:00 +01, 25 03:30:00 +01', 'with all hours both run'),
    (8,  '30 * * * *',     '2026-03-29 00:15+00', 'Europe/Berlin',       '29 01:30:00 +01, 29 03:30:00 +02, 29 04:30:00 +02', 'with all hours a time that is left out does not run'),
    (9,  '*/45 0-23 * * *', '2026-10-25 00:30+00', 'Europe/Berlin',      '25 02:45:00 +02, 25 02:00:00 +01, 25 02:45:00 +01', 'all hours may be a range'),
    (10, '30 2 29 3 *',    '2025-06-01 00:00+00', 'Europe/Berlin',       '29 03:00:00 +02, 29 02:30:00 +02, 29 02:30:00 +02', 'once a year, on the day when it is left out'),
    (11, '15 2 * * *',     '2026-10-03 12:00+00', 'Australia/Lord_Howe', '04 02:30:00 +11, 05 02:15:00 +11, 06 02:15:00 +11', 'half an hour may be left out'),
    (12, '45 1 * * *',     '2026-04-04 12:00+00', 'Australia/Lord_Howe', '05 01:45:00 +11, 06 01:45:00 +10:30, 07 01:45:00 +10:30', 'half an hour may come twice'),
    (13, '45 * * * *',     '2026-04-04 14:30+00', 'Australia/Lord_Howe', '05 01:45:00 +11, 05 01:45:00 +10:30, 05 02:45:00 +10:30', 'with all hours its times run twice'),
    (14, '0 0 * * *',      '2026-03-07 12:00+00', 'America/Havana',      '08 01:00:00 -04, 09 00:00:00 -04, 10 00:00:00 -04', 'a midnight may be left out'),
    (15, '30 0 * * *',     '2026-10-31 12:00+00', 'America/Havana',      '01 00:30:00 -04, 02 00:30:00 -05, 03 00:30:00 -05', 'the time after midnight may come twice'),
    (16, '30 23 * * *',    '2023-03-25 12:00+00', 'America/Asuncion',    '25 23:30:00 -03, 26 23:30:00 -04, 27 23:30:00 -04', 'the time before midnight may come twice'),
    (17, '0 0 * * *',      '2023-03-26 02:45+00', 'America/Asuncion',    '26 00:00:00 -04, 27 00:00:00 -04, 28 00:00:00 -04', 'and midnight then is after the second'),
    (18, '0 12 * * *',     '2011-12-29 12:00+00', 'Pacific/Apia',        '29 12:00:00 -10, 31 00:00:00 +14, 31 12:00:00 +14', 'a whole day may be left out'),
    (19, '0 2 * * *',      '2026-03-28 12:00+00', 'Antarctica/Troll',    '29 03:00:00 +02, 30 02:00:00 +02, 31 02:00:00 +02', 'two hours may be left out'),
    (20, '0 0 * * *',      '1972-01-06 12:00+00', 'Africa/Monrovia',     '07 00:44:30 +00, 08 00:00:00 +00, 09 00:00:00 +00', 'minutes and seconds may be left out'),
    (21, '0 3 * * *',      '2100-03-27 12:00+00', 'Europe/Berlin',       '28 03:00:00 +02, 29 03:00:00 +02, 30 03:00:00 +02', 'also when we are gone')
) c(n, cron, after, zone, want, sentence)
order by c.n;

-- the session's own zone and style have no say
create temp table answer as
select c.cron, a.at, procrastinate_cron_next(c.cron, a.at, 'Europe/Berlin') as run
from unnest('{30 2 * * *,*/20 * * * *}'::text[]) c(cron)
cross join generate_series(timestamptz '2026-10-24 00:00+00', '2026-10-26 00:00+00', '7 min') a(at);
set local timezone = 'Europe/Berlin';
set local datestyle = 'german';
set local intervalstyle = 'sql_standard';
select is_empty($$ select * from answer a where a.run <> procrastinate_cron_next(a.cron, a.at, 'Europe/Berlin') $$, 'the zone and the styles of the session have no say');
set local timezone = 'UTC';
set local datestyle = 'iso, mdy';

-- the last run of some time

select is_empty(
    $$ with recursive run as (
           select c.*, procrastinate_parse_cron(c.cron) as parsed, timestamptz '2026-10-23 12:00:00.25+00' as at
           from unnest('{30 2 * * *,*/20 * * * *,0 0-22 * * *,7 2 25 10 * 30}'::text[]) c(cron)
           union all
           select r.cron, r.parsed, procrastinate_next_run(r.parsed, r.at, 'Europe/Berlin') from run r where r.at < '2026-10-27 00:00+00'
       ), got as (
           select r.cron, u.until, procrastinate_last_run(r.parsed, '2026-10-23 12:00:00.25+00', u.until, 'Europe/Berlin') as last
           from run r
           cross join generate_series(timestamptz '2026-10-23 12:00:00.25+00', '2026-10-27 00:00+00', '37 min 15.5 s') u(until)
           where r.at = '2026-10-23 12:00:00.25+00'
       )
       select * from got g
       where g.last is distinct from (select max(r.at) from run r where r.cron = g.cron and r.at <= g.until and r.at > '2026-10-23 12:00:00.25+00') $$,
    'the last run is the last of those that come one after the other');
select is_empty(
    $$ select u from generate_series(timestamptz '2026-11-22 21:01+00', '2026-11-22 21:09+00', '1 s') u
       where procrastinate_last_run(procrastinate_parse_cron('* * * * *'), '2026-11-22 21:00+00', u, 'UTC') <> date_trunc('minute', u) $$,
    'the last run of each minute is its beginning, whenever one asks');
select is(
    procrastinate_last_run(procrastinate_parse_cron(c.cron), '2026-11-22 21:00+00', c.until, 'UTC'), c.want, c.sentence)
from (values
    (1, '* * * * *', timestamptz '2026-11-22 21:00:59.999+00', null::timestamptz,                'before the first run there is none'),
    (2, '* * * * *', '2026-11-22 21:01+00',                    '2026-11-22 21:01+00',            'a run at the end counts'),
    (3, '* * * * *', '2026-11-22 21:01:59.5+00',               '2026-11-22 21:01+00',            'with one run it is the last'),
    (4, '* * * * * *', '2036-11-22 21:01:59.5+00',             '2036-11-22 21:01:59+00',         'of many it is the latest'),
    (5, '0 0 29 2 *', '2110-01-01 00:00+00',                   '2108-02-29 00:00+00',            'it may be years before the end'),
    (6, '* * * * *', '2026-11-22 20:00+00',                    null,                             'in no time there is none')
) c(n, cron, until, want, sentence)
order by c.n;

select * from finish();
rollback;
