-- Not under READ COMMITTED: a lane may look open and be parked since, so whatever is due is in the agenda too.
begin isolation level repeatable read;
select plan(6);

create temp table made (name text primary key, id bigint);

create temp view hint as
select m.name, 'agenda' as place, a.at > now() + interval '1 minute' as later
from made m join procrastinate_agenda a using (id)
union all
select m.name, 'lock queue', null
from made m join procrastinate_lock_queue q on q.job_id = m.id
union all
select m.name, 'token', null
from made m join procrastinate_jobs j using (id) join procrastinate_tokens t on t.id = coalesce(j.lock_key, j.id)
order by 1, 2, 3;

insert into made values
    ('now',    procrastinate_defer('a')),
    ('past',   procrastinate_defer('a', schedule_at => now() - interval '1 hour')),
    ('locked', procrastinate_defer('a', lock => 'x')),
    ('future', procrastinate_defer('a', schedule_in => '1 hour'));
select results_eq(
    'table hint',
    $$ values ('future', 'agenda', true),
              ('locked', 'agenda', false), ('locked', 'lock queue', null), ('locked', 'token', null),
              ('now', 'agenda', false), ('now', 'token', null),
              ('past', 'agenda', false), ('past', 'token', null) $$,
    'a job that is deferred is in the agenda beside its other hints');
select is_empty(
    $$ select * from procrastinate_agenda a where a.at < now() $$,
    'the agenda is given a time that no tick has passed');
select is_empty('select * from procrastinate_check()', 'all is well');

truncate made;
insert into made
select t.name, d.id
from procrastinate_defer_many('[{"task": "b"}, {"task": "b", "lock": "y"}, {"task": "b", "schedule_in": "1 hour"}]') with ordinality d(id, n)
join (values (1, 'now'), (2, 'locked'), (3, 'future')) t(n, name) using (n);
select results_eq(
    'table hint',
    $$ values ('future', 'agenda', true),
              ('locked', 'agenda', false), ('locked', 'lock queue', null), ('locked', 'token', null),
              ('now', 'agenda', false), ('now', 'token', null) $$,
    'so are jobs that are deferred together');

select throws_ok('select procrastinate_tick()', 'PJ009', null, 'a tick does not run on an old snapshot');
select is_empty('select * from procrastinate_check()', 'all is well after that');

select * from finish();
rollback;
