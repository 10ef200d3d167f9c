begin;
select plan(8);

select throws_ok(
    $$ select procrastinate_no_such_job(42) $$,
    'PJ004', 'job 42 does not exist',
    'a job that does not exist is PJ004');

select throws_ok(
    $$ select procrastinate_no_such_job(null) $$,
    'PJ001', 'invalid job_id: NULL',
    'no job at all is an invalid argument');

select throws_ok(
    $$ select procrastinate_no_such_worker(42) $$,
    'PJ003', 'worker 42 is not registered',
    'a worker that is not registered is PJ003');

select throws_ok(
    $$ select procrastinate_no_such_worker(null) $$,
    'PJ001', 'invalid worker_id: NULL',
    'no worker at all is an invalid argument');

select throws_ok(
    $$ select procrastinate_not_held(7, 42) $$,
    'PJ002', 'job 42 is not held by worker 7',
    'a job that the worker does not hold is PJ002');

-- Each tells the caller what to do.
create function pg_temp.hint(p_sql text)
returns text
language plpgsql
as $function$
declare
    v_hint text;
begin
    execute p_sql;
    return null;
exception when others then
    get stacked diagnostics v_hint = pg_exception_hint;
    return v_hint;
end;
$function$;

select matches(pg_temp.hint(c.command), '\w', c.sentence)
from (values
    (1, 'select procrastinate_no_such_job(42)',    'a missing job comes with a hint'),
    (2, 'select procrastinate_no_such_worker(42)', 'a missing worker comes with a hint'),
    (3, 'select procrastinate_not_held(7, 42)',    'a job not held comes with a hint')
) c(n, command, sentence)
order by c.n;

select * from finish();
rollback;
