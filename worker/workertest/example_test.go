package workertest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/workertest"
)

// placeOrder is code under test that defers a job.
func placeOrder(ctx context.Context, tx pgx.Tx, id int) error {
	_, err := tx.Exec(ctx, `select procrastinate_defer('bill', jsonb_build_object('order_id', $1::integer))`, id)
	return err
}

type order struct {
	ID int `json:"order_id"`
}

func Example() {
	_ = func(t *testing.T, pool *pgxpool.Pool) { // a TestPlaceOrder
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
		if err := placeOrder(t.Context(), tx, 42); err != nil {
			t.Fatal(err)
		}
		queue := workertest.Queue{Tx: tx}
		queue.WantDeferred(t, "bill", order{42})

		w, err := worker.New(pool, worker.Config{})
		if err != nil {
			t.Fatal(err)
		}
		w.Handle("bill", worker.Typed(func(_ context.Context, args order) (int, error) { return args.ID, nil }))
		for _, end := range queue.Work(t, w) {
			if end.How != worker.OutcomeFinished {
				t.Errorf("job %d %s: %s", end.Job.ID, end.How, end.Error)
			}
		}
	}
}
