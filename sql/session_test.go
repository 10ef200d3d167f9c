//go:build integration

package sql_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

// session is one connection, its search_path a schema of the test's own. A test is one goroutine with several
// sessions; what may wait is started, and waited for through pg_stat_activity.
type session struct {
	t        reporter
	test     *testing.T // whose end closes the connection
	conn     *pgx.Conn
	watcher  *session
	schema   string
	patience time.Duration
	pid      uint32
	id       int64 // of its worker
}

// reporter is what a session tells its faults to: the test, or those who want some.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// install makes the schema, dropped at the end, and the first session in it.
func install(t *testing.T) *session {
	t.Helper()
	return connect(t, testdb.Installed(t))
}

func connect(t *testing.T, schema string) *session {
	t.Helper()
	return (&session{t: t, test: t, schema: schema, patience: 20 * time.Second}).session()
}

// session opens another one. No statement of it lasts longer than its patience.
func (s *session) session() *session {
	s.t.Helper()
	other := *s
	other.conn, other.id = testdb.Connect(s.test, s.schema), 0
	other.pid = other.conn.PgConn().PID()
	other.do(`set statement_timeout = ` + strconv.FormatInt(s.patience.Milliseconds(), 10))
	return &other
}

func (s *session) do(sql string, args ...any) {
	s.t.Helper()
	if err := s.try(sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func (s *session) try(sql string, args ...any) error {
	_, err := s.conn.Exec(context.Background(), sql, args...)
	return err
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

// fails wants a statement to be refused.
func (s *session) fails(code, sql string, args ...any) {
	s.t.Helper()
	if err := s.try(sql, args...); sqlstate(err) != code {
		s.t.Errorf("%s: got %q (%v), want %q", sql, sqlstate(err), err, code)
	}
}

// becomes asks until the answer is the wanted one.
func (s *session) becomes(want, sql string, args ...any) {
	s.t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(s.patience)
	for got := s.value(sql, args...); got != want; got = s.value(sql, args...) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: still %q, want %q", sql, got, want)
		}
		<-ticker.C
	}
}

// worker registers one for this session, once.
func (s *session) worker() int64 {
	s.t.Helper()
	return s.registers(`select procrastinate_register_worker('w')`)
}

func (s *session) registers(sql string) int64 {
	s.t.Helper()
	if s.id == 0 {
		id, err := strconv.ParseInt(s.value(sql), 10, 64)
		if err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
		s.id = id
	}
	return s.id
}

const (
	fetch    = `select string_agg(f.id::text, ',' order by f.id) from procrastinate_fetch_jobs($1, $2) f`
	exchange = `select string_agg(x.id::text, ',') from procrastinate_exchange_jobs($1, $2, null, 9) x`
	finish   = `select string_agg(concat_ws(' ', f.job_id, f.outcome), ',') from procrastinate_finish_jobs($1, $2) f`
	statuses = `select string_agg(concat_ws(' ', s.status, s.n), ',' order by s.status) from (select j.status, count(*) as n from procrastinate_jobs j group by 1) s`
)

// fetches wants the session's worker to get these jobs.
func (s *session) fetches(limit int, want string) {
	s.t.Helper()
	s.want(want, fetch, s.worker(), limit)
}

// finishes wants the session's worker to end these jobs with success.
func (s *session) finishes(ids string) {
	s.t.Helper()
	s.want(``, finish, s.id, ids)
}

// wantHealthy: whatever happened, jobs and hints agree in the end.
func (s *session) wantHealthy() {
	s.t.Helper()
	faults := strings.Split(s.value(`select string_agg(concat_ws(' ', c.invariant, c.job_id, c.detail), E'\n') from procrastinate_check() c`), "\n")
	if faults = slices.DeleteFunc(faults, func(fault string) bool { return fault == "" }); len(faults) > 0 {
		s.t.Errorf("check: %s", strings.Join(faults, "; "))
	}
}

// pending is a statement on its way.
type pending struct {
	s     *session
	sql   string
	value string
	err   error
	done  chan struct{}
}

// start asks for one value.
func (s *session) start(sql string, args ...any) *pending {
	return s.pend(sql, func() (string, error) { return s.ask(sql, args...) })
}

// startDo begins what has no value.
func (s *session) startDo(sql string, args ...any) *pending {
	return s.pend(sql, func() (string, error) { return "", s.try(sql, args...) })
}

func (s *session) pend(sql string, do func() (string, error)) *pending {
	p := &pending{s: s, sql: sql, done: make(chan struct{})}
	s.test.Cleanup(func() { <-p.done }) // before the connection is closed
	go func() {
		defer close(p.done)
		p.value, p.err = do()
	}()
	return p
}

// waits returns when the statement waits for a lock.
func (p *pending) waits() *pending {
	p.s.t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for p.s.watcher.value(`select a.wait_event_type from pg_stat_activity a where a.pid = $1`, p.s.pid) != "Lock" {
		select {
		case <-p.done:
			p.s.t.Fatalf("%s: did not wait: %q (%v)", p.sql, p.value, p.err)
		case <-ticker.C:
		}
	}
	return p
}

func (p *pending) want(want string) {
	p.s.t.Helper()
	if <-p.done; p.err != nil || p.value != want {
		p.s.t.Errorf("%s: got %q (%v), want %q", p.sql, p.value, p.err, want)
	}
}

func (p *pending) fails(code string) {
	p.s.t.Helper()
	if <-p.done; sqlstate(p.err) != code {
		p.s.t.Errorf("%s: got %q (%v), want %q", p.sql, sqlstate(p.err), p.err, code)
	}
}

func sqlstate(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
