-- Pausing queues and letting them go on.
begin;
select plan(18);

create function pg_temp.job(name text) returns bigint language sql as
    $$ select j.id from procrastinate_jobs j where j.args ->> 'name' = job.name $$;
create function pg_temp.fetch(worker bigint, max_jobs integer) returns setof text language sql as
    $$ select f.args ->> 'name' from procrastinate_fetch_jobs(worker, max_jobs) f $$;

select procrastinate_register_worker('w') as worker \gset

select throws_ok('select procrastinate_pause_queue(null)', 'PJ001', 'invalid queue: NULL', 'a queue is paused by its name');
select throws_ok($$ select procrastinate_pause_queue('') $$, 'PJ001', 'invalid queue: empty', 'a queue''s name is not empty');
select throws_ok($$ select procrastinate_pause_queue(repeat('q', 129)) $$, 'PJ001', 'invalid queue: 129 characters', 'a queue''s name has a bound');
select throws_ok('select procrastinate_resume_queue(null)', 'PJ001', 'invalid queue: NULL', 'a queue goes on by its name');
select throws_ok($$ select procrastinate_resume_queue('') $$, 'PJ001', 'invalid queue: empty', 'no queue without a name goes on');
select is_empty('select * from procrastinate_queues', 'what was refused pauses nothing');

select procrastinate_defer('send', format('{"name": "%s"}', n)::jsonb, queue => q)
from unnest('{a,b,c}'::text[], '{mail,mail,web}'::text[]) r(n, q);
select results_eq(format('select pg_temp.fetch(%s, 1)', :worker), $$ values ('a') $$, 'a queue that nobody paused is served');
select procrastinate_pause_queue('mail');
select results_eq(
    'select queue_name::text, paused_at between now() and clock_timestamp() from procrastinate_queues', $$ values ('mail', true) $$,
    'a paused queue is stored, with the time');
create temp table paused as select * from procrastinate_queues;
select procrastinate_pause_queue('mail');
select results_eq('table procrastinate_queues', 'table paused', 'a queue that is paused twice is paused since the first time');
select lives_ok($$ select procrastinate_pause_queue('nobody knows it') $$, 'any queue may be paused');
select lives_ok($$ select procrastinate_pause_queue(repeat('q', 128)) $$, 'also one with a long name');
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('c') $$, 'no job of a paused queue starts, those of others do');
select procrastinate_defer('send', '{"name": "d"}', queue => 'mail');
select is_empty(
    format('select * from procrastinate_finish_jobs(%s, array[pg_temp.job(%L)])', :worker, 'a'),
    'a running job of a paused queue ends, and jobs may be deferred to it');
select is_empty('select * from procrastinate_check()', 'all is well with a paused queue');

select procrastinate_resume_queue('mail');
select is_empty($$ select * from procrastinate_queues where queue_name = 'mail' $$, 'a queue that goes on is forgotten');
select is((select count(*) from procrastinate_queues), 2::bigint, 'the others stay paused');
select lives_ok($$ select procrastinate_resume_queue('mail') $$, 'a queue that is not paused may go on');
select results_eq(format('select pg_temp.fetch(%s, 10)', :worker), $$ values ('b'), ('d') $$, 'what waited in it starts in its order');

select * from finish();
rollback;
