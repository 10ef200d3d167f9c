select procrastinate_register_worker('mailer', queues => '{mail}', tasks => '{send_email}', info => '{"host": "a"}') as worker_id \gset
select id, worker_name, queues, tasks, stalled_after, info from procrastinate_workers where id = :worker_id;
