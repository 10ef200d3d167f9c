package worker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// listener is the part of *pgx.Conn that listening needs.
type listener interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	PgConn() *pgconn.PgConn
	WaitForNotification(ctx context.Context) (*pgconn.Notification, error)
	Ping(ctx context.Context) error
	Close(ctx context.Context) error
}

const (
	anyQueueChannel = "procrastinate_any_queue_v1"
	clockChannel    = "procrastinate_clock_v1"
	// A connection that the network forgot looks like a quiet one, so a quiet one is asked now and then.
	quietFor = 30 * time.Second
	// A notification takes milliseconds; one that took this long does not come.
	hearFor = 3 * time.Second
)

// errDeaf: listening succeeds and notifications do not come.
var errDeaf = errors.New("notifications do not come through this connection, a transaction pooler's most likely")

// connector opens the connection to listen on: a direct one if there is a config for it, else one of the pool's.
func connector(pool *pgxpool.Pool, direct *pgx.ConnConfig) func(context.Context) (listener, error) {
	if direct != nil {
		return func(ctx context.Context) (listener, error) {
			conn, err := pgx.ConnectConfig(ctx, direct) // which copies it
			if err != nil {
				return nil, err // not a listener that holds a nil pointer
			}
			return conn, nil
		}
	}
	return func(ctx context.Context) (listener, error) {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		return conn.Hijack(), nil
	}
}

func channels(queues []string) []string {
	if len(queues) == 0 {
		return []string{anyQueueChannel}
	}
	names := make([]string, len(queues))
	for i, queue := range queues {
		names[i] = channelName(queue)
	}
	return names
}

// ear listens for a worker, on a connection of its own, and tells its clock and all its shifts what it hears.
type ear struct {
	config  Config
	connect func(context.Context) (listener, error)
	hint    func(time.Time)
	hears   atomic.Bool

	one    sync.Mutex
	shifts map[*shift]bool
}

// add has a shift told from now on, until the returned function is called.
func (e *ear) add(s *shift) (remove func()) {
	e.one.Lock()
	defer e.one.Unlock()
	e.shifts[s] = true
	return func() {
		e.one.Lock()
		defer e.one.Unlock()
		delete(e.shifts, s)
	}
}

func (e *ear) each(do func(*shift)) {
	e.one.Lock()
	defer e.one.Unlock()
	for s := range e.shifts {
		do(s)
	}
}

// tells is who ticks: a registration of this worker's. Of all workers that say who they are one does most of the work, and the others
// tick more seldom; so who is not told what is due meanwhile does not say.
func (e *ear) tells() (worker *int64) {
	if !e.hears.Load() {
		return nil
	}
	e.each(func(s *shift) {
		if worker == nil || s.worker < *worker {
			worker = &s.worker
		}
	})
	return worker
}

// lookIfDeaf has the shifts look for what a tick made runnable, as notifications do where they come. And soon again: what was due
// may be in the hand of another tick, whose worker looks, but perhaps not for jobs of our queues.
func (e *ear) lookIfDeaf() {
	if !e.hears.Load() {
		e.each(func(s *shift) {
			s.mailbox.post(func() { s.hungry, s.drained, s.pause = true, false, firstPause })
		})
	}
}

// tickIfDeaf has the clock look what is due: a job that was put off, perhaps for less than the time between two ticks.
func (e *ear) tickIfDeaf() {
	if !e.hears.Load() {
		e.hint(time.Now())
	}
}

// listens waits for notifications, and connects again when the connection breaks. Where none come it gives up: to go on would
// leave a listen on every connection of the pooler.
func (e *ear) listens(ctx context.Context) {
	log := e.config.Logger
	var trouble complaint
	for {
		err := e.listenOnce(ctx, func() { trouble.worked(log, "listen") })
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errDeaf):
			log.WarnContext(ctx, "listen does not work here, polling", "err", err, "poll_interval", e.config.PollInterval)
			return
		}
		trouble.failed(log, "listen", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff(trouble.failures)):
		}
	}
}

