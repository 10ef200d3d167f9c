package main

import (
	"cmp"
	"fmt"
	"strings"
)

// reason is a row of an explanation.
type reason struct {
	Reason string
	Detail detail
}

// detail is what procrastinate_explain_job tells of a reason; each reason has some of these.
type detail struct {
	Status         string   `json:"status"`
	Seconds        float64  `json:"seconds"`
	Attempts       int      `json:"attempts"`
	Attempt        int      `json:"attempt"`
	Error          string   `json:"error"`
	Worker         int64    `json:"worker"`
	WorkerName     string   `json:"worker_name"`
	Registered     bool     `json:"registered"`
	SilentSeconds  *float64 `json:"silent_seconds"`
	StalledAfter   string   `json:"stalled_after"`
	TimeoutAt      string   `json:"timeout_at"`
	AbortRequested bool     `json:"abort_requested"`
	Queue          string   `json:"queue"`
	Task           string   `json:"task"`
	Alive          int      `json:"alive"`
	Silent         int      `json:"silent"`
	ServeQueue     int      `json:"serve_queue"`
	HaveTask       int      `json:"have_task"`
	Lock           string   `json:"lock"`
	Job            int64    `json:"job"`
	Reason         string   `json:"reason"`
	Detail         *detail  `json:"detail"`
	Ahead          int64    `json:"ahead"`
	AtLeast        bool     `json:"at_least"`
	ScheduledAt    string   `json:"scheduled_at"`
	PID            int      `json:"pid"`
	Application    string   `json:"application_name"`
	State          string   `json:"state"`
	TickSeconds    float64  `json:"tick_seconds"`
}

// sentences tell an explanation to a person, a reason a line.
func sentences(reasons []reason) string {
	var lines strings.Builder
	for _, r := range reasons {
		fmt.Fprintf(&lines, "%s: %s\n", r.Reason, sentence(r.Reason, r.Detail))
	}
	return lines.String()
}

func sentence(reason string, d detail) string {
	switch reason {
	case "done":
		return sentenceDone(d)
	case "running":
		return sentenceRunning(d)
	case "rescue":
		return sentenceRescue(d)
	case "hint":
		return "no worker would find it. Mend that: procrastinate repair"
	case "future":
		text := fmt.Sprintf("due in %s, at %s", seconds(d.Seconds), moment(d.ScheduledAt))
		if d.Attempts > 0 {
			text += fmt.Sprintf("; %s so far, the last error: %s", plural(d.Attempts, "attempt"), oneLine(d.Error))
		}
		return text
	case "paused":
		return fmt.Sprintf("queue %s was paused %s ago. To go on: procrastinate queues resume %[1]s", d.Queue, seconds(d.Seconds))
	case "worker":
		text := fmt.Sprintf("no live worker has both its queue %s and its task %s: %s alive, %d with the queue, %d with the task",
			d.Queue, d.Task, plural(d.Alive, "worker"), d.ServeQueue, d.HaveTask)
		if d.Silent > 0 {
			text += fmt.Sprintf("; %d silent", d.Silent)
		}
		return text
	case "lock":
		return sentenceLock(d)
	case "busy":
		return fmt.Sprintf("an open transaction has had its row for %s: process %d, %s, %s",
			seconds(d.Seconds), d.PID, cmp.Or(d.Application, "no application_name"), cmp.Or(d.State, "state not to be seen"))
	case "tick":
		return fmt.Sprintf("due %s ago; the next tick lets it in, the last one was %s ago", seconds(d.Seconds), seconds(d.TickSeconds))
	case "behind":
		return fmt.Sprintf("%s before it at the workers that serve it; it has been ready for %s", many(d), seconds(d.Seconds))
	case "ready":
		return fmt.Sprintf("nothing has been in its way for %s; a worker with room for it starts it when it looks next", seconds(d.Seconds))
	default:
		return "this program does not know the reason; --json shows all of it"
	}
}

func sentenceDone(d detail) string {
	text := fmt.Sprintf("%s %s ago", d.Status, seconds(d.Seconds))
	if d.Attempts > 0 {
		text += " after " + plural(d.Attempts, "attempt")
	}
	if d.Error != "" {
		text += ": " + oneLine(d.Error)
	}
	return text
}

func sentenceRunning(d detail) string {
	text := fmt.Sprintf("attempt %d began %s ago at worker %d (%s)", d.Attempt, seconds(d.Seconds), d.Worker, d.WorkerName)
	if d.SilentSeconds != nil {
		text += fmt.Sprintf(", which last beat %s ago", seconds(*d.SilentSeconds))
	}
	if d.TimeoutAt != "" {
		text += "; it times out at " + moment(d.TimeoutAt)
	}
	if d.AbortRequested {
		text += "; it was asked to stop"
	}
	return text
}

func sentenceRescue(d detail) string {
	switch {
	case d.Worker == 0:
		return "its worker was removed; the next tick takes the job back"
	case !d.Registered || d.SilentSeconds == nil:
		return fmt.Sprintf("worker %d is gone; the next tick takes the job back", d.Worker)
	default:
		return fmt.Sprintf("worker %d (%s) has been silent for %s, and may be for %s; a tick will take the job back",
			d.Worker, d.WorkerName, seconds(*d.SilentSeconds), d.StalledAfter)
	}
}

func sentenceLock(d detail) string {
	text := fmt.Sprintf("%s before it in lock %s, the first is %d", many(d), d.Lock, d.Job)
	switch {
	case d.Reason == "worker":
		text += " (worker: no live worker has both its queue and its task)"
	case d.Detail != nil:
		text += fmt.Sprintf(" (%s: %s)", d.Reason, sentence(d.Reason, *d.Detail))
	}
	return text
}

func many(d detail) string {
	count := jobCount(d.Ahead)
	if d.AtLeast {
		count = "at least " + count
	}
	return count
}
