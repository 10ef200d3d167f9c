package worker

import "time"

// Event is something that a worker did, for metrics: a Fetched, a Started or an Ended. Config.OnEvent receives them.
type Event interface{ event() }

// Fetched is a call that asked for jobs, and perhaps finished others.
type Fetched struct {
	Asked    int           // jobs, at most
	Jobs     int           // jobs that came
	Finished int           // jobs whose success the same call told the database
	Took     time.Duration // of the call
	Err      error         // nil if the database answered
}

// Started is a handler that begins to run a job.
type Started struct{ Job *Job }

// Ended is a job that left the worker: the database has accepted its end, or it is no longer the worker's. There is one for each
// Started, but for a handler that is stuck when the worker stops; and one for a job that was fetched and ended without being started.
type Ended struct {
	Job *Job
	How Outcome

	// Status is what the database made of a failure: todo if the job runs again, else failed. Of others it is empty.
	Status string

	// Result is what a handler returned that succeeded, as JSON. Empty if there is none.
	Result string

	// Error is the text of a failure or of an abort.
	Error string

	// Took is how long the handler ran. Zero for a job that was not started.
	Took time.Duration
}

func (Fetched) event() {}
func (Started) event() {}
func (Ended) event()   {}

// Outcome is how a job left the worker.
type Outcome string

// The outcomes.
const (
	OutcomeFinished Outcome = "finished"
	OutcomeFailed   Outcome = "failed"
	OutcomeSnoozed  Outcome = "snoozed"
	OutcomeAborted  Outcome = "aborted"
	OutcomeReturned Outcome = "returned" // given back, without an attempt
	OutcomeLost     Outcome = "lost"     // what its handler returned did not count, or nobody has confirmed that it did
)
