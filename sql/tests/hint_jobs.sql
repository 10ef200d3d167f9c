-- What else is written under REPEATABLE READ: hint_jobs_old_snapshot.sql.
begin;
select plan(26);

create temp table made (name text primary key, id bigint, key bigint);

-- Jobs as rows only, without hints: task and lock are named after what they are to be.
with job as (
    insert into procrastinate_jobs (task_name, queue_name, priority, lock, lock_key, scheduled_at, status, started_at, finished_at)
    select v.task, v.queue, v.priority, v.lock, hashtextextended(v.lock, 0), v.at, v.status::procrastinate_job_status, v.started, v.finished
    from (values
        ('now',        'q', 2, null, null::timestamptz,             'todo', null::timestamptz, null::timestamptz),
        ('past',       'q', 2, null, now() - interval '1 minute',   'todo', null, null),
        ('future',     'q', 2, null, now() + interval '1 hour',     'todo', null, null),
        ('locked',     'q', 3, 'x',  null,                          'todo', null, null),
        ('locked too', 'q', 4, 'x',  now() - interval '1 minute',   'todo', null, null),
        ('locked fut', 'q', 3, 'x',  now() + interval '1 hour',     'todo', null, null),
        ('empty lock', 'q', 3, '',   null,                          'todo', null, null),
        ('doing',      'q', 2, 'x',  null,                          'doing', now(), null),
        ('succeeded',  'q', 2, 'x',  now() + interval '1 hour',     'succeeded', now(), now())
    ) v(task, queue, priority, lock, at, status, started, finished)
    returning task_name, id, lock_key
)
insert into made select * from job;

-- All hints there are, by the names of the jobs.
create temp view hint as
select 'agenda' as place, null as lane, m.name, null::boolean as held, null::integer as priority
from procrastinate_agenda a join made m using (id)
union all
select 'lock queue', null, m.name, q.held, q.priority
from procrastinate_lock_queue q join made m on m.id = q.job_id and m.key = q.key
union all
select 'token', concat_ws('/', l.kind, l.queue_name, l.task_name, l.priority),
       case when l.kind in ('plain', 'returned') then (select m.name from made m where m.id = t.id)
            else 'lock of ' || (select string_agg(m.name, ', ' order by m.id) from made m where m.key = t.id and l.task_name = m.name or m.key = t.id and l.lane = 0 and m.name in ('locked', 'empty lock')) end,
       null, null
from procrastinate_tokens t join procrastinate_lanes l using (lane);

-- Forgets all hints, then writes those of the jobs named; all hints are what it wrote.
create function pg_temp.hint(p_names text[], p_returned boolean default false)
returns setof hint
language plpgsql
as $function$
begin
    delete from procrastinate_tokens;
    delete from procrastinate_lock_queue;
    delete from procrastinate_agenda;
    perform procrastinate_hint_jobs(array(select m.id from made m where m.name = any (p_names) order by m.id), p_returned);
    return query select * from pg_temp.hint h order by 1, 2, 3;
end;
$function$;

create function pg_temp.hint_row(place text, lane text, name text, held boolean default null, priority integer default null)
returns setof hint
language sql
as $function$
    select place, lane, name, held, priority
$function$;

select bag_eq(
    $$ select * from pg_temp.hint('{now}') $$,
    $$ select * from pg_temp.hint_row('token', 'plain/q/now/2', 'now') $$,
    'a job that is due has a token in the lane of its queue, task and priority');
select bag_eq(
    $$ select * from pg_temp.hint('{past}') $$,
    $$ select * from pg_temp.hint_row('token', 'plain/q/past/2', 'past') $$,
    'a job whose time is past is due');
select bag_eq(
    $$ select * from pg_temp.hint('{future}') $$,
    $$ select * from pg_temp.hint_row('agenda', null, 'future') $$,
    'a job of the future is in the agenda and nowhere else');
select bag_eq(
    'select a.at from procrastinate_agenda a',
    $$ values (now() + interval '1 hour') $$,
    'the agenda has the job''s own time');
select bag_eq(
    $$ select * from pg_temp.hint('{locked}') $$,
    $$ select * from pg_temp.hint_row('lock queue', null, 'locked', false, 3) union all
       select * from pg_temp.hint_row('token', 'locked/q/locked/3', 'lock of locked') $$,
    'a due job with a lock waits in the lock queue, and its lock has a token');
select bag_eq(
    $$ select * from pg_temp.hint('{locked,locked too}') $$,
    $$ select * from pg_temp.hint_row('lock queue', null, 'locked', false, 3) union all
       select * from pg_temp.hint_row('lock queue', null, 'locked too', false, 4) union all
       select * from pg_temp.hint_row('token', 'locked/q/locked too/4', 'lock of locked too') union all
       select * from pg_temp.hint_row('token', 'locked/q/locked/3', 'lock of locked') $$,
    'of two jobs with a lock each waits, and each lane has a token of the lock');
select bag_eq(
    $$ select * from pg_temp.hint('{locked fut}') $$,
    $$ select * from pg_temp.hint_row('agenda', null, 'locked fut') $$,
    'a job of the future does not wait for its lock');
select bag_eq(
    $$ select * from pg_temp.hint('{empty lock}') $$,
    $$ select * from pg_temp.hint_row('lock queue', null, 'empty lock', false, 3) union all
       select * from pg_temp.hint_row('token', 'locked/q/empty lock/3', 'lock of empty lock') $$,
    'the empty lock is a lock');
select bag_eq(
    $$ select * from pg_temp.hint('{doing,succeeded}') $$,
    $$ select * from pg_temp.hint_row('agenda', null, 'nobody') where false $$,
    'a job that is not waiting gets no hints');
