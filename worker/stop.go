package worker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// beginStop stops fetching and gives back what was not started.
func (s *shift) beginStop() {
	if s.stopping {
		return
	}
	s.stopping, s.stopAt = true, s.now
	s.log.Info("worker stopping", "running", s.active)
	s.returnReady(func(*held) bool { return true })
}

// kill cancels all handlers for the shutdown.
func (s *shift) kill() {
	if s.killed {
		return
	}
	s.killed, s.killAt = true, s.now
	s.cancelRunning(ErrShutdown, func(*held) bool { return true })
}

func (s *shift) cancelRunning(cause error, match func(*held) bool) {
	s.withdraw()
	for _, h := range s.held {
		if h.running && match(h) {
			s.cancel(h, cause)
		}
	}
}

// checkStop cancels the handlers at the end of the graceful timeout, and notes when only deliveries remain.
func (s *shift) checkStop() {
	if !s.stopping {
		return
	}
	if !s.killed && s.active > 0 && !s.now.Before(s.stopAt.Add(s.config.GracefulTimeout)) {
		s.kill()
	}
	if s.settleAt.IsZero() && (s.active == 0 || s.ignored()) {
		s.settleAt = s.now
	}
}

// ignored: the handlers that still run ignored their cancellation.
func (s *shift) ignored() bool {
	return s.killed && !s.now.Before(s.killAt.Add(s.config.StuckAfter))
}

// checkStuck logs handlers that ignore their cancellation. They keep their slot: the job is still running.
func (s *shift) checkStuck() {
	var stuck []*held
	s.cancelled = slices.DeleteFunc(s.cancelled, func(h *held) bool {
		if h.running && !s.now.Before(h.cancelled.Add(s.config.StuckAfter)) {
			stuck = append(stuck, h)
			return true
		}
		return !h.running
	})
	if len(stuck) == 0 {
		return
	}
	ids := make([]int64, len(stuck))
	for i, h := range stuck {
		ids[i] = h.goroutine.Load()
	}
	stacks := stacksOf(ids)
	for i, h := range stuck {
		s.log.Error("handler stuck", append(h.job.attrs(), "stack", stacks[ids[i]])...)
	}
}

// silentAt is when the worker is out of touch, unless a beat succeeds.
func (s *shift) silentAt() time.Time {
	return s.beatAt.Add(trusted(s.config.StalledAfter))
}

// checkSilence cancels the handlers of locked jobs when the last successful beat is so old that the database
// may soon give the lock to another worker. Nothing is started until the next successful beat.
func (s *shift) checkSilence() {
	if s.silent || s.now.Before(s.silentAt()) {
		return
	}
	s.silent = true
	s.log.Error("worker out of touch", "last_beat", s.beatAt)
	s.cancelRunning(ErrOutOfTouch, func(h *held) bool { return h.job.Lock != nil })
}

// checkOneShot stops the worker once nothing is held and a look just then found nothing.
func (s *shift) checkOneShot() {
	if !s.config.OneShot || s.stopping || len(s.held) > 0 || s.hot.inFlight > 0 {
		return
	}
	if s.drained {
		s.beginStop()
	} else {
		s.hungry = true
	}
}

// loseRegistration: the database removed the worker. All that it held is lost, and it must not go on with it.
func (s *shift) loseRegistration() {
	if s.lost {
		return
	}
	s.lost, s.killAt = true, s.now
	s.log.Warn("registration lost", "running", s.active)
	s.cancelRunning(ErrLostRegistration, func(*held) bool { return true })
}

// over says whether the shift has ended, and how.
func (s *shift) over() (bool, error) {
	switch {
	case s.lost && s.active == 0:
		s.reportUndelivered()
		return true, ErrNotRegistered
	case s.lost && !s.now.Before(s.killAt.Add(s.config.StuckAfter)):
		s.reportUndelivered()
		return true, s.stuck()
	case s.lost || !s.stopping:
		return false, nil
	case len(s.held) == 0 && s.hot.inFlight == 0:
		return true, s.gaveUp
	case len(s.held) == s.active && s.ignored() && s.hot.inFlight == 0:
		return true, s.stuck()
	case !s.settleAt.IsZero() && !s.now.Before(s.settleAt.Add(s.config.deliverFor())):
		s.reportUndelivered()
		return true, errors.Join(s.unsaid(), s.stuck())
	default:
		return false, nil
	}
}

// deliverFor is how long a stopping worker tries to say how its jobs ended, and goodbye, also if its handlers get less
// time.
func (c Config) deliverFor() time.Duration {
	return max(c.GracefulTimeout, 5*time.Second)
}

// stuck names the jobs whose handlers still run, if there are any.
func (s *shift) stuck() error {
	return named(ErrStuck, s.names(func(h *held) bool { return h.running }))
}

// unsaid names the jobs whose end the database has not accepted, if there are any.
func (s *shift) unsaid() error {
	return named(ErrUndelivered, s.names(func(h *held) bool { return !h.running }))
}

func named(err error, names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", err, strings.Join(names, ", "))
}

func (s *shift) names(match func(*held) bool) []string {
	var names []string
	for _, h := range s.held {
		if match(h) {
			names = append(names, fmt.Sprintf("job %d (%s)", h.job.ID, h.job.Task))
		}
	}
	slices.Sort(names)
	return names
}
