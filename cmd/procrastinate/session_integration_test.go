//go:build integration

package main

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

// session is an installed schema, a connection to it, and the command that uses it.
type session struct {
	*testing.T
	conn    *pgx.Conn
	environ []string
}

func newSession(t *testing.T) *session {
	t.Helper()
	schema := testdb.Installed(t)
	return &session{T: t, conn: testdb.Connect(t, schema), environ: append(os.Environ(), "PROCRASTINATE_SCHEMA="+schema)}
}

func (s *session) exec(sql string, args ...any) {
	s.Helper()
	if _, err := s.conn.Exec(s.Context(), sql, args...); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
}

// ask returns the rows of a query of one column, separated by blanks.
func (s *session) ask(sql string, args ...any) string {
	s.Helper()
	rows, err := s.conn.Query(s.Context(), sql, args...)
	if err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(texts, " ")
}

var anySeconds = regexp.MustCompile(`\b\d+s\b`)

// steady is a text in which the test's own pace does not show: seconds are 0s, and an hour from then is 60m.
func steady(text string) string {
	return strings.ReplaceAll(anySeconds.ReplaceAllString(text, "0s"), "59m", "60m")
}

// waitFor returns when the condition holds.
func (s *session) waitFor(condition string, args ...any) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for holds := false; !holds; {
		if err := s.conn.QueryRow(ctx, condition, args...).Scan(&holds); err != nil {
			s.Fatalf("%s: %v", condition, err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.Fatalf("it never held: %s", condition)
		}
	}
}

// run runs a command given in words and wants its exit code.
func (s *session) run(code int, words string) (stdout, stderr string) {
	s.Helper()
	got, stdout, stderr := runCommand(s.T, s.environ, strings.Fields(words)...)
	if got != code {
		s.Fatalf("%s: got %d, %s%s; want %d", words, got, stdout, stderr, code)
	}
	return stdout, stderr
}

// runJSON decodes what a command prints with --json.
func (s *session) runJSON(code int, words string, target any) {
	s.Helper()
	out, _ := s.run(code, words+" --json")
	decode(s.T, out, target)
}

func decode(t *testing.T, text string, target any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), target); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func (s *session) wantJobs(want string) {
	s.Helper()
	if got := s.ask(`select j.id || ':' || j.status from procrastinate_jobs j order by j.id`); got != want {
		s.Errorf("got  %s\nwant %s", got, want)
	}
	if broken := s.ask(`select c.invariant from procrastinate_check() c`); broken != "" {
		s.Errorf("broken: %s", broken)
	}
}

// variety makes a job of each kind, and two workers.
func (s *session) variety() {
	s.Helper()
	s.exec(`
		select procrastinate_defer('mail', '{"to": "a"}', queue => 'out', lock => 'l');     -- 1 holds the lock
		select procrastinate_defer('mail', '{"to": "b"}', queue => 'out', lock => 'l');     -- 2 waits for it
		select procrastinate_defer('later', schedule_in => '1 h');                          -- 3 is not due
		select procrastinate_defer('bad') from generate_series(1, 2);                       -- 4, 5 fail
		select procrastinate_defer('good');                                                 -- 6 succeeds
		select procrastinate_defer('dull');                                                 -- 7 is cancelled
		select procrastinate_defer('dull', queue => 'paused');                              -- 8 waits
		select procrastinate_pause_queue('paused');
		select procrastinate_cancel_job(7);
		select procrastinate_register_worker('first', stalled_after => '1 h');
		select procrastinate_register_worker('second', queues => '{out}', tasks => '{mail}', stalled_after => '1 h');
		select procrastinate_fetch_jobs(1, 10);
		select procrastinate_fail_jobs(1, '{4,5}', array[E'boom\nline two', 'bang']);
		select procrastinate_finish_jobs(1, '{6}', '{"3"}');`)
}
