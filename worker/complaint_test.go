package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnOutageOfMinutesFillsNoLog(t *testing.T) {
	db := newFake(job(1))
	release := newGate()
	run := func(context.Context, *Job) (any, error) {
		release.pass()
		return nil, nil
	}
	try(t, db, Config{PollInterval: time.Second}, run, func(tr *trial) {
		synctest.Wait()
		db.fails(errConnection)
		release.open()
		<-time.After(10*time.Minute + 10*time.Second)
		synctest.Wait()
		// Three streams: the beat, the clockwork, and the calls about jobs.
		if got := countLines(tr.log, `msg="database call failed"`); got < 30 || got > 35 {
			t.Errorf("told %d times in 10 minutes, want once a minute for each stream:\n%s", got, tr.log)
		}
		db.fails(nil)
		<-time.After(maxBackoff)
		synctest.Wait()
		wantEnds(t, db, map[int64]string{1: "finish"})
		if got := countLines(tr.log, `msg="database call works again"`); got != 3 {
			t.Errorf("told %d times that it works again, want once for each stream:\n%s", got, tr.log)
		}
	})
}
