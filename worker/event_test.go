package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told makes a text of an event: what it is, and what a test can know of it.
func told(event Event) string {
	switch e := event.(type) {
	case Fetched:
		return fmt.Sprintf("fetched %d of %d, finished %d, %v", e.Jobs, e.Asked, e.Finished, e.Err)
	case Started:
		return fmt.Sprintf("started %d", e.Job.ID)
	case Ended:
		return strings.TrimSpace(fmt.Sprintf("%s %d after %s %s", e.How, e.Job.ID, e.Took, strings.TrimSpace(e.Status+" "+e.Error)))
	default:
		return "?"
	}
}

func tell(events *[]string) func(Event) {
	return func(event Event) {
		if fetched, ok := event.(Fetched); !ok || fetched.Jobs > 0 || fetched.Err != nil {
			*events = append(*events, told(event))
		}
	}
}

func TestEventsTellEachFetchStartAndEnd(t *testing.T) {
	var got []string
	ends := map[int64]error{1: nil, 2: errors.New("boom"), 3: Snooze(time.Minute)}
	db := newFake(jobs(3)...)
	run := func(_ context.Context, j *Job) (any, error) {
		<-time.After(time.Duration(j.ID) * time.Second)
		return nil, ends[j.ID]
	}
	try(t, db, Config{Concurrency: 5, OnEvent: tell(&got)}, run, func(tr *trial) {
		<-time.After(4 * time.Second)
		synctest.Wait()
		want := []string{
			"fetched 3 of 5, finished 0, <nil>", "started 1", "started 2", "started 3", "finished 1 after 1s",
			"failed 2 after 2s failed boom", "snoozed 3 after 3s",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	})
}

func TestWhatWasNotDeliveredBeforeTheRegistrationWasLostIsToldAsLost(t *testing.T) {
	var got []string
	db := newFake(jobs(2)...)
	db.fails(errConnection, "exchange", "finish")
	run := func(ctx context.Context, j *Job) (any, error) {
		if j.ID == 2 {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return nil, nil
	}
	try(t, db, Config{OnEvent: tell(&got)}, run, func(tr *trial) {
		<-time.After(time.Second)
		db.fails(ErrNotRegistered)
		<-tr.over
		if !errors.Is(tr.err, ErrNotRegistered) {
			t.Errorf("got %v, want ErrNotRegistered", tr.err)
		}
		for _, want := range []string{"lost 1 after 0s", "lost 2 after"} {
			if !strings.Contains(strings.Join(got, "\n"), want) {
				t.Errorf("no %q in %q", want, got)
			}
		}
		if lines := countLines(tr.log, `msg="job lost"`); lines != 2 {
			t.Errorf("%d records of lost jobs, want 2:\n%s", lines, tr.log)
		}
	})
}
