package worker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// listener is the part of *pgx.Conn that listening needs.
type listener interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	WaitForNotification(ctx context.Context) (*pgconn.Notification, error)
	Ping(ctx context.Context) error
	Close(ctx context.Context) error
}

const (
	anyQueueChannel = "procrastinate_any_queue_v1"
	// A connection that the network forgot looks like a quiet one, so a quiet one is asked now and then.
	quietFor = 30 * time.Second
)

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

// listens waits for notifications on a connection of its own, and connects again when it breaks.
func (s *shift) listens(ctx context.Context, connect func(context.Context) (listener, error)) {
	for tries := 0; ; {
		err := s.listenOnce(ctx, connect, func() { tries = 0 })
		if ctx.Err() != nil {
			return
		}
		tries++
		wait := backoff(tries)
		s.log.Warn("listen failed", "err", err, "retry_in", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (s *shift) listenOnce(ctx context.Context, connect func(context.Context) (listener, error), up func()) error {
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closeCtx) // nothing is lost with it
	}()
	for _, channel := range channels(s.config.Queues) {
		if _, err := conn.Exec(ctx, "listen "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return err
		}
	}
	up()
	s.notified("") // something may have happened while nobody listened
	for {
		waitCtx, cancel := context.WithTimeout(ctx, quietFor)
		notification, err := conn.WaitForNotification(waitCtx)
		cancel()
		switch {
		case err == nil:
			s.notified(notification.Payload)
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
		s.post(func() { s.hungry, s.drained = true, false })
	}
}
