package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/pashagolub/pgxmock/v3"
)

func newMock(t *testing.T) pgxmock.PgxPoolIface {
	t.Helper()
	mock, err := pgxmock.NewPool(pgxmock.QueryMatcherOption(pgxmock.QueryMatcherEqual))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mock.ExpectationsWereMet(); err != nil {
			t.Error(err)
		}
	})
	return mock
}

const (
	fetchSQL = `select id, task_name, queue_name, args, priority, lock, attempt, max_attempts, timeout, scheduled_at, ` +
		`deferred_at, metadata, outcome from procrastinate_fetch_jobs($1::bigint, $2::integer, $3::integer)`
	exchangeSQL = `select id, task_name, queue_name, args, priority, lock, attempt, max_attempts, timeout, scheduled_at, ` +
		`deferred_at, metadata, outcome from procrastinate_exchange_jobs($1::bigint, $2::bigint[], $3::jsonb[], $4::integer, $5::integer)`
)

func claimRows() *pgxmock.Rows {
	return pgxmock.NewRows(strings.Split("id task queue args priority lock attempt max_attempts timeout scheduled_at deferred_at metadata outcome", " "))
}

func ptr[T any](value T) *T { return &value }

func fullRow(rows *pgxmock.Rows) *pgxmock.Rows {
	return rows.AddRow(int64(7), ptr("sum"), ptr("default"), []byte(`{"a": 3}`), ptr(int32(5)), ptr("l"), ptr(int32(2)), ptr(int32(4)),
		pgtype.Interval{Microseconds: 1_500_000, Valid: true},
		pgtype.Timestamptz{Time: time.Unix(100, 0), Valid: true}, pgtype.Timestamptz{Time: time.Unix(50, 0), Valid: true},
		[]byte(`{"x": 1}`), nil)
}

func fullJob() *Job {
	return &Job{
		ID: 7, Task: "sum", Queue: "default", Args: json.RawMessage(`{"a": 3}`), Priority: 5, Lock: ptr("l"), Attempt: 2,
		MaxAttempts: ptr(int32(4)), Timeout: 1500 * time.Millisecond,
		ScheduledAt: time.Unix(100, 0), DeferredAt: time.Unix(50, 0), Metadata: json.RawMessage(`{"x": 1}`),
	}
}

