package worker

import (
	"context"
	"log/slog"
	"time"
)

// complainEvery is how often a call that fails again and again is told of.
const complainEvery = time.Minute

// complaint keeps one stream of calls from filling the log while the database is away. It tells of the first failure, once a
// minute of the others, and when all is well again.
type complaint struct {
	failures    int
	since, told time.Time
}

func (c *complaint) failed(log *slog.Logger, call string, err error) {
	now := time.Now()
	if c.failures++; c.failures == 1 {
		c.since = now
	} else if now.Sub(c.told) < complainEvery {
		return
	}
	c.told = now
	log.WarnContext(context.Background(), "database call failed", "call", call, "err", err, "failures", c.failures)
}

func (c *complaint) worked(log *slog.Logger, call string) {
	if c.failures > 0 {
		log.InfoContext(context.Background(), "database call works again", "call", call, "failures", c.failures, "after", time.Since(c.since))
		*c = complaint{}
	}
}
