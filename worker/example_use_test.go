package worker_test

import (
	"context"
	"fmt"

	"github.com/procrastinate-pg/procrastinate/worker"
)

type userKey struct{}

// A wrapper sees every job, and may add to its context, change its error, or not run it at all.
func ExampleWorker_Use() {
	asUser := func(next worker.Handler) worker.Handler {
		return func(ctx context.Context, job *worker.Job) (any, error) {
			if job.Task == "anonymous" {
				return nil, worker.Permanent(fmt.Errorf("task %s is not for us", job.Task))
			}
			return next(context.WithValue(ctx, userKey{}, "alice"), job)
		}
	}
	var w *worker.Worker // of worker.New
	if w != nil {
		w.Use(asUser)
	}
	handler := asUser(func(ctx context.Context, _ *worker.Job) (any, error) { return ctx.Value(userKey{}), nil })
	fmt.Println(handler(context.Background(), &worker.Job{Task: "greet"}))
	fmt.Println(handler(context.Background(), &worker.Job{Task: "anonymous"}))
	// Output:
	// alice <nil>
	// <nil> task anonymous is not for us
}
