//go:build integration

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// crew is some workers in processes of their own, and a schema that nobody else works or ticks in.
type crew struct {
	t       *testing.T
	environ []string
	conn    *pgx.Conn
	folder  string // where handlers run
	members []*exec.Cmd
}

// newCrew has jobs whose handlers run until the file release is there: some without locks, and three behind each of five locks.
func newCrew(t *testing.T, plain int) *crew {
	t.Helper()
	c := &crew{t: t, folder: t.TempDir()}
	c.environ, c.conn = installed(t)
	if _, err := c.conn.Exec(t.Context(), `
		select count(procrastinate_defer('job', lock => case when n > $1 then 'lock ' || n % 5 end)) from generate_series(1, $1 + 15) n`, plain); err != nil {
		t.Fatal(err)
	}
	c.environ = append(c.environ, "PGAPPNAME="+query(t, c.conn, `select current_schema()::text`))
	c.writes("handlers", "job=exec:sh -c 'until test -e release; do sleep 0.02; done'\n")
	return c
}

func (c *crew) writes(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// release lets the handlers end.
func (c *crew) release() { c.writes("release", "") }

// works starts one more member.
func (c *crew) works(flags ...string) *exec.Cmd {
	c.t.Helper()
	log, err := os.CreateTemp(c.t.TempDir(), "log")
	if err != nil {
		c.t.Fatal(err)
	}
	args := append([]string{
		"procrastinate", "worker", "--concurrency=12", "--poll-interval=1h", "--handler-file=" + filepath.Join(c.folder, "handlers"),
	}, flags...)
	cmd := exec.Command(os.Args[0], "-test.run=^TestBeProcrastinate$")
	cmd.Dir, cmd.Stderr = c.folder, log
	cmd.Env = append(c.environ, "BE_PROCRASTINATE="+strings.Join(args, " "))
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		c.kills(cmd)
		if text, _ := os.ReadFile(log.Name()); c.t.Failed() {
			c.t.Logf("log of a worker:\n%s", text)
		}
		_ = log.Close()
	})
	c.members = append(c.members, cmd)
	return cmd
}

// kills as kill -9 does, and as the machine's end would.
func (c *crew) kills(members ...*exec.Cmd) {
	for _, cmd := range members {
		_ = cmd.Process.Kill()
	}
	for _, cmd := range members {
		_ = cmd.Wait()
	}
}

func (c *crew) awaits(want, sql string) {
	c.t.Helper()
	got := ""
	defer func() {
		if got != want {
			c.t.Logf("%s: got %q, want %q", sql, got, want)
		}
	}()
	await(c.t, func() bool { got = query(c.t, c.conn, sql); return got == want })
}

func (c *crew) wants(want, sql string) {
	c.t.Helper()
	if got := query(c.t, c.conn, sql); got != want {
		c.t.Errorf("%s: got %q, want %q", sql, got, want)
	}
}

const (
	running = `select count(*)::text from procrastinate_jobs j where j.status = 'doing'`
	members = `select string_agg(w.id::text, ',' order by w.id) from procrastinate_workers w`
	ends    = `select coalesce(string_agg(n, ', ' order by n), '') from (
	               select concat_ws(' ', j.status, 'attempts', j.attempts, 'rescues', j.rescues, 'jobs', count(*)) as n
	               from procrastinate_jobs j group by j.status, j.attempts, j.rescues) g`
	faults = `select coalesce(string_agg(c::text, '; '), '') from procrastinate_check() c`
	// Two runs of a lock at once, as the database sees runs: from the start to the end that it accepted, or to the rescue.
	overlaps = `
		with run as (
		    select j.id, j.lock, j.started_at, j.finished_at as ended_at from procrastinate_jobs j where j.lock is not null
		    union all
		    select j.id, j.lock, a.started_at, a.at from procrastinate_attempts a join procrastinate_jobs j on j.id = a.job_id where j.lock is not null
		)
		select count(*)::text
		from run a
		join run b on a.lock = b.lock and (a.started_at, a.id) < (b.started_at, b.id) and b.started_at < a.ended_at`
)

// anHour passes while nobody is there to tick or to beat.
const anHour = `
	update procrastinate_workers set last_heartbeat = last_heartbeat - interval '1 h', registered_at = registered_at - interval '1 h';
	update procrastinate_ticks set at = at - interval '1 h', agenda_at = agenda_at - interval '1 h',
	    tidied_at = tidied_at - interval '1 h', tidied_lease = tidied_lease - interval '1 h';
	update procrastinate_leases set at = at - interval '1 h';`

