-- wait + linear * n + exponential ^ (n + 1) seconds, n the attempts before this one. The power is taken by its logarithm:
-- neither a large n nor a large or tiny base can overflow or underflow, and a year bounds everything.
-- The formula is that of Python's Procrastinate (RetryStrategy).
create or replace function procrastinate_retry_delay(p_policy procrastinate_tasks, p_attempts integer)
returns interval
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_max    double precision := least(extract(epoch from p_policy.retry_max_wait)::double precision, 365 * 86400);
    v_delay  double precision := extract(epoch from p_policy.retry_wait) + extract(epoch from p_policy.retry_linear) * p_attempts::double precision;
    v_log    double precision;
begin
    if p_policy.retry_exponential > 0 then
        v_log := ln(p_policy.retry_exponential) * (p_attempts::double precision + 1);
        v_delay := v_delay + case
            when v_log > 20 then v_max          -- e^20 seconds are 15 years
            when v_log < -20 then 0
            else exp(v_log)
        end;
    end if;
    v_delay := least(v_delay, v_max) * (1 + p_policy.retry_jitter * (2 * random() - 1));
    return make_interval(secs => v_delay);
end;
$function$;

comment on function procrastinate_retry_delay(procrastinate_tasks, integer) is
    'How long a job waits after its attempt number p_attempts + 1 failed: between zero and a year, give or take the jitter.';
