-- Cron expressions: what one says (parse_cron), the next time that matches on a clock that is never set (next_wall_clock), and on
-- the clock of a time zone (next_run).

create or replace function procrastinate_check_timezone(p_timezone text)
returns void
language plpgsql
immutable
set search_path from current
as $function$
begin
    -- A name that ends in digits the server takes for a POSIX zone where it knows no such file: Europe/Berlin3 as well as foo3bar.
    if p_timezone ~* '^(utc|gmt|(?!posix/|right/)[a-z]+(/[a-z_]+(-[a-z_]+)*){1,2}|etc/gmt(0|\+([0-9]|1[0-2])|-([0-9]|1[0-4])))$' then
        perform timestamptz 'epoch' at time zone p_timezone;
    else
        raise invalid_parameter_value;
    end if;
exception when invalid_parameter_value then
    raise exception 'invalid timezone: %', p_timezone
        using errcode = 'PJ006', detail = 'UTC, GMT, and names of an area and a place that the server knows are accepted.',
              hint = 'Write Europe/Berlin, not CET, and America/New_York, not EST5EDT: an abbreviation does not say when clocks change.';
end;
$function$;

comment on function procrastinate_check_timezone(text) is
    'Raises PJ006 unless it is the name of a time zone. Abbreviations and POSIX zones are none.';

create or replace function procrastinate_parse_cron_field(p_name text, p_field text, p_min integer, p_max integer, p_words text[] default null)
returns varbit
language plpgsql
immutable
set search_path from current
as $function$
declare
    v_mask   varbit;
    v_last   integer;
    v_item   text;
    v_range  text;
    v_first  text;
    v_second text;
    v_step   integer;
    v_from   integer;
    v_to     integer;
begin
    if p_field = '*' then
        return repeat('1', p_max - p_min + 1)::varbit;
    end if;
    v_mask := repeat('0', p_max - p_min + 1)::varbit;
    v_last := case p_name when 'day of week' then 6 else p_max end;         -- Sunday is 0 and 7, and comes once in */2
    foreach v_item in array string_to_array(lower(p_field collate "C"), ',') loop
        v_from := null;
        if v_item ~ '^([*]|([0-9]{1,4}|[a-z]{3})(-([0-9]{1,4}|[a-z]{3}))?)(/[0-9]{1,4})?$' then     -- its groups cost 10 times as much
            v_range  := split_part(v_item, '/', 1);
            v_first  := split_part(v_range, '-', 1);
            v_second := split_part(v_range, '-', 2);
            v_step   := nullif(split_part(v_item, '/', 2), '')::integer;
            v_from   := case
                when v_first = '*' then p_min
                when ascii(v_first) < ascii('a') then v_first::integer
                else array_position(p_words, v_first) - 1 + p_min
            end;
            v_to     := case
                when v_second = '' and (v_first = '*' or v_step is not null) then greatest(v_last, v_from)
                when v_second = '' then v_from
                when ascii(v_second) < ascii('a') then v_second::integer
                else array_position(p_words, v_second) - 1 + p_min
            end;
            if v_to = 0 and v_from > 0 and p_name = 'day of week' then
                v_to := 7;
            end if;
        end if;

        if (v_from between p_min and p_max and v_to between p_min and p_max) is not true then
            raise exception 'invalid cron: %: %', p_name, case v_item when '' then p_field else v_item end
                using errcode = 'PJ006',
                      detail = format('Numbers from %s to %s%s are accepted, ranges of them, *, steps of these as in */2, and lists of all that.',
                          p_min, p_max, ', ' || p_words[1] || ' to ' || p_words[cardinality(p_words)]),
                      hint = case when v_item ~ '[?#]|^l|[0-9][lw]$' then 'Quartz''s ?, L, W and # mean nothing here.'
                          else 'The fields are minute, hour, day of month, month, day of week and, if there are six, second.' end;
        end if;
        if v_from > v_to then
            raise exception 'invalid cron: %: %', p_name, v_item
                using errcode = 'PJ006', detail = 'The range ends before it begins.',
                      hint = format('Write %s-%s,%s-%s.', v_first, v_last, p_min, v_second);
        end if;
        if v_step not between 1 and v_last - p_min + 1 then
            raise exception 'invalid cron: %: %', p_name, v_item
                using errcode = 'PJ006', detail = format('Steps from 1 to %s are accepted.', v_last - p_min + 1);
        end if;
        v_mask := v_mask | rpad(
            repeat('0', v_from - p_min) || left(repeat(rpad('1', coalesce(v_step, 1), '0'), v_to - v_from + 1), v_to - v_from + 1),
            p_max - p_min + 1, '0')::varbit;
    end loop;
    return v_mask;
