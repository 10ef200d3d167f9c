// Package worker runs jobs of the task queue that lives in a PostgreSQL database.
//
//	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
//	if err != nil {
//		return err
//	}
//	defer pool.Close()
//	w, err := worker.New(pool, worker.Config{Queues: []string{"mail"}, Logger: slog.Default()})
//	if err != nil {
//		return err
//	}
//	w.Handle("greet", worker.Typed(greet)) // func greet(ctx context.Context, args Greeting) (Receipt, error)
//	return w.Run(ctx)
//
// The database decides everything: which job is next, who holds a lock, whether a failed job runs again. A worker
// registers, fetches, runs, finishes, beats and ticks, and asks for the rest. Jobs run at least once: a worker that
// dies, or is silent for longer than Config.StalledAfter, has its jobs given to others. Jobs of one lock run one at a
// time; a worker that cannot reach the database cancels theirs before another may start them.
//
// Periodic jobs are schedules in the database. A worker with Config.Schedules defines them when it starts; any worker drives them,
// also those that others defined.
//
// Through a pooler in transaction mode (PgBouncer, …) the pool must keep no prepared statements on the server:
// ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe, or default_query_exec_mode=cache_describe in the URL.
// Name the Config.Schema instead of setting a search_path, and give Config.ListenConfig a direct connection, or poll.
//
// It does not defer jobs (call procrastinate_defer in your own transaction), does not install the schema (see package
// migrate below it), and does not stop a handler that ignores its context: nothing in Go can.
package worker