func TestFetch(t *testing.T) {
	mock := newMock(t)
	mock.ExpectQuery(fetchSQL).WithArgs(int64(3), 10, 2).WillReturnRows(fullRow(claimRows()))
	got, err := newQueue(mock, "").fetch(t.Context(), 3, 10, 2)
	if want := []*Job{fullJob()}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestExchangeTellsJobsFromOutcomes(t *testing.T) {
	mock := newMock(t)
	ids, results := []int64{1, 2}, []*string{nil, ptr("8")}
	mock.ExpectQuery(exchangeSQL).WithArgs(int64(3), ids, results, 10, 1).WillReturnRows(fullRow(claimRows().
		AddRow(int64(2), nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, ptr("busy"))))
	jobs, outcomes, err := newQueue(mock, "").exchange(t.Context(), 3, ids, results, 10, 1)
	if err != nil || !reflect.DeepEqual(jobs, []*Job{fullJob()}) || !reflect.DeepEqual(outcomes, []outcome{{2, "busy"}}) {
		t.Errorf("got %+v, %+v, %v", jobs, outcomes, err)
	}
}

func TestFetchSaysReadCommittedWhereTheDefaultIsAnother(t *testing.T) {
	mock := newMock(t)
	refused := &pgconn.PgError{Code: "PJ009"}
	mock.ExpectQuery(fetchSQL).WithArgs(int64(3), 1, 1).WillReturnError(refused)
	for range 2 {
		mock.ExpectBeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		mock.ExpectQuery(fetchSQL).WithArgs(int64(3), 1, 1).WillReturnRows(claimRows())
		mock.ExpectCommit()
		mock.ExpectRollback()
	}
	q := newQueue(mock, "")
	for range 2 {
		if _, err := q.fetch(t.Context(), 3, 1, 1); err != nil {
			t.Error(err)
		}
	}
}

func TestOtherCalls(t *testing.T) {
	outcomes := func() *pgxmock.Rows { return pgxmock.NewRows([]string{"id", "what"}).AddRow(int64(2), "lost") }
	wait := 90 * time.Second
	const schema = `"we""ird".`
	tests := []struct {
		name, sql string
		args      []any
		rows      *pgxmock.Rows
		call      func(context.Context, *queue) (any, error)
		want      any
	}{
		{
			"register", `select ` + schema + `procrastinate_register_worker($1::text, $2::text[], $3::text[], $4::interval, $5::jsonb)`,
			[]any{"me", []string(nil), []string{"sum"}, 30 * time.Second, `{"pid":1}`},
			pgxmock.NewRows([]string{"id"}).AddRow(int64(4)),
			func(ctx context.Context, q *queue) (any, error) {
				return q.register(ctx, Config{Name: "me", StalledAfter: 30 * time.Second}, []string{"sum"}, map[string]any{"pid": 1})
			}, int64(4),
		},
		{
			"finish", `select job_id, outcome from ` + schema + `procrastinate_finish_jobs($1::bigint, $2::bigint[], $3::jsonb[])`,
			[]any{int64(3), []int64{1, 2}, []*string{nil, nil}}, outcomes(),
			func(ctx context.Context, q *queue) (any, error) {
				return q.finish(ctx, 3, []int64{1, 2}, []*string{nil, nil})
			},
			[]outcome{{2, "lost"}},
		},
		{
			"fail", `select job_id, status::text from ` + schema +
				`procrastinate_fail_jobs($1::bigint, $2::bigint[], $3::text[], $4::interval[], $5::boolean[])`,
			[]any{int64(3), []int64{1, 2}, []string{"a", "b"}, []*time.Duration{nil, &wait}, []bool{true, false}}, outcomes(),
			func(ctx context.Context, q *queue) (any, error) {
				return q.fail(ctx, 3, []failure{{1, "a", nil, true}, {2, "b", &wait, false}})
			}, []outcome{{2, "lost"}},
		},
		{
			"snooze", `select ` + schema + `procrastinate_snooze_job($1::bigint, $2::bigint, $3::interval)::text`,
			[]any{int64(3), int64(1), wait}, pgxmock.NewRows([]string{"s"}).AddRow("todo"),
			func(ctx context.Context, q *queue) (any, error) { return q.snooze(ctx, 3, 1, wait) }, "todo",
		},
		{
			"abort", `select ` + schema + `procrastinate_abort_job($1::bigint, $2::bigint, $3::text)::text`,
			[]any{int64(3), int64(1), "why"}, pgxmock.NewRows([]string{"s"}).AddRow("aborted"),
			func(ctx context.Context, q *queue) (any, error) { return q.abort(ctx, 3, 1, "why") }, "aborted",
		},
		{
			"return", `select job_id, outcome from ` + schema + `procrastinate_return_jobs($1::bigint, $2::bigint[])`,
			[]any{int64(3), []int64{1}}, outcomes(),
			func(ctx context.Context, q *queue) (any, error) { return q.giveBack(ctx, 3, []int64{1}) }, []outcome{{2, "lost"}},
		},
		{
			"keep", `select job_id, outcome from ` + schema + `procrastinate_keep_jobs($1::bigint, $2::bigint[])`,
			[]any{int64(3), []int64{1}}, outcomes(),
			func(ctx context.Context, q *queue) (any, error) { return q.keep(ctx, 3, []int64{1}) }, []outcome{{2, "lost"}},
		},
		{
			"beat", `select * from ` + schema + `procrastinate_beat($1::bigint)`,
			[]any{int64(3)}, pgxmock.NewRows([]string{"id"}).AddRow(int64(9)),
			func(ctx context.Context, q *queue) (any, error) { return q.beat(ctx, 3) }, []int64{9},
		},
		{
			"tick", `select ` + schema + `procrastinate_tick($1::bigint)`,
			[]any{(*int64)(nil)}, pgxmock.NewRows([]string{"t"}).AddRow(time.Second),
			func(ctx context.Context, q *queue) (any, error) { return q.tick(ctx, nil) }, time.Second,
		},
		{
			"unregister", `select ` + schema + `procrastinate_unregister_worker($1::bigint)`,
			[]any{int64(3)}, pgxmock.NewRows([]string{"u"}).AddRow(nil),
			func(ctx context.Context, q *queue) (any, error) { return nil, q.unregister(ctx, 3) }, nil,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mock := newMock(t)
			mock.ExpectQuery(test.sql).WithArgs(test.args...).WillReturnRows(test.rows)
			got, err := test.call(t.Context(), newQueue(mock, `we"ird`))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
			mock.ExpectQuery(test.sql).WithArgs(test.args...).WillReturnError(&pgconn.PgError{Code: "PJ003"})
			if _, err := test.call(t.Context(), newQueue(mock, `we"ird`)); !errors.Is(err, ErrNotRegistered) {
				t.Errorf("got %v, want ErrNotRegistered", err)
			}
		})
	}
}

