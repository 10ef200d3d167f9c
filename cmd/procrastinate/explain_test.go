package main

import "testing"

func TestSentences(t *testing.T) {
	silent := 42.0
	tests := []struct {
		reason string
		detail detail
		want   string
	}{
		{"done", detail{Status: "succeeded", Seconds: 3600 * 50}, "succeeded 2d ago"},
		{"done", detail{Status: "failed", Seconds: 3, Attempts: 2, Error: "a\n b"}, "failed 3s ago after 2 attempts: a b"},
		{"running", detail{Worker: 7, WorkerName: "w", Attempt: 1, Seconds: 600, SilentSeconds: new(float64), AbortRequested: true, TimeoutAt: "noon"},
			"attempt 1 began 10m ago at worker 7 (w), which last beat 0s ago; it times out at noon; it was asked to stop"},
		{"rescue", detail{}, "its worker was removed; the next tick takes the job back"},
		{"rescue", detail{Worker: 7}, "worker 7 is gone; the next tick takes the job back"},
		{"rescue", detail{Worker: 7, WorkerName: "w", Registered: true, SilentSeconds: &silent, StalledAfter: "00:00:30"},
			"worker 7 (w) has been silent for 42s, and may be for 00:00:30; a tick will take the job back"},
		{"future", detail{Seconds: 60, ScheduledAt: "noon"}, "due in 60s, at noon"},
		{"future", detail{Seconds: 60, ScheduledAt: "noon", Attempts: 1, Error: "x"}, "due in 60s, at noon; 1 attempt so far, the last error: x"},
		{"paused", detail{Queue: "q", Seconds: 7200}, "queue q was paused 2h ago. To go on: procrastinate queues resume q"},
		{"worker", detail{Queue: "q", Task: "t", Alive: 1, ServeQueue: 1, Silent: 2},
			"no live worker has both its queue q and its task t: 1 worker alive, 1 with the queue, 0 with the task; 2 silent"},
		{"lock", detail{Lock: "l", Job: 5, Ahead: 1000, AtLeast: true, Reason: "paused", Detail: &detail{Queue: "q"}},
			"at least 1,000 jobs before it in lock l, the first is 5 (paused: queue q was paused 0s ago. To go on: procrastinate queues resume q)"},
		{"lock", detail{Lock: "l", Job: 5, Ahead: 1, Reason: "worker", Detail: &detail{Queue: "q", Task: "t"}},
			"1 job before it in lock l, the first is 5 (worker: no live worker has both its queue and its task)"},
		{"busy", detail{Seconds: 1, PID: 9}, "an open transaction has had its row for 1s: process 9, no application_name, state not to be seen"},
		{"tick", detail{Seconds: 2, TickSeconds: 1}, "due 2s ago; the next tick lets it in, the last one was 1s ago"},
		{"behind", detail{Seconds: 2, Ahead: 1}, "1 job before it at the workers that serve it; it has been ready for 2s"},
		{"ready", detail{Seconds: 2}, "nothing has been in its way for 2s; a worker with room for it starts it when it looks next"},
		{"hint", detail{}, "no worker would find it. Mend that: procrastinate repair"},
		{"new", detail{}, "this program does not know the reason; --json shows all of it"},
	}
	for _, test := range tests {
		if got := sentence(test.reason, test.detail); got != test.want {
			t.Errorf("%s: got  %q\nwant %q", test.reason, got, test.want)
		}
	}
}
