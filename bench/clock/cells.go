package main

import (
	"context"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// A cell is measured in a database of its own.
type cell struct {
	part  int // of the issue
	name  string
	waits bool // it mostly waits, beside others that do
	run   func(context.Context, *room) error
}

// What the targets are.
var (
	soon      = lab.Below(50, "ms") // of 99 of a hundred
	oneCron   = lab.Below(1000, "µs")
	allDue    = lab.Below(2, "s")
	deletions = lab.Above(20_000, "rows/s")
	besides   = lab.Above(0.80, "")
)

// quietPoll is the poll interval of workers that do not listen, the default one. What starts sooner was not polled for.
const quietPoll = 5 * time.Second

// longest is how long a cell waits for single jobs; where all is slow it measures fewer.
const longest = 2 * time.Minute

var cells = []cell{
	{part: 1, name: "cron_next", run: cronNext},
	{part: 1, name: "schedules due at one instant", run: schedulesDue},
	{part: 1, name: "ticks when nothing is due", run: idleTicks},

	{part: 4, name: "retention", run: retention},

	{part: 5, name: "idle workers", run: idleWorkers},
	{part: 5, name: "scheduled jobs", waits: true, run: scheduledJobs},
	{part: 5, name: "schedule each second", waits: true, run: scheduleEachSecond(110, true)},

	{part: 6, name: "job deferred", waits: true, run: jobDeferred(300, true)},
	{part: 6, name: "retry due", waits: true, run: retryDue(300, true)},
	{part: 6, name: "lock handed over, job ended", waits: true, run: lockHandedOver(200, jobEnds)},
	{part: 6, name: "lock handed over, job aborted", waits: true, run: lockHandedOver(200, jobAborted)},
	{part: 6, name: "lock handed over, job deleted", waits: true, run: lockHandedOver(200, jobDeleted)},
	{part: 6, name: "lock handed over, worker deleted", waits: true, run: lockHandedOver(50, workerDeleted)},

	{part: 6, name: "not listening: job deferred", waits: true, run: jobDeferred(10, false)},
	{part: 6, name: "not listening: retry due", waits: true, run: retryDue(200, false)},
	{part: 6, name: "not listening: lock handed over", waits: true, run: lockPassedOn(200)},
	{part: 6, name: "not listening: schedule each second", waits: true, run: scheduleEachSecond(60, false)},
}