func TestMissingSchemaIsErrSchema(t *testing.T) {
	for _, code := range []string{"3F000", "42883", "42P01", "PJ010"} {
		refused := &pgconn.PgError{Code: code}
		err := checkSchema(t, "nope", func(q *pgxmock.ExpectedQuery) { q.WillReturnError(refused) })
		if !errors.Is(err, ErrSchema) || !errors.Is(err, refused) {
			t.Errorf("%s: got %v, want ErrSchema with what the database said", code, err)
		}
	}
}

func TestWrongSchemaSaysWhatToRun(t *testing.T) {
	missing := func(q *pgxmock.ExpectedQuery) { q.WillReturnError(&pgconn.PgError{Code: "3F000"}) }
	of := func(version string) func(*pgxmock.ExpectedQuery) {
		return func(q *pgxmock.ExpectedQuery) { q.WillReturnRows(pgxmock.NewRows([]string{"v"}).AddRow(version)) }
	}
	tests := []struct {
		schema string
		answer func(*pgxmock.ExpectedQuery)
		want   string
	}{
		{"nope", missing, `schema "nope" is not installed; run "procrastinate migrate --schema nope"`},
		{"it's", missing, `schema "it's" is not installed; run "procrastinate migrate --schema 'it'\''s'"`},
		{"", missing, `nothing is installed in search_path (name the schema if it is in another); run "procrastinate migrate"`},
		{"s", of("0.0.9"), `the functions are of version 0.0.9, this program of ` + Version + `; run "procrastinate migrate --schema s"`},
		{"s", of("99.0.0"), `schema does not fit this program: the functions are of version 99.0.0, newer than this program's ` + Version + `: update the program`},
		{"", of(""), `the functions are of version unknown, this program of ` + Version + `; run "procrastinate migrate"`},
	}
	for _, test := range tests {
		err := checkSchema(t, test.schema, test.answer)
		if fmt.Sprint(err) != test.want || !errors.Is(err, ErrSchema) {
			t.Errorf("got %v, want ErrSchema as %s", err, test.want)
		}
	}
	if err := checkSchema(t, "s", of(Version)); err != nil {
		t.Errorf("the right version: %v", err)
	}
}

func TestForbiddenSchemaSaysWhatToGrant(t *testing.T) {
	err := checkSchema(t, "s", func(q *pgxmock.ExpectedQuery) { q.WillReturnError(&pgconn.PgError{Code: "42501"}) })
	if err == nil || errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "execute on its functions") {
		t.Errorf("got %v, want what to grant", err)
	}
}

// checkSchema is what CheckSchema finds when the database answers so.
func checkSchema(t *testing.T, schema string, answer func(*pgxmock.ExpectedQuery)) error {
	t.Helper()
	mock := newMock(t)
	answer(mock.ExpectQuery(`select coalesce(` + prefixOf(schema) + `procrastinate_version(), '')`))
	return CheckSchema(t.Context(), mock, schema)
}

func TestSpanOf(t *testing.T) {
	tests := []struct {
		name string
		in   pgtype.Interval
		want time.Duration
	}{
		{"NULL is none", pgtype.Interval{}, 0},
		{"parts add up", pgtype.Interval{Months: 1, Days: 2, Microseconds: 3, Valid: true}, 32*24*time.Hour + 3*time.Microsecond},
		{"days that microseconds take back", pgtype.Interval{Days: 1, Microseconds: -3_600_000_000, Valid: true}, 23 * time.Hour},
		{"never over a year", pgtype.Interval{Months: 1 << 30, Microseconds: 1 << 62, Valid: true}, maxWait},
		{"never below zero", pgtype.Interval{Days: -1, Valid: true}, 0},
	}
	for _, test := range tests {
		if got := spanOf(test.in); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestChannelName(t *testing.T) {
	// 23 bytes of prefix leave 40: 20 letters of two bytes, and one byte less leaves 19.
	for queue, letters := range map[string]int{strings.Repeat("é", 100): 20, "." + strings.Repeat("é", 100): 19} {
		got := channelName(queue)
		if strings.Count(got, "é") != letters || !utf8.ValidString(got) {
			t.Errorf("got %q, want %d letters", got, letters)
		}
	}
	if got, want := channels([]string{"a", "b"}), []string{"procrastinate_queue_v1#a", "procrastinate_queue_v1#b"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := channels(nil), []string{"procrastinate_any_queue_v1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
