package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// sortStarts sorts those after the first fetch: handlers that start at once tell it in any order.
func sortStarts(events []string) {
	n := 1
	for n < len(events) && strings.HasPrefix(events[n], "started") {
		n++
	}
	slices.Sort(events[min(1, len(events)):min(n, len(events))])
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
		sortStarts(got)
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

// The answer of a failure is lost although it was committed, and a fetch that is under way brings the job anew.
func TestTheEndOfAnAttemptThatANewOneOvertookIsTold(t *testing.T) {
	for _, answered := range []string{"first", "last"} {
		var got []string
		db := newFake(job(1))
		fetches, attempts := 0, 0
		db.before = func(name string, _ []int64) error {
			if name == "fetch" {
				if fetches++; fetches == 2 {
					<-time.After(time.Second)
				}
			}
			return nil
		}
		db.after = func(name string, _ []int64) error {
			if name != "fail" {
				return nil
			}
			db.add(job(1))
			if answered == "last" {
				<-time.After(time.Second)
			}
			return errConnection
		}
		run := func(context.Context, *Job) (any, error) {
			if attempts++; attempts == 1 {
				<-time.After(time.Second)
				return nil, errors.New("boom")
			}
			<-time.After(time.Second)
			return nil, nil
		}
		try(t, db, Config{PollInterval: time.Hour, OnEvent: tell(&got)}, run, func(tr *trial) {
			<-time.After(time.Second / 2)
			tr.notified(`{"type": "job_inserted"}`)
			<-time.After(time.Minute)
			synctest.Wait()
			told := strings.Join(got, "\n")
			for _, want := range []string{"lost 1 after 1s boom", "finished 1 after 1s"} {
				if strings.Count(told, want) != 1 || strings.Count(told, "started 1") != 2 {
					t.Errorf("answered %s: no %q, or not once, in %q", answered, want, got)
				}
			}
			wantLog(t, tr, "job end not confirmed")
		})
	}
}

func TestWhatCouldNotBeDeliveredIsToldAsLost(t *testing.T) {
	for name, failure := range map[string]error{"the database is away": errConnection, "the registration is lost": ErrNotRegistered} {
		var got []string
		db := newFake(jobs(2)...)
		db.fails(errConnection, "exchange", "finish")
		free := newGate()
		run := func(_ context.Context, j *Job) (any, error) {
			if j.ID == 2 {
				free.pass()
			}
			return nil, nil
		}
		try(t, db, Config{OnEvent: tell(&got)}, run, func(tr *trial) {
			<-time.After(time.Second)
			db.fails(failure)
			if err := tr.stopped(); !errors.Is(err, ErrStuck) {
				t.Errorf("%s: ended with %v, want ErrStuck", name, err)
			}
			want := []string{"fetched 2 of 100, finished 0, <nil>", "started 1", "started 2", "lost 1 after 0s"}
			got = slices.DeleteFunc(got, func(event string) bool { return strings.HasSuffix(event, errConnection.Error()) })
			sortStarts(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %q\nwant %q", name, got, want)
			}
			free.open()
		})
	}
}