func (e *ear) listenOnce(ctx context.Context, up func()) error {
	conn, err := openListener(ctx, e.connect, append(channels(e.config.Queues), clockChannel))
	if err != nil {
		return err
	}
	defer closeListener(ctx, conn)
	e.hears.Store(true)
	defer e.hears.Store(false)
	up()
	// something may have happened while nobody listened
	e.each(func(s *shift) { s.notified("") })
	e.hint(time.Now())
	for {
		waitCtx, cancel := context.WithTimeout(ctx, quietFor)
		notification, err := conn.WaitForNotification(waitCtx)
		cancel()
		switch {
		case err == nil:
			e.heard(notification)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			if err := ping(ctx, conn); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func (e *ear) heard(notification *pgconn.Notification) {
	if notification.Channel != clockChannel {
		e.each(func(s *shift) { s.notified(notification.Payload) })
	} else if wait := hintedWait(notification.Payload); wait < usualWait {
		e.hint(time.Now().Add(wait))
	}
}

// hintedWait reads in how many milliseconds something is due. What it cannot read means now, as does less than zero: a tick too many
// costs little, and one that does not come delays a job. More than a second it need not know, for there is a tick each second.
func hintedWait(payload string) time.Duration {
	milliseconds, err := strconv.ParseInt(payload, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(min(max(milliseconds, 0), usualWait.Milliseconds())) * time.Millisecond
}

// openListener opens a connection that listens, in limited time: nobody answers at an address the network forgot.
func openListener(
	ctx context.Context, connect func(context.Context) (listener, error), channels []string,
) (listener, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	err = checkHearing(ctx, conn, connect)
	for _, channel := range channels {
		if err == nil {
			err = listen(ctx, conn, channel)
		}
	}
	if err != nil {
		closeListener(ctx, conn)
		return nil, err
	}
	return conn, nil
}

func listen(ctx context.Context, conn listener, channel string) error {
	_, err := conn.Exec(ctx, "listen "+pgx.Identifier{channel}.Sanitize())
	return err
}

func closeListener(ctx context.Context, conn listener) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is lost with it
}

// checkHearing returns errDeaf where notifications do not come. A pooler in transaction mode takes a listen, but runs
// it on a connection to the server that is somebody else's the next moment. A pooler makes up the process id that it
// tells; only there another connection sends a notification, to see whether it comes.
func checkHearing(ctx context.Context, conn listener, connect func(context.Context) (listener, error)) error {
	var backend uint32
	if err := conn.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&backend); err != nil {
		return fmt.Errorf("ask for process id: %w", err)
	}
	if backend == conn.PgConn().PID() {
		return nil
	}
	channel := "procrastinate_test_" + rand.Text()
	if err := listen(ctx, conn, channel); err != nil {
		return err
	}
	if err := notify(ctx, connect, channel); err != nil {
		return fmt.Errorf("test notifications: %w", err)
	}
	waitCtx, cancel := context.WithTimeout(ctx, hearFor)
	defer cancel()
	for {
		notification, err := conn.WaitForNotification(waitCtx)
		switch {
		case err == nil && notification.Channel == channel:
			_, err = conn.Exec(ctx, "unlisten *")
			return err
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return errDeaf
		case err != nil:
			return err
		}
	}
}

// notify notifies from a connection of its own, as whoever defers a job.
func notify(ctx context.Context, connect func(context.Context) (listener, error), channel string) error {
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer closeListener(ctx, conn)
	_, err = conn.Exec(ctx, "notify "+pgx.Identifier{channel}.Sanitize())
	return err
}

func ping(ctx context.Context, conn listener) error {
	ctx, cancel := context.WithTimeout(ctx, quietFor)
	defer cancel()
	return conn.Ping(ctx)
}

// notified acts on a hint: a beat brings the aborts, a look brings the jobs. What it cannot read means both.
func (s *shift) notified(payload string) {
	var message struct {
		Type string `json:"type"`
	}
	err := json.Unmarshal([]byte(payload), &message)
	if err != nil || message.Type != "job_inserted" {
		select {
		case s.beatNow <- struct{}{}:
		default:
		}
	}
	if err != nil || message.Type != "abort_job_requested" {
		s.mailbox.post(s.lookAgain)
	}
}
