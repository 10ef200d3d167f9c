-- The clockwork. Nothing here waits for a lock that an open transaction could keep: rows are taken skip locked, and what
-- somebody else has is left to him or to the next tick. So any number of ticks may run at once, also inside transactions.
-- (A tick in a transaction that stays open keeps what it took: the jobs it promoted, and workers it removed, whose beats wait.)
-- Not on an old snapshot: it could pass a lock on to a lane that is parked by now.
--
-- Of many workers one keeps the clock: it ticks each second and does all there is to do. The others do nothing but promote what is
-- due, a moment after it, and rest longer; they see its notes, and when those stop the next of them to come keeps the clock. Who does
-- not say who it is does all.
create or replace function procrastinate_tick(worker_id bigint default null)
returns interval
language plpgsql
volatile
security definer
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $function$
declare
    c_note  constant interval := interval '0.5 s';
    c_stale constant interval := interval '1.5 s';
    c_rare  constant interval := interval '1 s';        -- of deleting, in a tick that comes after a minute or more
    v_now     timestamptz := clock_timestamp();
    v_last    procrastinate_ticks;
    v_tick    procrastinate_ticks;
    v_lane    procrastinate_heads;
    v_keeps   boolean;
    v_due     timestamptz;
    v_more    boolean;
    v_again   interval;
    v_workers double precision;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'ticking needs READ COMMITTED, this transaction is %', upper(current_setting('transaction_isolation'))
            using errcode = 'PJ009', detail = 'What became due or free may lie after its snapshot.';
    end if;
    lock table procrastinate_jobs in row exclusive mode;        -- before any token or agenda row: see fetch
    select * into v_last from procrastinate_ticks t order by t.n desc limit 1;
    if v_last.keeper is not null and not v_last.at between v_now - c_stale and v_now then
        v_last.keeper := null;
    end if;
    v_keeps := coalesce(v_last.keeper = worker_id, true);
    v_tick := v_last;
    v_tick.keeper := worker_id;      -- also NULL: the note of a keeper that died must not be renewed

    if v_keeps then
        v_tick := procrastinate_tidy(v_tick);
    end if;
    v_tick := procrastinate_promote_agenda(v_tick);
    if v_keeps then
        perform procrastinate_remove_silent_workers(v_last.at);
        v_more := procrastinate_rescue_jobs();

        -- locks that were handed over when nobody fetched: with no queues of its own this starts nothing and passes them on
        for v_lane in select h.* from procrastinate_heads h where h.lane = 0 loop
            perform procrastinate_choose_locked('{}', '{}', v_lane, 1000, 1000, 1, true);
        end loop;

        select r.p_at, r.p_until, r.p_again into v_tick.pruned_at, v_tick.pruned_until, v_again
        from procrastinate_retain_jobs(v_tick.pruned_at, v_tick.pruned_until, least((v_now - v_last.at) / 50, c_rare)) r;

        v_tick.at := clock_timestamp();
        if v_tick.at > v_last.at + c_note or v_tick.at < v_last.at
            or v_tick.tidied_at <> v_last.tidied_at or v_tick.tidied_lease <> v_last.tidied_lease
            or v_tick.pruned_at <> v_last.pruned_at or v_tick.keeper is distinct from v_last.keeper
        then
            insert into procrastinate_ticks (
                at, agenda_at, agenda_xid, agenda_late, tidied_at, tidied_floor, tidied_lease, pruned_at, pruned_until, swept_at, keeper)
            values (
                v_tick.at, v_tick.agenda_at, v_tick.agenda_xid, v_tick.agenda_late, v_tick.tidied_at, v_tick.tidied_floor,
                v_tick.tidied_lease, v_tick.pruned_at, v_tick.pruned_until, v_tick.swept_at, v_tick.keeper);
            delete from procrastinate_ticks t
            where t.n in (select x.n from procrastinate_ticks x where x.n <= v_last.n and x.n > v_last.n - 100 for update skip locked);
        end if;
    end if;

    -- What another tick has this moment is its business: to come again at once would only keep it from its work. (agenda_at alone
    -- also stays where it is among more rows of one instant than are promoted at once.)
    if (v_tick.agenda_at, v_tick.agenda_xid, v_tick.agenda_late) = (v_last.agenda_at, v_last.agenda_xid, v_last.agenda_late) then
        v_tick.agenda_at := clock_timestamp();
    end if;
    select a.at into v_due from procrastinate_agenda a where a.at >= v_tick.agenda_at order by a.at limit 1;
    if v_keeps then
        return least(        -- of those that are not NULL
            case when v_more then interval '0' end,
            case when v_tick.tidied_at = v_last.tidied_at and v_tick.tidied_lease <> v_last.tidied_lease then interval '0.1 s' end,
            case when v_due is not null then greatest(v_due - clock_timestamp(), '0') end,
            v_again,
            '1 second');
    end if;
    -- five others come in a second, also of fifty, and not all of them when something is due
    select count(*)::double precision into v_workers from procrastinate_workers;
    return least(
        case when v_due is not null then greatest(v_due - clock_timestamp(), '0') + random() * v_workers * interval '1 ms' end,
        least(greatest(v_workers / 5, 1), 10) * (0.75 + random() / 4) * interval '1 s');
end;
$function$;

comment on function procrastinate_tick(bigint) is
'The clockwork: lets jobs run that became due, defers those of schedules, removes silent workers and takes back their jobs, passes
locks on, deletes jobs that were kept long enough, tidies.
Anyone may call it, at any rate, several at once; workers do after the span it returns. What it took is kept from the others until
its transaction ends.
worker_id: the worker''s id, from procrastinate_register_worker; of several that name themselves one does all that, and the others,
who are to listen on procrastinate_clock_v1, may rest longer. NULL: does all, and is to come again within a second.
Returns the span until something is due, from 0 to 1 second; to others than that one up to 10 seconds.
Raises PJ009 (the transaction is not READ COMMITTED).';