end;
$function$;

comment on function procrastinate_parse_cron_field(text, text, integer, integer, text[]) is
    'A bit for each value from p_min to p_max, set if the field has it. Raises PJ006.';

create or replace function procrastinate_parse_cron(p_cron text)
returns procrastinate_cron
language plpgsql
immutable
set search_path from current
as $function$
declare
    v_fields text[];
    v_week   varbit;
    v_cron   procrastinate_cron;
begin
    if char_length(p_cron) > 1000 then
        raise exception 'invalid cron: % characters', char_length(p_cron) using errcode = 'PJ006', detail = 'At most 1,000 are accepted.';
    end if;
    v_fields := array_remove(string_to_array(translate(p_cron, E'\t\n\x0b\f\r', '     '), ' '), '');
    if v_fields[1] like '@%' then
        v_fields := string_to_array(case lower(array_to_string(v_fields, ' ') collate "C")
            when '@yearly'   then '0 0 1 1 *'
            when '@annually' then '0 0 1 1 *'
            when '@monthly'  then '0 0 1 * *'
            when '@weekly'   then '0 0 * * 0'
            when '@daily'    then '0 0 * * *'
            when '@midnight' then '0 0 * * *'
            when '@hourly'   then '0 * * * *'
        end, ' ');
        if v_fields is null then
            raise exception 'invalid cron: %', p_cron
                using errcode = 'PJ006', detail = '@yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly are accepted.',
                      hint = 'Every five minutes is */5 * * * *, and nothing runs at a start.';
        end if;
    end if;
    if cardinality(v_fields) not in (5, 6) then
        raise exception 'invalid cron: %', case when v_fields = '{}' then 'empty' else p_cron end
            using errcode = 'PJ006',
                  detail = format('Its fields are %s; minute, hour, day of month, month, day of week are accepted, and last, if wanted, second.', cardinality(v_fields));
    end if;

    v_cron.minutes := procrastinate_parse_cron_field('minute', v_fields[1], 0, 59);
    v_cron.hours   := procrastinate_parse_cron_field('hour', v_fields[2], 0, 23);
    v_cron.days    := procrastinate_parse_cron_field('day of month', v_fields[3], 1, 31);
    v_cron.months  := procrastinate_parse_cron_field('month', v_fields[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
    v_week         := procrastinate_parse_cron_field('day of week', v_fields[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
    v_cron.seconds := procrastinate_parse_cron_field('second', coalesce(v_fields[6], '0'), 0, 59);
    v_cron.either  := left(v_fields[3], 1) <> '*' and left(v_fields[5], 1) <> '*';

    -- of the months chosen the longest has as many days
    if not v_cron.either and position(B'1' in v_cron.days) > (case
           when v_cron.months & B'101010110101' <> B'000000000000' then 31
           when v_cron.months & B'000101001010' <> B'000000000000' then 30
           else 29
       end) then
        raise exception 'invalid cron: day of month: %', v_fields[3]
            using errcode = 'PJ006', detail = format('No month of %s has that day.', v_fields[4]);
    end if;

    v_week          := substring(v_week from 1 for 7) | (substring(v_week from 8) || B'000000');
    v_cron.weekdays := v_week || v_week || v_week || v_week || v_week || v_week;
    v_cron.months   := v_cron.months || v_cron.months;
    return v_cron;
end;
$function$;

comment on function procrastinate_parse_cron(text) is
    'What the expression says, see the type. Raises PJ006.';

create or replace function procrastinate_next_day(p_cron procrastinate_cron, p_from date)
returns date
language plpgsql
immutable
set search_path from current
as $function$
declare
    v_day   integer := extract(day from p_from)::integer;
    v_month date    := p_from - v_day + 1;
    v_week  varbit;
    v_skip  integer;
    v_date  date;
begin
    -- Month by month: a leap day that is a Sunday is up to forty years away, in as many turns. It comes, or parse_cron refused it.
    loop
        v_skip := position(B'1' in substring(p_cron.months from extract(month from v_month)::integer)) - 1;
        if v_skip > 0 then
            v_month := (v_month + make_interval(months => v_skip))::date;
            v_day := 1;
        end if;
        v_week := substring(p_cron.weekdays from extract(dow from v_month)::integer + 1 for 31);
        v_skip := position(B'1' in substring(case when p_cron.either then p_cron.days | v_week else p_cron.days & v_week end from v_day)) - 1;
        v_date := v_month + (v_day - 1 + v_skip);
        exit when v_skip >= 0 and extract(month from v_date) = extract(month from v_month);
        v_month := (v_month + interval '1 month')::date;
        v_day := 1;
    end loop;
    return v_date;
end;
$function$;

comment on function procrastinate_next_day(procrastinate_cron, date) is
    'The first day from p_from on that matches.';

create or replace function procrastinate_next_wall_clock(p_cron procrastinate_cron, p_after timestamp)
returns timestamp
language plpgsql
immutable
set search_path from current
as $function$
declare
    v_first  timestamp := p_after + interval '1 second';
    v_date   date      := procrastinate_next_day(p_cron, v_first::date);
    v_hour   integer;
    v_minute integer;
    v_second integer;
    v_skip   integer;
begin
    if v_date = v_first::date then
        v_hour := extract(hour from v_first)::integer;
        v_minute := extract(minute from v_first)::integer;
        v_second := extract(second from v_first)::integer;
        if get_bit(p_cron.hours, v_hour) = 1 then
            if get_bit(p_cron.minutes, v_minute) = 1 then
                v_skip := position(B'1' in substring(p_cron.seconds from v_second + 1));
                if v_skip > 0 then
                    return v_date + make_time(v_hour, v_minute, v_second + v_skip - 1);
                end if;
            end if;
            v_skip := position(B'1' in substring(p_cron.minutes from v_minute + 2));
            if v_skip > 0 then
                return v_date + make_time(v_hour, v_minute + v_skip, position(B'1' in p_cron.seconds) - 1);
            end if;
        end if;
        v_skip := position(B'1' in substring(p_cron.hours from v_hour + 2));
        if v_skip > 0 then
            return v_date + make_time(v_hour + v_skip, position(B'1' in p_cron.minutes) - 1, position(B'1' in p_cron.seconds) - 1);
        end if;
        v_date := procrastinate_next_day(p_cron, v_date + 1);
    end if;
    return v_date + make_time(position(B'1' in p_cron.hours) - 1, position(B'1' in p_cron.minutes) - 1, position(B'1' in p_cron.seconds) - 1);
end;
$function$;

comment on function procrastinate_next_wall_clock(procrastinate_cron, timestamp) is
    'The first time after p_after, a whole second, that matches, on a clock that is never set.';

create or replace function procrastinate_clock_change(p_from timestamptz, p_until timestamptz, p_timezone text)
returns timestamptz
language plpgsql
stable
set search_path from current
as $function$
declare
    v_offset interval := (p_from at time zone p_timezone) - (p_from at time zone 'utc');
    v_low    integer  := 0;
    v_high   integer  := extract(epoch from p_until - p_from)::integer;
    v_middle integer;
    v_at     timestamptz;
begin
    while v_high - v_low > 1 loop
        v_middle := (v_low + v_high) / 2;
        v_at := p_from + make_interval(secs => v_middle);
        if (v_at at time zone p_timezone) - (v_at at time zone 'utc') = v_offset then
            v_low := v_middle;
        else
            v_high := v_middle;
        end if;
    end loop;
    return p_from + make_interval(secs => v_high);
end;
$function$;

comment on function procrastinate_clock_change(timestamptz, timestamptz, text) is
    'The instant in (p_from, p_until], whole seconds apart, at which the zone leaves the offset it has at p_from. p_until must have another.';

-- local(i) is what the clock of the zone shows at instant i. It is set at most once in a day, by at most a day.
--
-- Where some hours are not chosen, a time that matches runs at the first instant i with local(i) >= it: if it comes twice, the
-- first time; if it is left out, right after the gap. So what has run by p_after are the times up to the latest that the clock
-- has shown, which is local(p_after), or, if it was set back less than a day before, what it showed last before that. The first
-- time after those comes next.
--
-- Where all hours are chosen, each instant whose local time matches is a run. The next, for instants from v_from on, is that of
-- the first time that matches from local(v_from) on, with two exceptions. That time may be left out: look again from the end of
-- the gap. And the clock may be set back before, so that times up to local(v_from) come again: look again from there. More
-- than a day after v_from it is not set back as far as that.
create or replace function procrastinate_next_run(p_cron procrastinate_cron, p_after timestamptz, p_timezone text)
returns timestamptz
language plpgsql
stable
set search_path from current
as $function$
declare
    c_day    constant interval    := interval '24 hours';       -- '1 day' would go by the clock of the session
    v_hourly constant boolean     := position(B'0' in p_cron.hours) = 0;
    v_from   timestamptz := date_trunc('second', p_after);      -- the clock is looked at from here on
    v_shown  timestamp   := v_from at time zone p_timezone;     -- up to here it has shown all times that are of no interest
    v_next   timestamp;
    v_run    timestamptz;
    v_change timestamptz;
    v_back   interval;
begin
    if v_hourly then
        v_from := v_from + interval '1 second';
        v_shown := (v_from at time zone p_timezone) - interval '1 second';
    elsif (v_from - c_day) at time zone p_timezone > v_shown - c_day then
        v_change := procrastinate_clock_change(v_from - c_day, v_from, p_timezone);
        v_shown := greatest(v_shown, (v_change - interval '1 second') at time zone p_timezone);
    end if;

    loop
        v_next := procrastinate_next_wall_clock(p_cron, v_shown);
        v_run := v_next at time zone p_timezone;                -- of two the later, in a gap by the offset before it
        if v_run at time zone p_timezone <> v_next then
            v_run := procrastinate_clock_change(v_run - c_day, v_run, p_timezone);
        else
            v_back := ((v_run - c_day) at time zone p_timezone) - (v_next - c_day);
            if v_back > '0' and (v_run - v_back) at time zone p_timezone = v_next and (v_run - v_back >= v_from or not v_hourly) then
                v_run := v_run - v_back;
            end if;
        end if;
        exit when not v_hourly;

        v_change := v_run;
        if (v_from + c_day) at time zone p_timezone < (v_from at time zone p_timezone) + c_day then
            v_change := least(procrastinate_clock_change(v_from, v_from + c_day, p_timezone), v_run);
        end if;
        exit when v_change = v_run and v_run at time zone p_timezone = v_next;
        v_from := v_change;
        v_shown := (v_from at time zone p_timezone) - interval '1 second';
    end loop;
    return v_run;
end;
$function$;

comment on function procrastinate_next_run(procrastinate_cron, timestamptz, text) is
    'The first run after p_after.';

create or replace function procrastinate_last_run(p_cron procrastinate_cron, p_after timestamptz, p_until timestamptz, p_timezone text)
returns timestamptz
language plpgsql
stable
set search_path from current
as $function$
declare
    v_last   timestamptz := procrastinate_next_run(p_cron, p_after, p_timezone);
    v_end    timestamptz := date_trunc('second', p_until);      -- the run after it is after p_until
    v_middle timestamptz;
    v_run    timestamptz;
begin
    if v_last > p_until then
        return null;
    end if;
    while v_last < v_end loop
        v_middle := date_trunc('second', v_last + (v_end - v_last) / 2);
        v_run := procrastinate_next_run(p_cron, v_middle, p_timezone);
        if v_run <= p_until then
            v_last := v_run;
        else
            v_end := v_middle;
        end if;
    end loop;
    return v_last;
end;
$function$;

comment on function procrastinate_last_run(procrastinate_cron, timestamptz, timestamptz, text) is
    'The last run after p_after and not after p_until; NULL: there is none.';

create or replace function procrastinate_cron_next(
    cron     text,
    after    timestamptz default now(),
    timezone text        default 'UTC'
)
returns timestamptz
language plpgsql
stable
security definer
set search_path from current
as $function$
begin
    if cron is null then
        raise exception 'invalid cron: NULL' using errcode = 'PJ001';
    end if;
    if after is null or not isfinite(after) then
        raise exception 'invalid after: %', coalesce(after::text, 'NULL') using errcode = 'PJ001', detail = 'A finite time is accepted.';
    end if;
    if timezone is null then
        raise exception 'invalid timezone: NULL' using errcode = 'PJ001';
    end if;
    perform procrastinate_check_timezone(timezone);
    return procrastinate_next_run(procrastinate_parse_cron(cron), after, timezone);
end;
$function$;

comment on function procrastinate_cron_next(text, timestamptz, text) is
'When a cron expression runs next, by the clock of a time zone.
When that clock is set, an expression that has all 24 hours runs whenever the clock shows a time that matches: both times that an
hour comes twice, not at all when one is left out. Any other runs once for each time that matches: the first time that it
comes, or right after the gap; times left out by one gap are one run.
cron: minute, hour, day of month, month, day of week, and if there is a sixth field second, else 0. Each is *, a number, a range as
in 9-17, one of these with a step as in */5, or 30/5 for 30 and on, or a list of such with commas. Months also jan to dec, days
of the week sun to sat; Sunday is 0 and 7. A day matches by day of month or by day of week, but by both if one of the two
begins with *. Also @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.
after: from when on, excluded; built in: now.
timezone: whose clock, as Europe/Berlin or UTC; no abbreviation.
Returns the first run after that time.
Raises PJ001 (an argument is NULL, or after is infinite), PJ006 (the expression or the time zone is not valid, or the date never
comes).';