select bag_eq(
    $$ select * from pg_temp.hint('{}') $$,
    $$ select * from pg_temp.hint_row('agenda', null, 'nobody') where false $$,
    'no jobs get no hints');
select bag_eq(
    $$ select * from pg_temp.hint('{now,past,future,locked,doing}') $$,
    $$ select * from pg_temp.hint_row('agenda', null, 'future') union all
       select * from pg_temp.hint_row('lock queue', null, 'locked', false, 3) union all
       select * from pg_temp.hint_row('token', 'locked/q/locked/3', 'lock of locked') union all
       select * from pg_temp.hint_row('token', 'plain/q/now/2', 'now') union all
       select * from pg_temp.hint_row('token', 'plain/q/past/2', 'past') $$,
    'of many jobs each gets its own hints');
select lives_ok($$ select procrastinate_hint_jobs(null) $$, 'no array of jobs is as good as an empty one');

-- given back

select bag_eq(
    $$ select * from pg_temp.hint('{now,past}', true) $$,
    $$ select * from pg_temp.hint_row('token', 'returned/q/now/2', 'now') union all
       select * from pg_temp.hint_row('token', 'returned/q/past/2', 'past') $$,
    'a job that was given back has its token in a lane that is read before the others');
select bag_eq(
    $$ select * from pg_temp.hint('{locked}', true) $$,
    $$ select * from pg_temp.hint_row('lock queue', null, 'locked', false, 3) union all
       select * from pg_temp.hint_row('token', 'handover', 'lock of locked') $$,
    'the lock of a job that was given back is handed over');
select bag_eq(
    $$ select * from pg_temp.hint('{future}', true) $$,
    $$ select * from pg_temp.hint_row('agenda', null, 'future') $$,
    'a job of the future that was given back is in the agenda');

-- what is there already

select bag_eq($$ select count(*) from pg_temp.hint('{locked,future}') $$, $$ values (3::bigint) $$, 'hints are there');
select lives_ok($$ select procrastinate_hint_jobs(array(select id from made where name in ('locked', 'future'))) $$, 'the same hints are written again');
select bag_eq(
    'select place, name, count(*) from hint group by 1, 2 order by 1, 2',
    $$ values ('agenda', 'future', 1::bigint), ('lock queue', 'locked', 1), ('token', 'lock of locked', 2) $$,
    'a second token does no harm, a second row in the agenda and in the lock queue is not written');

update procrastinate_jobs j set scheduled_at = now() + interval '2 hours' from made m where m.name = 'future' and j.id = m.id;
select lives_ok($$ select procrastinate_hint_jobs(array(select id from made where name = 'future')) $$, 'a job of the future is moved');
select bag_eq(
    'select a.at from procrastinate_agenda a order by 1',
    $$ values (now() + interval '1 hour'), (now() + interval '2 hours') $$,
    'a job that was moved is in the agenda at its new time, whatever was there before');

insert into procrastinate_agenda (at, id) select now() + interval '2 hours', id from made where name = 'locked fut';
update procrastinate_jobs j set scheduled_at = now() + interval '2 hours' from made m where m.name = 'now' and j.id = m.id;
select lives_ok($$ select procrastinate_hint_jobs(array(select id from made where name = 'now')) $$, 'another job of the future is hinted at');
select is((select count(*) from procrastinate_agenda join made using (id) where name = 'now'), 1::bigint, 'another job''s row in the agenda at the same time does not count');

delete from procrastinate_lock_queue;
insert into procrastinate_lock_queue (key, held, priority, job_id)
select m.key, held, p.priority, m.id from made m, (values (true, 3), (false, 9)) p(held, priority) where m.name = 'locked';
select lives_ok($$ select procrastinate_hint_jobs(array(select id from made where name = 'locked')) $$, 'a job with a lock is hinted at');
select bag_eq(
    $$ select q.held, q.priority from procrastinate_lock_queue q join made m on m.id = q.job_id order by 1, 2 $$,
    $$ values (false, 3), (false, 9), (true, 3) $$,
    'rows of the lock queue that are held, or of another priority, do not count as its place');

-- one job and many

create function pg_temp.forget()
returns void
language sql
as $function$
    delete from procrastinate_jobs;
    delete from procrastinate_tokens;
    delete from procrastinate_lock_queue;
    delete from procrastinate_agenda;
    delete from pg_temp.made;
$function$;

select pg_temp.forget();
select procrastinate_defer_many(
    '[{"task": "now", "queue": "q"}, {"task": "locked", "queue": "q", "lock": "x", "priority": -3}, {"task": "future", "schedule_in": "1 hour"},
      {"task": "locked fut", "lock": "x", "schedule_in": "1 hour"}]') \g /dev/null
insert into made select j.task_name, j.id, j.lock_key from procrastinate_jobs j;
create temp table many as select * from hint;
select bag_eq(
    'select place, lane, name from many order by 1, 2, 3',
    $$ values ('agenda', null, 'future'), ('agenda', null, 'locked fut'), ('lock queue', null, 'locked'),
              ('token', 'locked/q/locked/-3', 'lock of locked'), ('token', 'plain/q/now/0', 'now') $$,
    'jobs deferred together get their hints');

select pg_temp.forget();
select procrastinate_defer('now', queue => 'q'), procrastinate_defer('locked', queue => 'q', lock => 'x', priority => -3),
       procrastinate_defer('future', schedule_in => '1 hour'), procrastinate_defer('locked fut', lock => 'x', schedule_in => '1 hour') \g /dev/null
insert into made select j.task_name, j.id, j.lock_key from procrastinate_jobs j;
select bag_eq(
    'select * from hint order by 1, 2, 3',
    'select * from many order by 1, 2, 3',
    'jobs deferred one by one get the same hints');

select * from finish();
rollback;
