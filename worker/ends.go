package worker

import "slices"

// accepted lets go of the jobs whose end the database has accepted, or which are no longer held; those whose row
// is busy are ended again, each in a call of its own that waits for the row. It says whether a lock was passed on, whose next job waits
// for somebody to fetch after that.
func (s *shift) accepted(batch []*held, outcomes []outcome) (passedOn bool) {
	what := make(map[int64]string, len(outcomes))
	for _, o := range outcomes {
		what[o.id] = o.what
	}
	putOff := false
	for _, h := range batch {
		switch what[h.job.ID] {
		case outcomeBusy:
			s.alone = append(s.alone, h)
		case outcomeLost:
			s.reportGone(h)
			s.drop(h)
		default:
			s.drop(h)
			s.report(h, what[h.job.ID])
			putOff = putOff || what[h.job.ID] == "todo"
			passedOn = passedOn || hasLock(h)
		}
	}
	if putOff {
		s.postponed()
	}
	return passedOn
}

func hasLock(h *held) bool { return h.job.Lock != nil }

// lookAgain has the next call fetch.
func (s *shift) lookAgain() { s.hungry, s.drained = true, false }

func (s *shift) drop(h *held) {
	if h.ending.doubtful && h.ending.kind != succeeded {
		s.doubts--
	}
	h.ending.doubtful = false
	if s.held[h.job.ID] == h {
		delete(s.held, h.job.ID)
	}
}

// undelivered returns the jobs of a failed call whose end must be asked for again. If the call may have been
// committed all the same, a job that did not succeed may be todo again, and a fetch may bring it: its old end must
// never meet the new attempt. So nothing is fetched until such a doubt is resolved.
func (s *shift) undelivered(batch []*held, err error) []*held {
	batch = slices.DeleteFunc(batch, func(h *held) bool {
		superseded := s.held[h.job.ID] != h
		if superseded && h.ended {
			s.reportLost(h, true)
		}
		return superseded
	})
	if isUnanswered(err) {
		for _, h := range batch {
			if !h.ending.doubtful && h.ending.kind != succeeded {
				s.doubts++
			}
			h.ending.doubtful = true
		}
	}
	return batch
}

// inDoubt: a fetch is under way that may bring a job whose earlier end is in doubt.
func (s *shift) inDoubt() bool {
	return s.doubts > 0 && s.fetching
}

// supersede lets go of a job that a fetch brought anew: its earlier end was accepted. If a call for it is still under way, that
// call's answer tells of it.
func (s *shift) supersede(h *held) {
	for _, list := range []*[]*held{&s.done, &s.failed, &s.back, &s.alone} {
		before := len(*list)
		*list = slices.DeleteFunc(*list, func(other *held) bool { return other == h })
		if len(*list) < before && h.ended {
			s.reportLost(h, true)
		}
	}
	if h.running {
		s.cancel(h, ErrOutOfTouch)
	}
	s.drop(h)
}
