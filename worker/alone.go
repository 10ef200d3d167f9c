package worker

import (
	"context"
	"errors"
	"time"
)

// callAlone ends single jobs: those whose end has a function of its own, and those that a batch could not end.
// Such a call may wait long for a row; only a few wait at once, so that they leave connections for the rest.
func (s *shift) callAlone(ctx context.Context) {
	for len(s.alone) > 0 && s.solo.free(s.now, s.maxAlone) && !s.inDoubt() {
		h := s.alone[0]
		s.alone[0] = nil // else its array keeps it
		s.alone = s.alone[1:]
		worker, id, end := s.worker, h.job.ID, h.ending
		s.call(ctx, &s.solo, 0, func(ctx context.Context) (func(error), error) {
			outcomes, err := endAlone(ctx, s.queue, worker, id, end)
			return func(err error) { s.aloneAnswered(h, outcomes, err) }, err
		})
	}
}

func endAlone(ctx context.Context, queue protocol, worker, id int64, end ending) ([]outcome, error) {
	var (
		status string
		err    error
	)
	switch end.kind {
	case succeeded:
		return queue.finish(ctx, worker, []int64{id}, []*string{end.result})
	case failed, finished:
		return queue.fail(ctx, worker, []failure{{id, end.text, end.retryIn, end.final}})
	case returned:
		return queue.giveBack(ctx, worker, []int64{id})
	case snoozed:
		status, err = queue.snooze(ctx, worker, id, end.wait)
	default:
		status, err = queue.abort(ctx, worker, id, end.text)
	}
	if errors.Is(err, ErrNotHeld) {
		return []outcome{{id, outcomeLost}}, nil
	}
	return []outcome{{id, status}}, err
}

func (s *shift) aloneAnswered(h *held, outcomes []outcome, err error) {
	switch {
	case err == nil:
		s.solo.answered(s.log, h.ending.kind.String(), anything)
		if s.accepted([]*held{h}, outcomes) {
			s.lookAgain()
		}
	case isBadData(err) && !h.ending.bare:
		s.strip(h, err)
		s.alone = append(s.alone, h)
	default:
		s.alone = append(s.alone, s.undelivered([]*held{h}, err)...)
		s.trouble(&s.solo, h.ending.kind.String(), anything, err)
	}
}

// strip takes away what the database refuses, so that the job does not stay for ever.
func (s *shift) strip(h *held, err error) {
	h.ending.bare = true
	h.ending.result, h.ending.retryIn = nil, nil
	h.ending.wait = min(h.ending.wait, time.Minute)
	if h.ending.text != "" {
		h.ending.text = "error text not acceptable to the database"
	}
	s.log.Error("result not stored", append(h.job.attrs(), "err", err)...)
}
