create or replace function procrastinate_pause_queue(queue text)
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    perform procrastinate_check_name('queue', queue);
    insert into procrastinate_queues (queue_name) values (queue) on conflict do nothing;
end;
$function$;

comment on function procrastinate_pause_queue(text) is
    'Let no more jobs of a queue start; the running ones go on, deferring goes on. A waiting job with a lock keeps its place: the others of the lock wait behind it. '
    'Any queue name is accepted. Raises PJ001 (invalid argument).';

create or replace function procrastinate_resume_queue(queue text)
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    perform procrastinate_check_name('queue', queue);
    delete from procrastinate_queues q where q.queue_name = queue;
    perform procrastinate_notify(queue, 'job_inserted', 0);
end;
$function$;

comment on function procrastinate_resume_queue(text) is
    'Let a paused queue go on; does nothing for one that is not paused. Raises PJ001 (invalid argument).';