// Nobody is left to tick, or to tell anybody anything.
func TestAllWorkersDieAtOnceAndOneStarts(t *testing.T) {
	for name, meanwhile := range map[string]string{"at once": "", "an hour later": anHour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const stalledAfter = 3 * time.Second
			c := newCrew(t, 20)
			flags := []string{"--beat-interval=500ms", "--stalled-after=" + stalledAfter.String()}
			for range 3 {
				c.works(flags...)
			}
			c.awaits("25", running)
			dead := query(t, c.conn, members)
			c.kills(c.members...)
			c.wants("25", running)
			execute(t, c.conn, meanwhile)

			c.release()
			c.works(flags...)
			c.awaits("succeeded attempts 1 rescues 0 jobs 10, succeeded attempts 1 rescues 1 jobs 25", ends)
			c.wants("25 rescued 1 worker died "+dead, `
				select concat_ws(' ', count(*), a.kind, a.attempt, a.error, string_agg(distinct a.worker_id::text, ',' order by a.worker_id::text))
				from procrastinate_attempts a group by a.kind, a.attempt, a.error`)
			c.wants("0", overlaps)
			c.wants("", faults)
			c.wants("1", `select count(*)::text from procrastinate_workers`)
			took := query(t, c.conn, `select (extract(epoch from max(j.finished_at) - max(w.registered_at)) || ' s')::text from procrastinate_jobs j, procrastinate_workers w`)
			t.Logf("all was done %s after the new worker registered", took)
			if d, err := time.ParseDuration(strings.ReplaceAll(took, " ", "")); err != nil || d > 3*stalledAfter {
				t.Errorf("it took %s, want about %s", took, stalledAfter)
			}
		})
	}
}

func (c *crew) signals(signal os.Signal, members ...*exec.Cmd) {
	c.t.Helper()
	for _, cmd := range members {
		if err := cmd.Process.Signal(signal); err != nil {
			c.t.Fatal(err)
		}
	}
}

// A machine that was put to sleep, or a debugger: nobody could tick, but all are alive.
func TestAllWorkersAreStoppedForAnHour(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 10)
	for range 2 {
		c.works("--beat-interval=100ms")
	}
	c.awaits("15", running)
	alive := query(t, c.conn, members)
	c.signals(syscall.SIGSTOP, c.members...)
	c.awaits("0", `select count(*)::text from pg_stat_activity a where a.pid <> pg_backend_pid() and a.state <> 'idle'
	               and a.application_name = current_schema()`)
	execute(t, c.conn, anHour)
	execute(t, c.conn, `select procrastinate_tick()`) // as the first to wake up may do
	c.signals(syscall.SIGCONT, c.members...)
	c.awaits("2", `select count(*)::text from procrastinate_workers w where w.last_heartbeat > now() - interval '1 min'`)
	c.release()
	c.awaits("succeeded attempts 1 rescues 0 jobs 25", ends)
	c.wants(alive, members)
	c.wants("0", overlaps)
	c.wants("", faults)
}

// The others go on, and so does the clockwork: what the stopped one had is theirs. When it wakes up its word is not taken.
func TestOneWorkerIsStoppedForAnHour(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 10)
	stopped := c.works("--beat-interval=100ms")
	c.awaits("12", running)
	sleeper := query(t, c.conn, members)
	c.works("--beat-interval=100ms", "--concurrency=40")
	c.awaits("15", running)
	c.signals(syscall.SIGSTOP, stopped)
	execute(t, c.conn, `update procrastinate_workers w set last_heartbeat = w.last_heartbeat - interval '1 h' where w.id = `+sleeper)
	c.awaits("15", `select count(*)::text from procrastinate_jobs j where j.status = 'doing' and j.worker_id <> `+sleeper)
	c.signals(syscall.SIGCONT, stopped)
	c.awaits("2", `select count(*)::text from procrastinate_workers`)
	c.release()
	c.awaits("succeeded attempts 1 rescues 0 jobs 13, succeeded attempts 1 rescues 1 jobs 12", ends)
	c.wants("12 rescued "+sleeper, `select concat_ws(' ', count(*), a.kind, a.worker_id) from procrastinate_attempts a group by a.kind, a.worker_id`)
	c.wants("0", overlaps)
	c.wants("", faults)
}
