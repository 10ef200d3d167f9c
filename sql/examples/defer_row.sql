create temporary table orders (id bigint generated always as identity primary key, customer_id bigint, item text);
create trigger order_placed after insert on orders
    for each row execute function procrastinate_defer_row('bill', 'lock=customer-{customer_id}', 'max_attempts=5');
insert into orders (customer_id, item) values (7, 'tea');

-- thousands of rows at once: for each statement, with its new rows
create trigger order_changed after update on orders
    referencing old table as old_rows new table as new_rows
    for each statement execute function procrastinate_defer_row('notify', 'queue=mail', 'schedule_in=5 min');
update orders set item = 'coffee' where customer_id = 7;

select id, task_name, queue_name, lock, scheduled_at > now() as waits, args ->> 'operation' as operation, args -> 'new' as new, args -> 'old' as old
from procrastinate_jobs order by id;
