package worker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// line is a connection that carries notifications until it is told to break.
type line struct {
	heard  []string
	notes  chan string
	broken chan struct{}
	pings  int
	closed bool
}

func (l *line) Exec(_ context.Context, sql string, _ ...any) (pgconn.CommandTag, error) {
	l.heard = append(l.heard, sql)
	return pgconn.CommandTag{}, nil
}

func (l *line) WaitForNotification(ctx context.Context) (*pgconn.Notification, error) {
	select {
	case payload := <-l.notes:
		return &pgconn.Notification{Payload: payload}, nil
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
		ctx, cancel := context.WithCancel(context.Background()) // not the test's: it was made outside of the bubble
		var lines []*line
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			tr.listens(ctx, func(context.Context) (listener, error) {
				if len(lines) == 1 && tr.since() < time.Minute {
					return nil, errors.New("away")
				}
				lines = append(lines, &line{notes: make(chan string), broken: make(chan struct{})})
				return lines[len(lines)-1], nil
			})
		}()
		synctest.Wait()
		if want := []string{`listen "procrastinate_queue_v1#a""b"`}; !slices.Equal(lines[0].heard, want) {
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
		close(lines[0].broken)
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
