package worker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

const jobColumns = `id, task_name, queue_name, args, priority, lock, attempt, max_attempts, timeout, ` +
	`scheduled_at, deferred_at, metadata, outcome`

// jobTypes are the types of these columns.
var jobTypes = [...]uint32{
	pgtype.Int8OID, pgtype.TextOID, pgtype.TextOID, pgtype.JSONBOID, pgtype.Int4OID, pgtype.TextOID, pgtype.Int4OID, pgtype.Int4OID, pgtype.IntervalOID,
	pgtype.TimestamptzOID, pgtype.TimestamptzOID, pgtype.JSONBOID, pgtype.TextOID,
}

// claim runs a fetch or an exchange.
func (q *queue) claim(ctx context.Context, sql string, args ...any) (jobs []*Job, outcomes []outcome, err error) {
	var d decoder
	rows, err := many(ctx, q, d.claimed, sql, args...)
	for _, row := range rows {
		if row.what != nil {
			outcomes = append(outcomes, outcome{row.job.ID, *row.what})
		} else {
			jobs = append(jobs, row.job)
		}
	}
	return jobs, outcomes, err
}

// claimed is a row of a fetch or an exchange: a job to run, or the outcome of one that did not end.
type claimed struct {
	job  *Job
	what *string
}

// decoder reads the rows of one answer.
type decoder struct {
	asked, raw  bool
	task, queue string // of the row before: most often they are the same
}

// claimed reads what the server sent as it is, if it came as pgx asks for it by itself. Scan would take as long for a row as all
// else that the worker does with the job. Some of pgx's modes, for poolers, get text: that is left to Scan.
func (d *decoder) claimed(row pgx.CollectableRow) (claimed, error) {
	if !d.asked {
		d.asked, d.raw = true, isRaw(row.FieldDescriptions())
	}
	if !d.raw {
		return scanClaimed(row)
	}
	values := row.RawValues()
	job := &Job{
		ID:          int64Of(values[0]),
		Task:        again(&d.task, values[1]),
		Queue:       again(&d.queue, values[2]),
		Args:        slices.Clone(values[3]),
		Priority:    int32Of(values[4]),
		Lock:        textOf(values[5]),
		Attempt:     int32Of(values[6]),
		Timeout:     spanOf(intervalOf(values[8])),
		ScheduledAt: timeOf(values[9]),
		DeferredAt:  timeOf(values[10]),
		Metadata:    slices.Clone(values[11]),
	}
	if values[7] != nil {
		limit := int32Of(values[7])
		job.MaxAttempts = &limit
	}
	return claimed{job, textOf(values[12])}, nil
}

// isRaw says whether the columns are the expected ones: numbers and times in binary, JSON as text.
func isRaw(fields []pgconn.FieldDescription) bool {
	if len(fields) != len(jobTypes) {
		return false
	}
	for i, field := range fields {
		wrong := pgx.TextFormatCode
		switch field.DataTypeOID {
		case pgtype.JSONBOID:
			wrong = pgx.BinaryFormatCode
		case pgtype.TextOID: // is the same in both
			wrong = -1
		}
		if field.DataTypeOID != jobTypes[i] || int(field.Format) == wrong {
			return false
		}
	}
	return true
}

func int32Of(value []byte) int32 {
	if value == nil {
		return 0
	}
	return int32(binary.BigEndian.Uint32(value))
}

func int64Of(value []byte) int64 {
	if value == nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(value))
}

func textOf(value []byte) *string {
	if value == nil {
		return nil
	}
	text := string(value)
	return &text
}

// again is the value as a text: the one before if it is the same.
func again(before *string, value []byte) string {
	if *before != string(value) {
		*before = string(value)
	}
	return *before
}

func intervalOf(value []byte) pgtype.Interval {
	if value == nil {
		return pgtype.Interval{}
	}
	return pgtype.Interval{Microseconds: int64Of(value[:8]), Days: int32Of(value[8:12]), Months: int32Of(value[12:]), Valid: true}
}

// epoch is PostgreSQL's, in microseconds of Unix time.
const epoch = 946_684_800_000_000

// timeOf is zero for NULL and for the infinite.
func timeOf(value []byte) time.Time {
	microseconds := int64Of(value)
	if value == nil || microseconds == math.MaxInt64 || microseconds == math.MinInt64 {
		return time.Time{}
	}
	return time.UnixMicro(microseconds + epoch)
}

func scanClaimed(row pgx.CollectableRow) (claimed, error) {
	var (
		job                     Job
		what, task, queue       *string
		args, metadata          []byte
		priority, attempt       *int32
		timeout                 pgtype.Interval
		scheduledAt, deferredAt pgtype.Timestamptz
	)
	err := row.Scan(&job.ID, &task, &queue, &args, &priority, &job.Lock, &attempt, &job.MaxAttempts, &timeout,
		&scheduledAt, &deferredAt, &metadata, &what)
	if err != nil {
		return claimed{}, err
	}
	job.Task, job.Queue = deref(task), deref(queue)
	job.Priority, job.Attempt = deref(priority), deref(attempt)
	job.Args, job.Metadata = json.RawMessage(args), json.RawMessage(metadata)
	job.Timeout = spanOf(timeout)
	job.ScheduledAt, job.DeferredAt = scheduledAt.Time, deferredAt.Time
	return claimed{&job, what}, nil
}

func deref[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

// spanOf makes a span of an interval, with 30 days to a month, and at most a year.
func spanOf(interval pgtype.Interval) time.Duration {
	if !interval.Valid {
		return 0
	}
	days := min(int64(interval.Months)*30+int64(interval.Days), 366)
	microseconds := min(interval.Microseconds, maxWait.Microseconds())
	return clampWait(time.Duration(days)*24*time.Hour + time.Duration(microseconds)*time.Microsecond)
}
