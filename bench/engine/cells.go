package main

// A cell is one line of the table: what the clients call, where, and how often.
type cell struct {
	name    string
	place   string // the database, see places
	script  string // what a client calls: defer, defer many, cycle (fetch and finish) or exchange
	batch   int    // jobs in a call
	perLock int    // how many jobs of one lock a fetch may take at once
	fill    string // what waits: the name of a batch, see batches; empty where jobs are deferred
	jobs    int    // in a piece, of which a tenth more wait; meant for about three seconds
	seconds int    // if not 0 the piece ends after so many: how long the jobs take is up to the disk, to dead tokens, or to who gets the lock
	prepare string // of the lanes: just emptied, or parked
	first   bool   // whether the target against the first prototype applies
}

// Places: each is a database of its own for each system.
const (
	clean    = "clean"    // history, nobody in the way
	snapshot = "snapshot" // history under an open REPEATABLE READ snapshot
	writer   = "writer"   // history under an open transaction that deferred a job, in a cluster of its own
	backlog  = "backlog"  // a million jobs wait
	locks    = "locks"
	oneLock  = "one_lock"
	lanes    = "lanes"
)

var places = []string{clean, snapshot, writer, backlog, locks, oneLock, lanes}

var cells = []cell{
	{name: "defer, 1 per call", place: clean, script: "defer", batch: 1, jobs: 12_000, seconds: 3},
	{name: "defer, 1,000 per call", place: clean, script: "defer many", batch: 1000, jobs: 120_000},

	{name: "fetch+finish 1", place: clean, script: "cycle", batch: 1, perLock: 1, fill: "plain", jobs: 20_000, seconds: 3},
	{name: "fetch+finish 1, snapshot", place: snapshot, script: "cycle", batch: 1, perLock: 1, fill: "plain", jobs: 20_000, seconds: 3},
	{name: "fetch+finish 1, writer", place: writer, script: "cycle", batch: 1, perLock: 1, fill: "plain", jobs: 20_000, seconds: 3},

	{name: "fetch+finish 10", place: clean, script: "cycle", batch: 10, perLock: 1, fill: "plain", jobs: 80_000, seconds: 3},
	{name: "fetch+finish 10, snapshot", place: snapshot, script: "cycle", batch: 10, perLock: 1, fill: "plain", jobs: 80_000, seconds: 3},
	{name: "fetch+finish 10, writer", place: writer, script: "cycle", batch: 10, perLock: 1, fill: "plain", jobs: 80_000, seconds: 3},

	{name: "fetch+finish 100", place: clean, script: "cycle", batch: 100, perLock: 1, fill: "plain", jobs: 70_000, first: true},
	{name: "fetch+finish 100, snapshot", place: snapshot, script: "cycle", batch: 100, perLock: 1, fill: "plain", jobs: 70_000, first: true},
	{name: "fetch+finish 100, writer", place: writer, script: "cycle", batch: 100, perLock: 1, fill: "plain", jobs: 70_000, first: true},

	{name: "fetch+finish 1000", place: clean, script: "cycle", batch: 1000, perLock: 1, fill: "plain", jobs: 100_000, first: true},
	{name: "fetch+finish 1000, snapshot", place: snapshot, script: "cycle", batch: 1000, perLock: 1, fill: "plain", jobs: 100_000, first: true},
	{name: "fetch+finish 1000, writer", place: writer, script: "cycle", batch: 1000, perLock: 1, fill: "plain", jobs: 100_000, first: true},

	{name: "exchange 100", place: clean, script: "exchange", batch: 100, perLock: 1, fill: "plain", jobs: 70_000, first: true},
	{name: "1M backlog, fetch+finish 100", place: backlog, script: "cycle", batch: 100, perLock: 1, fill: "plain", jobs: 70_000, first: true},

	{name: "10k locks, fetch+finish 100", place: locks, script: "cycle", batch: 100, perLock: 1, fill: "locks", jobs: 90_000, first: true},
	{name: "10k locks, exchange 100", place: locks, script: "exchange", batch: 100, perLock: 1, fill: "locks", jobs: 90_000, first: true},
	{name: "one lock, one by one", place: oneLock, script: "cycle", batch: 1, perLock: 1, fill: "one lock", jobs: 5_000, seconds: 3},
	{name: "one lock, max_per_lock 100", place: oneLock, script: "cycle", batch: 100, perLock: 100, fill: "one lock", jobs: 50_000, seconds: 3},

	{name: "10 of 1,000 lanes, just emptied", place: lanes, script: "cycle", batch: 10, perLock: 1, fill: "ten lanes", jobs: 6_000, prepare: "open"},
	{name: "10 of 1,000 lanes, parked", place: lanes, script: "cycle", batch: 10, perLock: 1, fill: "ten lanes", jobs: 20_000, prepare: "parked"},
}
