select procrastinate_define_schedule('report', '@daily', args => '{"to": "a@b.c"}') > now() as later;
select procrastinate_run_schedule('report') as job_id \gset
select status, args, metadata - 'scheduled_for' as metadata from procrastinate_jobs where id = :job_id;
