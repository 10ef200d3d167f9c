package worker_test

import (
	"expvar"
	"fmt"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// Metrics are counted from events; expvar stands here for the library that you use.
func ExampleConfig_onEvent() {
	started, ended, took, fetches := new(expvar.Map), new(expvar.Map), new(expvar.Float), new(expvar.Int)
	config := worker.Config{OnEvent: func(event worker.Event) {
		switch e := event.(type) {
		case worker.Fetched:
			fetches.Add(1)
		case worker.Started:
			started.Add(e.Job.Task, 1)
		case worker.Ended:
			ended.Add(e.Job.Task+" "+string(e.How), 1)
			took.Add(e.Took.Seconds())
		}
	}}

	// What a worker with this config would tell.
	job := &worker.Job{Task: "greet"}
	config.OnEvent(worker.Fetched{Asked: 10, Jobs: 1})
	config.OnEvent(worker.Started{Job: job})
	config.OnEvent(worker.Ended{Job: job, How: worker.OutcomeFinished, Took: 250 * time.Millisecond})
	fmt.Println(fetches, started, ended, took)
	// Output: 1 {"greet": 1} {"greet finished": 1} 0.25
}
