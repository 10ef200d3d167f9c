package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// line is a connection that carries notifications until it is told to break.
type line struct {
	heard   []string
	notes   chan string
	news    chan *pgconn.Notification // of the test for a pooler
	broken  chan struct{}
	backend uint32 // the process behind a pooler; zero is what a direct connection was told
	pings   int
	closed  bool
}

func newLine() *line {
	return &line{notes: make(chan string), news: make(chan *pgconn.Notification, 10), broken: make(chan struct{})}
}

func (l *line) QueryRow(context.Context, string, ...any) pgx.Row { return l }

func (l *line) Scan(dest ...any) error {
	*dest[0].(*uint32) = l.backend
	return nil
}

func (l *line) PgConn() *pgconn.PgConn { return &pgconn.PgConn{} }

func (l *line) Exec(_ context.Context, sql string, _ ...any) (pgconn.CommandTag, error) {
	l.heard = append(l.heard, sql)
	return pgconn.CommandTag{}, nil
}

func (l *line) WaitForNotification(ctx context.Context) (*pgconn.Notification, error) {
	select {
	case payload := <-l.notes:
		return &pgconn.Notification{Payload: payload}, nil
	case notification := <-l.news:
		return notification, nil
	case <-l.broken:
		return nil, errConnection
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *line) Ping(context.Context) error  { l.pings++; return nil }
func (l *line) Close(context.Context) error { l.closed = true; return nil }

func TestListenerConnectsAgain(t *testing.T) {
	db := newFake()
	try(t, db, Config{PollInterval: time.Hour, Queues: []string{`a"b`}}, done, func(tr *trial) {
		tr.ear.hears.Store(false)
		ctx, cancel := context.WithCancel(context.Background()) // not the test's: it was made outside of the bubble
		var lines []*line
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			tr.listens(ctx, func(context.Context) (listener, error) {
				if len(lines) == 1 && tr.since() < time.Minute {
					return nil, errors.New("away")
				}
				lines = append(lines, newLine())
				return lines[len(lines)-1], nil
			})
		}()
		synctest.Wait()
		if want := []string{`listen "procrastinate_queue_v1#a""b"`, `listen "procrastinate_clock_v1"`}; !slices.Equal(lines[0].heard, want) {
			t.Errorf("sent %q, want %q", lines[0].heard, want)
		}
		db.add(job(1))
		lines[0].notes <- `{"type": "job_inserted", "job_id": 1}`
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish"})

		<-time.After(3*quietFor/2 - tr.since())
		synctest.Wait()
		if lines[0].pings != 1 {
			t.Errorf("%d pings on a quiet connection, want 1", lines[0].pings)
		}
		if !tr.ear.hears.Load() {
			t.Error("it does not know that it hears")
		}
		close(lines[0].broken)
		synctest.Wait()
		if tr.ear.hears.Load() {
			t.Error("it believes that it hears")
		}
		db.add(job(2)) // its notification is lost
		<-time.After(time.Minute)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{2: "finish"})
		if len(lines) != 2 || !lines[0].closed {
			t.Errorf("%d connections, the first closed: %v", len(lines), lines[0].closed)
		}
		cancel()
		<-ended
		if !lines[1].closed {
			t.Error("the connection was left open")
		}
	})
}

// Both poolers make up a process id. One gives each connection a server connection of its own for as long as it lasts;
// the other lends one for each transaction, so that what a listen brings is for whoever has it then.
func TestListenerThroughAPooler(t *testing.T) {
	for _, carries := range []bool{true, false} {
		try(t, newFake(), Config{PollInterval: time.Hour}, done, func(tr *trial) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			listening, notifying := newLine(), newLine()
			listening.backend = 7
			lines := []*line{listening, notifying}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				tr.listens(ctx, func(context.Context) (listener, error) {
					next := lines[0]
					lines = lines[1:]
					if next == notifying && carries {
						channel := strings.TrimPrefix(listening.heard[0], "listen ")
						listening.news <- &pgconn.Notification{Channel: "another"}
						listening.news <- &pgconn.Notification{Channel: strings.Trim(channel, `"`)}
					}
					return next, nil
				})
			}()
			<-time.After(time.Minute)
			synctest.Wait()
			test := strings.TrimPrefix(listening.heard[0], "listen ")
			if want := []string{"notify " + test}; !strings.HasPrefix(test, `"procrastinate_test_`) || !slices.Equal(notifying.heard, want) || !notifying.closed {
				t.Errorf("sent %q, want %q on a connection that is closed then", notifying.heard, want)
			}
			want := []string{"listen " + test}
			if carries {
				want = append(want, "unlisten *", `listen "procrastinate_any_queue_v1"`, `listen "procrastinate_clock_v1"`)
			} else {
				<-ended
			}
			if !slices.Equal(listening.heard, want) || listening.closed == carries {
				t.Errorf("sent %q, closed: %v; want %q", listening.heard, listening.closed, want)
			}
			if got := countLines(tr.log, "listen does not work here, polling"); (got == 1) == carries {
				t.Errorf("%d warnings where notifications come: %v", got, carries)
			}
			cancel()
			<-ended
		})
	}
}
