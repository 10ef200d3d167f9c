package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pashagolub/pgxmock/v3"
)

const defineSQL = `select procrastinate_define_schedule(schedule => $1::text, cron => $2::text, task => $3::text, args => $4::jsonb, ` +
	`timezone => $5::text, queue => $6::text, priority => $7::integer, lock => $8::text, queueing_lock => $9::text, ` +
	`catch_up => $10::text, max_lateness => $11::interval, pass_timestamp => $12::boolean)`

// nothing is what a schedule that says nothing of all that is optional passes.
func nothing(name, cron, task string) []any {
	var text *string
	var priority *int32
	var span *time.Duration
	return []any{name, cron, task, "{}", text, text, priority, text, text, text, span, false}
}

// declare has a worker define these schedules.
func declare(t *testing.T, mock pgxmock.PgxPoolIface, schedules ...Schedule) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // what the mock does not expect is tried again and again
	defer cancel()
	w := &Worker{config: Config{Schedules: schedules}.withDefaults(), queue: newQueue(mock, ""), abort: make(chan struct{})}
	return w.declareSchedules(ctx)
}

func nextRun() *pgxmock.Rows { return pgxmock.NewRows([]string{"next_at"}).AddRow(time.Unix(100, 0)) }

func TestSchedulesAreDefinedInOneTransactionByName(t *testing.T) {
	mock := newMock(t)
	mock.ExpectBeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	mock.ExpectQuery(defineSQL).WithArgs("nightly", "@daily", "report", `{"to":"a@b.c"}`, ptr("Europe/Berlin"), ptr("mail"), ptr(int32(5)),
		ptr("l"), ptr("q"), ptr("all"), ptr(time.Hour), true).WillReturnRows(nextRun())
	mock.ExpectQuery(defineSQL).WithArgs(nothing("sync", "* * * * *", "sync")...).WillReturnRows(nextRun())
	mock.ExpectCommit()
	mock.ExpectRollback()
	err := declare(t, mock, Schedule{Task: "sync", Cron: "* * * * *"}, Schedule{
		Name: "nightly", Task: "report", Cron: "@daily", Args: map[string]string{"to": "a@b.c"}, Timezone: "Europe/Berlin", Queue: "mail",
		Priority: 5, Lock: "l", QueueingLock: "q", CatchUp: "all", MaxLateness: time.Hour, PassTimestamp: true,
	})
	if err != nil {
		t.Error(err)
	}
}

func TestScheduleThatTheDatabaseRefusesIsNamed(t *testing.T) {
	for code, want := range map[string]error{"PJ006": ErrCron, "PJ001": ErrInvalid, "PJ008": ErrArgs} {
		mock := newMock(t)
		mock.ExpectBeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		mock.ExpectQuery(defineSQL).WithArgs(nothing("sync", "often", "sync")...).WillReturnError(&pgconn.PgError{Code: code})
		mock.ExpectRollback()
		mock.ExpectRollback() // by pgx, to be sure
		err := declare(t, mock, Schedule{Task: "sync", Cron: "often"})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), `define schedule "sync"`) {
			t.Errorf("got %v, want %v and the schedule's name", err, want)
		}
	}
}

func TestSchedulesWaitForTheDatabase(t *testing.T) {
	mock := newMock(t)
	mock.ExpectBeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted}).WillReturnError(errConnection)
	mock.ExpectBeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	mock.ExpectQuery(defineSQL).WithArgs(nothing("sync", "@daily", "sync")...).WillReturnRows(nextRun())
	mock.ExpectCommit()
	mock.ExpectRollback()
	if err := declare(t, mock, Schedule{Task: "sync", Cron: "@daily"}); err != nil {
		t.Error(err)
	}
}

func TestWithoutSchedulesNothingIsAsked(t *testing.T) {
	if err := declare(t, newMock(t)); err != nil {
		t.Error(err)
	}
}

func TestValidateReportsEveryFaultOfASchedule(t *testing.T) {
	err := Config{Schedules: []Schedule{
		{Task: "sync", Cron: "@daily"},
		{Name: "sync", Task: "other", Cron: "@daily"},
		{Name: "a\x00", Task: "report", Cron: "@daily"},
		{Name: "nightly", Cron: "@daily"},
		{Task: "idle"},
		{Task: "strange", Cron: "@daily", Args: make(chan int)},
		{Name: "another", Task: "sync", Cron: "@daily"},
	}}.Validate()
	for _, want := range []string{
		`schedule "sync": there are two of that name`, `schedule "a\x00": its name is too long or not text`,
		`schedule "nightly": task "" is empty`, `schedule "idle": it has no cron expression`, `schedule "strange": encode args: `,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 5 {
		t.Errorf("%d faults, want 5: %v", got, err)
	}
}
