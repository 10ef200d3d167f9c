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
'Let no more jobs of a queue start, until procrastinate_resume_queue. Running ones go on, and so does deferring.
A waiting job with a lock keeps its place: those behind it, of whatever queue, wait too.
queue: any name of 1 to 128 characters.
Raises PJ001 (queue is NULL, or not of 1 to 128 characters).';

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
'Let a paused queue go on. Does nothing for a queue that is not paused.
queue: a name of 1 to 128 characters.
Raises PJ001 (queue is NULL, or not of 1 to 128 characters).';
