-- The functions, in the order in which a job meets them. Installed whole, in the schema that is first in search_path, which
-- every function pins. No select, whose result psql would print.
do $block$
begin
    perform set_config('search_path', format('%I, pg_temp', current_schema()), true);
end;
$block$;

{{ template "drops.sql" . }}

-- what everything stands on
{{ template "errors.sql" . }}
{{ template "heads.sql" . }}
{{ template "wake.sql" . }}
{{ template "lane_for.sql" . }}
{{ template "hint_jobs.sql" . }}

-- tasks, and jobs coming in
{{ template "define_task.sql" . }}
{{ template "policy.sql" . }}
{{ template "new_jobs.sql" . }}
{{ template "defer.sql" . }}
{{ template "defer_row.sql" . }}

-- workers, and jobs being run
{{ template "register_worker.sql" . }}
{{ template "raise_floor.sql" . }}
{{ template "choose_plain.sql" . }}
{{ template "choose_locked.sql" . }}
{{ template "fetch_jobs.sql" . }}
{{ template "leave_locks.sql" . }}
{{ template "note_jobs.sql" . }}
{{ template "finish_jobs.sql" . }}

-- every other end, and the way back
{{ template "end_jobs.sql" . }}
{{ template "retry_delay.sql" . }}
{{ template "fail_jobs.sql" . }}
{{ template "return_jobs.sql" . }}
{{ template "cancel_job.sql" . }}
{{ template "change_job.sql" . }}
{{ template "retry_job.sql" . }}
{{ template "jobs_deleted.sql" . }}
{{ template "take_jobs.sql" . }}
{{ template "cancel_jobs.sql" . }}
{{ template "retry_jobs.sql" . }}
{{ template "delete_jobs.sql" . }}
{{ template "prune_jobs.sql" . }}
{{ template "pause_queue.sql" . }}

-- schedules
{{ template "cron_next.sql" . }}
{{ template "define_schedule.sql" . }}
{{ template "run_schedules.sql" . }}

-- the clockwork
{{ template "promote_agenda.sql" . }}
{{ template "rescue_jobs.sql" . }}
{{ template "tidy.sql" . }}
{{ template "retain_jobs.sql" . }}
{{ template "tick.sql" . }}

-- what people ask
{{ template "explain_job.sql" . }}
{{ template "stats.sql" . }}

-- upkeep
{{ template "check.sql" . }}
{{ template "repair.sql" . }}
{{ template "version.sql" . }}
{{ template "grants.sql" . }}

-- Whoever installs without our command has no digest, so the next procrastinate migrate installs once more.
update procrastinate_install i set version = procrastinate_version(), digest = null, installed_at = clock_timestamp();
