package worker

import (
	"context"
	"sync"
	"time"
)

// handlerContext is the context of one handler. It ends when cancelled and, once limited, after a timeout. The standard library's,
// which knows all about that, is made when somebody first looks: a handler that is done at once mostly does not, and would pay for it
// more than for all else.
type handlerContext struct {
	parent  context.Context // which does not end
	attempt *attempt

	mu     sync.Mutex
	looked context.Context // the standard library's, once made
	end    context.CancelCauseFunc
	why    error // of a cancellation before that
}

func (c *handlerContext) look() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looked == nil {
		c.looked, c.end = context.WithCancelCause(c.parent)
		if c.why != nil {
			c.end(c.why)
		}
	}
	return c.looked
}

func (c *handlerContext) Deadline() (time.Time, bool) { return c.look().Deadline() }

func (c *handlerContext) Done() <-chan struct{} { return c.look().Done() }

func (c *handlerContext) Err() error { return c.look().Err() }

// Value gives away the library's own context, too: so one that is derived from this starts no goroutine to watch it, and
// context.Cause finds its cause.
func (c *handlerContext) Value(key any) any {
	if key == (attemptKey{}) {
		return c.attempt
	}
	return c.look().Value(key)
}

// cancel ends the context, unless it has ended.
func (c *handlerContext) cancel(cause error) {
	c.mu.Lock()
	end := c.end
	if end == nil && c.why == nil {
		c.why = cause
	}
	c.mu.Unlock()
	if end != nil {
		end(cause)
	}
}

// cause is what context.Cause returns.
func (c *handlerContext) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looked == nil {
		return c.why
	}
	return context.Cause(c.looked)
}

// limit ends the context after a timeout, and calls then. What it returns has it call no more.
func (c *handlerContext) limit(timeout time.Duration, then func()) (unwatch func() bool) {
	c.look()
	c.mu.Lock()
	defer c.mu.Unlock()
	limited, stop := context.WithTimeoutCause(c.looked, timeout, ErrTimeout)
	end := c.end
	c.looked, c.end = limited, func(cause error) {
		end(cause)
		stop()
	}
	return context.AfterFunc(limited, then)
}
