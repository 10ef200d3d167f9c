package worker

import (
	"context"
	"log/slog"
)

func (s *shift) emit(event Event) {
	if s.config.OnEvent != nil {
		s.config.OnEvent(event)
	}
}

func (s *shift) emitEnd(h *held, how Outcome, status string) {
	if s.config.OnEvent != nil {
		s.config.OnEvent(h.ending.event(h.job, how, status))
	}
}

// report tells of a job whose end the database has accepted.
func (s *shift) report(h *held, status string) {
	switch h.ending.kind {
	case succeeded:
		s.reportFinished(h)
		return
	case failed, finished:
		s.log.Warn("job failed", s.attrs(h, "status", status, "err", h.ending.text)...)
		s.emitEnd(h, OutcomeFailed, status)
		return
	case snoozed:
		s.log.Info("job snoozed", s.attrs(h, "wait", h.ending.wait)...)
	case aborted:
		s.log.Info("job aborted", s.attrs(h)...)
	case returned:
		s.log.Info("job returned", h.job.attrs()...)
	}
	s.emitEnd(h, h.ending.kind.outcome(), "")
}

func (s *shift) reportFinished(h *held) {
	if s.log.Enabled(context.Background(), slog.LevelInfo) { // not to make what nobody reads, once for every job
		s.log.Info("job finished", s.attrs(h)...)
	}
	if h.ending.kind == finished {
		h.ending.text = "" // it was committed after all
	}
	s.emitEnd(h, OutcomeFinished, "")
}

// reportGone tells of a job whose end the database did not accept, for it is not held any more. That is as it should be if it was
// finished in a transaction of its handler's, unless an unanswered call failed it before.
func (s *shift) reportGone(h *held) {
	if h.ending.kind == finished && !h.ending.doubtful {
		s.reportFinished(h)
	} else {
		s.reportLost(h, h.ending.doubtful)
	}
}

// reportLost tells of a job that ended, and not as the worker asked, as far as it knows. doubtful: most likely it did, by a call that
// was not answered; as it did by the handler's own transaction, if there was one.
func (s *shift) reportLost(h *held, doubtful bool) {
	if doubtful || h.ending.inTx {
		s.log.Info("job end not confirmed", s.attrs(h)...)
	} else {
		s.log.Warn("job lost", s.attrs(h)...)
	}
	s.emitEnd(h, OutcomeLost, "")
}

// reportUndelivered tells of the jobs that ended before the shift and of which the database has not heard, as far as known.
func (s *shift) reportUndelivered() {
	for _, h := range s.held {
		if h.ended && !h.running {
			s.reportLost(h, false)
		}
	}
}

// attrs are the job's keys, how long its handler ran, and what is added.
func (s *shift) attrs(h *held, more ...any) []any {
	return append(append(h.job.attrs(), "duration", h.ending.took), more...)
}
