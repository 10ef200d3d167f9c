create temporary table orders (id bigint generated always as identity primary key, item text);
create function pg_temp.order_placed() returns trigger language plpgsql as $$
begin
    perform procrastinate_defer('bill', to_jsonb(new), lock => 'order-' || new.id);
    return new;
end $$;
create trigger order_placed after insert on orders for each row execute function pg_temp.order_placed();

-- each order gets its job
insert into orders (item) values ('tea'), ('coffee');

-- what is rolled back takes its job with it
begin;
insert into orders (item) values ('regret');
rollback;

select id, task_name, args, lock from procrastinate_jobs order by id;
