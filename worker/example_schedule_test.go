package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// A worker defines the schedules of its tasks when it starts. One job comes of each run, however many workers there are.
func ExampleSchedule() {
	config := worker.Config{
		Logger: slog.Default(),
		Schedules: []worker.Schedule{
			{Task: "report", Cron: "30 7 * * mon-fri", Timezone: "Europe/Berlin", Args: map[string]string{"to": "a@b.c"}},
			{Task: "sync", Cron: "*/10 * * * *", QueueingLock: "sync"}, // a run is skipped while a job waits
			{Name: "sync all", Task: "sync", Cron: "@daily", Args: map[string]bool{"all": true}, MaxLateness: 6 * time.Hour},
		},
	}
	run := func(ctx context.Context) error {
		pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
		if err != nil {
			return err
		}
		defer pool.Close()
		w, err := worker.New(pool, config)
		if err != nil {
			return err
		}
		w.Handle("report", func(context.Context, *worker.Job) (any, error) { return nil, nil })
		w.Handle("sync", func(context.Context, *worker.Job) (any, error) { return nil, nil })
		return w.Run(ctx) // worker.ErrCron for an expression, or a time zone, that is not accepted
	}
	if err := run(context.Background()); err != nil {
		fmt.Println(err)
	}
}
