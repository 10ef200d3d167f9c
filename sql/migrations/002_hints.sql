-- The hints: what may run now and what later. None of it is the truth; procrastinate_repair() rebuilds all of it.
-- docs/ARCHITECTURE.md has the picture and the invariants.

-- A lane is a queue of tokens. kind: plain and returned lanes hold ids of jobs, locked lanes and the one hand-over lane hold keys of locks.
-- state: open; closed (nobody new writes to it, fetch still reads it); parked (nobody reads it). A lane is never deleted.
create table procrastinate_lanes (
    lane        integer     generated always as identity (minvalue 0 start 0) primary key,
    queue_name  text,
    task_name   text,
    priority    integer,
    kind        text        not null,
    state       text        not null default 'open',
    opened_at   timestamptz not null default clock_timestamp(),
    settled_xid xid8,
    constraint procrastinate_lanes_kind     check (kind in ('plain', 'returned', 'locked', 'handover')),
    constraint procrastinate_lanes_state    check (state in ('open', 'closed', 'parked')),
    constraint procrastinate_lanes_named    check (num_nulls(queue_name, task_name, priority) = case when kind = 'handover' then 3 else 0 end),
    constraint procrastinate_lanes_handover check ((kind = 'handover') = (lane = 0) and (kind <> 'handover' or state = 'open'))
) with (fillfactor = 70);

-- Not unique on purpose: two transactions that open the same lane do not wait for each other, and two lanes do no harm.
create index procrastinate_lanes_name_idx on procrastinate_lanes (queue_name, task_name, priority, kind, lane);
create index procrastinate_lanes_read_idx on procrastinate_lanes (lane) where state <> 'parked';

insert into procrastinate_lanes (kind) values ('handover');

comment on table  procrastinate_lanes is 'Queues of tokens: one for each queue, task, priority and kind, and the one hand-over lane 0.';
comment on column procrastinate_lanes.settled_xid is 'Of a closed lane: when all transactions up to this one have ended, nobody can still write to it.';

create table procrastinate_tokens (
    lane integer not null,
    xid  xid8    not null default pg_current_xact_id(),
    id   bigint  not null
) with (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0.05);

create index procrastinate_tokens_idx on procrastinate_tokens (lane, xid, id);

comment on table  procrastinate_tokens is 'Hints: this job, or a job of this lock, may be startable.';
comment on column procrastinate_tokens.xid is 'The transaction that wrote it: with the snapshot it tells which tokens can still appear.';
comment on column procrastinate_tokens.id is 'Id of a job, or in locked lanes and the hand-over lane the key of a lock (which may be negative).';

-- Only ever inserted; the newest row of a lane counts, but every one stays true.
create table procrastinate_floors (
    lane integer     not null,
    n    bigint      generated always as identity,
    at   timestamptz not null default clock_timestamp(),
    xid  xid8        not null,
    id   bigint      not null,
    late xid8[]      not null,
    primary key (lane, n)
) with (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0.05);

comment on table  procrastinate_floors is 'No token of the lane below (xid, id) is alive or will ever appear, save those written by the transactions in late.';

create table procrastinate_agenda (
    at  timestamptz not null,
    id  bigint      not null,
    xid xid8        not null default pg_current_xact_id()
) with (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0.05);

create index procrastinate_agenda_at_idx on procrastinate_agenda (at, id);
create index procrastinate_agenda_xid_idx on procrastinate_agenda (xid, at);

comment on table  procrastinate_agenda is 'Hints for later: look at this job, or schedule, again then. Always a valid hint, whatever became of it.';
comment on column procrastinate_agenda.id is 'The job; a negative one is minus the id of a schedule.';

-- Only ever inserted; the newest row counts.
create table procrastinate_ticks (
    n             bigint      generated always as identity primary key,
    at            timestamptz not null,
    agenda_at     timestamptz not null,
    agenda_xid    xid8        not null,
    agenda_late   xid8[]      not null,
    tidied_at     timestamptz not null,
    tidied_floor  bigint      not null,
    tidied_lease  timestamptz not null,
    pruned_at     timestamptz not null default '-infinity',
    pruned_until  timestamptz not null default '-infinity',
    swept_at      timestamptz not null default '-infinity',
    keeper        bigint
) with (vacuum_truncate = off);

insert into procrastinate_ticks (at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease)
values (clock_timestamp(), '-infinity', '0', '{}', clock_timestamp(), 0, '-infinity');

comment on table  procrastinate_ticks is 'How far the clockwork has come.';
comment on column procrastinate_ticks.agenda_at is 'All agenda rows before this time were promoted, save those of transactions from agenda_xid on or in agenda_late.';
comment on column procrastinate_ticks.pruned_at is 'When jobs were last deleted by retention; up to which time''s it has come stands beside it.';
comment on column procrastinate_ticks.swept_at is 'When leases, and notes of retention, were last looked for from the beginning.';
comment on column procrastinate_ticks.keeper is 'The worker that ticks each second, while others rest; NULL: nobody in particular.';
comment on column procrastinate_ticks.tidied_at is 'When superseded floors and finished leases were last deleted, and lanes parked; up to which floor and lease stand beside it.';

-- Due jobs with a lock, in the order in which they run; those running (held) first.
create table procrastinate_lock_queue (
    key      bigint  not null,
    held     boolean not null,
    priority integer not null,
    job_id   bigint  not null
) with (fillfactor = 70, vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0.05);

create index procrastinate_lock_queue_idx on procrastinate_lock_queue (key, held desc, priority desc, job_id);

comment on table  procrastinate_lock_queue is 'Who holds a lock and who waits for it. Written and deleted only by who holds the job''s row.';

-- The constraint's name is part of the contract: clients of Python's Procrastinate look for it.
create table procrastinate_queueing_locks (
    queueing_lock text   constraint procrastinate_jobs_queueing_lock_idx_v1 primary key,
    job_id        bigint not null
) with (vacuum_truncate = off);

comment on table  procrastinate_queueing_locks is 'Which todo job has a queueing lock. Written and deleted only by who holds the job''s row.';

-- The target keeps a lease of a thousand jobs on its page as it is; to compress it costs more than a microsecond a job.
create table procrastinate_leases (
    worker_id bigint      not null,
    at        timestamptz not null default clock_timestamp(),
    job_ids   bigint[]    not null
) with (toast_tuple_target = 8160, vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0.05);

create index procrastinate_leases_worker_idx on procrastinate_leases (worker_id);
create index procrastinate_leases_at_idx on procrastinate_leases (at);

comment on table  procrastinate_leases is 'What each fetch handed out: where the jobs of a removed worker are found.';

-- Filled by a trigger whoever deletes a worker, emptied by tick when the jobs are back.
create table procrastinate_removed_workers (
    worker_id bigint primary key
);

comment on table  procrastinate_removed_workers is 'Workers that are gone and may still have jobs to give back.';

-- Written where leases are deleted, so that no finish has to.
create table procrastinate_retention (
    delete_at timestamptz not null,
    job_ids   bigint[]    not null
) with (toast_tuple_target = 8160, vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0.05);

create index procrastinate_retention_delete_at_idx on procrastinate_retention (delete_at);

comment on table  procrastinate_retention is 'When to delete which jobs that ended. A hint: whether a job may go is looked up then.';
