package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
)

type greeting struct{ Name string }

type receipt struct {
	Text string `json:"text"`
}

func greet(_ context.Context, args greeting) (receipt, error) {
	return receipt{"hello " + args.Name}, nil
}

func work(ctx context.Context) error {
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	w, err := worker.New(pool, worker.Config{Queues: []string{"mail"}, Logger: slog.Default()})
	if err != nil {
		return err
	}
	w.Handle("greet", worker.Typed(greet))
	return w.Run(ctx)
}

func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := work(ctx); err != nil {
		fmt.Println(err)
	}
}
