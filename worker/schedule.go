package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Schedule defers a job again and again, by a cron expression. It lives in the database, which any worker may drive: see
// procrastinate_define_schedule, whose defaults stand for zero values.
type Schedule struct {
	// Name is what the database knows it by. Zero means the Task.
	Name string

	// Cron is when it runs: 5 fields, or 6 with seconds last, or @daily and the like.
	Cron string

	Task string

	// Args is encoded as a JSON object. Nil means {}.
	Args any

	// Timezone is whose clock Cron goes by, as in Europe/Berlin. Zero means UTC.
	Timezone string

	// Queue, Priority and Lock are those of the jobs. Zero means as the task says.
	Queue    string
	Priority int32
	Lock     string

	// QueueingLock has a run skipped while a job waits with it. Zero means none.
	QueueingLock string

	// CatchUp is what becomes of runs that were missed: none, last or all of them are made up for. Zero means last.
	CatchUp string

	// MaxLateness is how late a run may be and not be skipped. Zero means 10 minutes.
	MaxLateness time.Duration

	// PassTimestamp adds the time of the run to the jobs' args, as timestamp, in seconds since 1970.
	PassTimestamp bool
}

func (s Schedule) name() string { return cmp.Or(s.Name, s.Task) }

func (s Schedule) encodedArgs() (string, error) {
	if s.Args == nil {
		return "{}", nil
	}
	raw, err := json.Marshal(s.Args)
	return string(raw), err
}

// scheduleFaults are those that need no database to see.
func scheduleFaults(schedules []Schedule) (faults []error) {
	seen := map[string]bool{}
	for _, s := range schedules {
		check := func(err error) {
			if err != nil {
				faults = append(faults, fmt.Errorf("schedule %q: %w", s.name(), err))
			}
		}
		check(CheckTask(s.Task))
		if s.Name != "" && !validName(s.Name) {
			check(errors.New("its name is too long or not text"))
		}
		if s.Cron == "" {
			check(errors.New("it has no cron expression"))
		}
		if _, err := s.encodedArgs(); err != nil {
			check(fmt.Errorf("encode args: %w", err))
		}
		if seen[s.name()] {
			check(errors.New("there are two of that name"))
		}
		seen[s.name()] = true
	}
	return faults
}

// declareSchedules defines all schedules, or none. Those that somebody disabled stay so, and those of others stay.
func (w *Worker) declareSchedules(ctx context.Context) error {
	if len(w.config.Schedules) == 0 {
		return nil
	}
	// in one order, for each keeps its row until all are defined, and other workers start at the same time
	schedules := slices.SortedFunc(slices.Values(w.config.Schedules), func(a, b Schedule) int { return strings.Compare(a.name(), b.name()) })
	_, err := persist(ctx, w, "define schedules", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.queue.defineSchedules(ctx, schedules)
	})
	if err != nil {
		return err
	}
	names := make([]string, len(schedules))
	for i, s := range schedules {
		names[i] = s.name()
	}
	w.config.Logger.InfoContext(ctx, "schedules defined", "schedules", names)
	return nil
}
