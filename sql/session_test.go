//go:build integration

package sql_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

// session is one connection, its search_path a schema of the test's own. A test is one goroutine with several
// sessions; what may wait is started, and waited for through pg_stat_activity.
type session struct {
	t      *testing.T
	conn   *pgx.Conn
	schema string
	pid    uint32
	id     int64 // of its worker
}

// install makes the schema, dropped at the end, and the first session in it.
func install(t *testing.T) *session {
	t.Helper()
	return connect(t, testdb.Installed(t))
}

func connect(t *testing.T, schema string) *session {
	t.Helper()
	conn := testdb.Connect(t, schema)
	return &session{t: t, conn: conn, schema: schema, pid: conn.PgConn().PID()}
}

// session opens another one.
func (s *session) session() *session {
	s.t.Helper()
	return connect(s.t, s.schema)
}

func (s *session) do(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// value is the one value of a query as text, NULL as an empty one.
func (s *session) value(sql string, args ...any) string {
	s.t.Helper()
	value, err := s.ask(sql, args...)
	if err != nil {
		s.t.Errorf("%s: %v", sql, err)
	}
	return value
}

func (s *session) ask(sql string, args ...any) (value string, err error) {
	err = s.conn.QueryRow(context.Background(), `select coalesce((`+sql+`)::text, '')`, args...).Scan(&value)
	return value, err
}

func (s *session) want(want, sql string, args ...any) {
	s.t.Helper()
	if got := s.value(sql, args...); got != want {
		s.t.Errorf("%s: got %q, want %q", sql, got, want)
	}
}

// worker registers one for this session, once.
func (s *session) worker() int64 {
	s.t.Helper()
	if s.id == 0 {
		id, err := strconv.ParseInt(s.value(`select procrastinate_register_worker('w')`), 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		s.id = id
	}
	return s.id
}

// waits returns when the session's statement waits for a lock.
func (s *session) waits() {
	s.t.Helper()
	watcher := connect(s.t, "")
	deadline := time.Now().Add(20 * time.Second)
	for watcher.value(`select a.wait_event_type from pg_stat_activity a where a.pid = $1`, s.pid) != "Lock" {
		if time.Now().After(deadline) {
			s.t.Fatal("the session waits for no lock")
		}
	}
}

// pending is a query for one text, on its way.
type pending struct {
	t     *testing.T
	sql   string
	value string
	err   error
	done  chan struct{}
}

func (s *session) start(sql string, args ...any) *pending {
	p := &pending{t: s.t, sql: sql, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = s.conn.QueryRow(context.Background(), sql, args...).Scan(&p.value)
	}()
	return p
}

func (p *pending) want(want string) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Fatalf("%s: still waiting", p.sql)
	}
	if p.err != nil || p.value != want {
		p.t.Errorf("%s: got %q (%v), want %q", p.sql, p.value, p.err, want)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
