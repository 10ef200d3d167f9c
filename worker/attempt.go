package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// attempt is what a handler's context carries.
type attempt struct {
	job    *Job // the worker's
	given  Job  // the handler's, which it may change
	queue  protocol
	worker int64 // the registration

	inTest bool // by WorkTx

	// finishedInTx is set when the job was finished in a transaction of the handler's, which may still be rolled back.
	finishedInTx atomic.Pointer[inTxResult]

	over atomic.Bool // the handler has returned: the worker may run the job again by now
}

type inTxResult struct {
	tx     pgx.Tx
	result *string
	change string // what had to be done to it
}

type attemptKey struct{}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// errNotCommitted is the failure of a handler that returned success, but not the transaction it had finished its job in.
var errNotCommitted = errors.New("the transaction in which the job was finished was not committed")

// FinishTx finishes the job of a handler's context in the handler's own transaction: what the handler wrote there and the end
// of the job commit together, or neither does. The handler then commits and returns a nil error; the worker does not finish
// the job again, and what the handler returns as result is not stored: the result given here is, as with Handler.
//
//	tx, err := db.Begin(ctx)                                   // of a pool; in a test with WorkTx, of the test's transaction
//	…
//	if err := worker.FinishTx(ctx, tx, nil); err != nil {
//		return nil, err
//	}
//	return nil, tx.Commit(ctx)
//
// The error is ErrNotHeld when the job is no longer this worker's, or the handler has returned, and ErrNotRegistered when the worker
// is not: then roll back, another has or had the job. A handler that returns an error afterwards fails the job, unless its
// transaction was committed all the same; one that returns success without having committed fails it too. It waits for whoever
// holds the job's row. Without Config.Schema the transaction's search_path must find the queue, too.
func FinishTx(ctx context.Context, tx pgx.Tx, result any) error {
	a := attemptOf(ctx)
	switch {
	case a == nil:
		return errors.New("finish in transaction: the context is not that of a handler")
	case a.over.Load():
		return fmt.Errorf("finish job %d in transaction: %w (its handler has returned)", a.job.ID, ErrNotHeld)
	}
	encoded, change, err := encodeResult(result)
	if err != nil {
		return err
	}
	outcomes, err := a.queue.finishTx(ctx, tx, a.worker, a.job.ID, encoded)
	switch {
	case a.inTest && errors.Is(err, ErrNotRegistered):
		return fmt.Errorf("finish job %d in transaction: %w: its worker is in the test's transaction; begin this one there, as a savepoint",
			a.job.ID, ErrNotRegistered)
	case err != nil:
		return fmt.Errorf("finish job %d in transaction: %w", a.job.ID, err)
	case len(outcomes) > 0:
		return fmt.Errorf("finish job %d in transaction: %w", a.job.ID, ErrNotHeld)
	}
	a.finishedInTx.Store(&inTxResult{tx, encoded, change})
	return nil
}
