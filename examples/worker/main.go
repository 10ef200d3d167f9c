package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once; its jobs are taken back after 30 s
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	config.MaxConns = 20 // the worker needs 4 of them and one to listen; transfer takes one for each job it runs
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	w, err := worker.New(pool, worker.Config{Concurrency: 10, Logger: slog.Default()})
	if err != nil {
		return err
	}
	w.Handle("greet", worker.Typed(greet))
	w.Handle("probe", worker.Typed(probe))
	w.Handle("transfer", worker.Typed(func(ctx context.Context, args Transfer) (any, error) {
		return nil, transfer(ctx, pool, args)
	}))
	return w.Run(ctx) // until the signal, and then until the handlers have ended, or were cancelled after 30 s
}

type Greeting struct{ Name string }

// greet returns a result, which is kept with the job.
func greet(_ context.Context, args Greeting) (string, error) {
	return "hello " + args.Name, nil
}

type Page struct{ URL string }

// probe says by its error what becomes of the job.
func probe(ctx context.Context, args Page) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, args.URL, nil)
	if err != nil {
		return 0, worker.Permanent(err) // not again, whatever attempts are left
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err // again when the task's policy says
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusTooManyRequests:
		return 0, worker.Snooze(time.Minute) // later, and it does not count
	case http.StatusServiceUnavailable:
		return 0, worker.RetryIn(fmt.Errorf("%s: %s", args.URL, response.Status), 10*time.Second)
	}
	return response.StatusCode, nil
}

type Transfer struct {
	From, To string
	Amount   int
}

// transfer commits its effects together with the end of the job: both happen once, or neither. db is a pool, or the transaction
// of a test.
func transfer(ctx context.Context, db interface {
	Begin(context.Context) (pgx.Tx, error)
}, args Transfer) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after the commit it does nothing
	_, err = tx.Exec(ctx, `insert into transfers values ($1, $2, $3)`, args.From, args.To, args.Amount)
	if err != nil {
		return err
	}
	if err := worker.FinishTx(ctx, tx, nil); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
