package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Config says how a Worker works. The zero value is a good worker on all queues.
type Config struct {
	// Name is what people see in the database. Zero means host name and process id.
	Name string `env:"NAME"`

	// Schema holds the tables and functions. Zero means whatever search_path finds.
	Schema string `env:"SCHEMA"`

	// Queues are the queues to fetch from. Zero means all.
	Queues []string `env:"QUEUES"`

	// Concurrency is how many handlers run at once. Zero means 100, which suits handlers in Go. While handlers take less
	// than 20 ms the worker also holds what they get through in that time, at most 2,000 jobs or Concurrency and up to 1,000
	// whose end is being stored, so that they need not wait for the database; a job that found no handler free for a second is given back.
	Concurrency int `env:"CONCURRENCY"`

	// TaskConcurrency is how many handlers of a task run at once, in slots of their own beside Concurrency: {"resize": 2}. The
	// worker registers once more for each, so that a backlog of that task keeps no other from being fetched.
	TaskConcurrency map[string]int `env:"TASK_CONCURRENCY" envKeyValSeparator:"="`

	// MaxPerLock is how many jobs of one lock one fetch may bring; they run one after the other.
	// More than one is faster on a hot lock, and keeps its jobs from other workers meanwhile, however long they take. Zero means 1.
	MaxPerLock int `env:"MAX_PER_LOCK"`

	// PollInterval is how long an idle worker sleeps when no notification comes. Zero means 5s.
	PollInterval time.Duration `env:"POLL_INTERVAL"`

	// DisableListen leaves it at polling: for poolers that do not carry notifications. A scheduled job starts at its time all the
	// same, unless it was deferred less than a second before.
	DisableListen bool `env:"-"`

	// ListenConfig, made by pgx.ParseConfig, is for the connection to listen on: a direct one, where the pool goes
	// through a pooler. Nil takes a connection out of the pool.
	ListenConfig *pgx.ConnConfig `env:"-"`

	// BeatInterval is how often the worker proves that it lives. Zero means 10s.
	BeatInterval time.Duration `env:"BEAT_INTERVAL"`

	// StalledAfter is how long the worker may be silent before its jobs are given to others. Zero means 30s.
	StalledAfter time.Duration `env:"STALLED_AFTER"`

	// GracefulTimeout is how long a stopping worker waits for its handlers before it cancels them, and then
	// how long it tries to deliver what they returned (5s at least). Zero means 30s.
	GracefulTimeout time.Duration `env:"GRACEFUL_TIMEOUT"`

	// StuckAfter is how long a cancelled handler may take to return before it counts as stuck. Zero means 15s.
	StuckAfter time.Duration `env:"STUCK_AFTER"`

	// Schedules are defined when the worker starts, each in place of an earlier one of its name. Those of other names stay, as
	// does one that was taken out here, until procrastinate_drop_schedule.
	Schedules []Schedule `env:"-"`

	// OneShot makes Run return when nothing is runnable any more.
	OneShot bool `env:"ONE_SHOT"`

	// OnEvent is told of each fetch, start and end of a job, for metrics. It is never called twice at once, and holds up the worker
	// until it returns, so it must be quick. Nil tells nobody.
	OnEvent func(Event) `env:"-"`

	// Logger receives what the worker has to say. Nil logs nothing.
	Logger *slog.Logger `env:"-"`
}

const (
	maxConcurrency = 10_000
	maxNameLength  = 128
)

// withDefaults returns the config with its zero values filled in.
func (c Config) withDefaults() Config {
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		c.Name = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	defaultTo(&c.Concurrency, 100)
	defaultTo(&c.MaxPerLock, 1)
	defaultTo(&c.PollInterval, 5*time.Second)
	defaultTo(&c.BeatInterval, 10*time.Second)
	defaultTo(&c.StalledAfter, 30*time.Second)
	defaultTo(&c.GracefulTimeout, 30*time.Second)
	defaultTo(&c.StuckAfter, 15*time.Second)
	return c
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every fault at once, with the defaults in place of zero values.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Concurrency >= 1 && c.Concurrency <= maxConcurrency,
		"concurrency %d is not between 1 and %d", c.Concurrency, maxConcurrency)
	for _, task := range slices.Sorted(maps.Keys(c.TaskConcurrency)) {
		limit := c.TaskConcurrency[task]
		check(validName(task), "task %q is empty, too long or not text", task)
		check(limit >= 1 && limit <= maxConcurrency, "concurrency %d of task %q is not between 1 and %d", limit, task, maxConcurrency)
	}
	check(c.MaxPerLock >= 1, "max per lock %d is below 1", c.MaxPerLock)
	for _, span := range []struct {
		name  string
		value time.Duration
	}{
		{"poll interval", c.PollInterval},
		{"beat interval", c.BeatInterval},
		{"stalled after", c.StalledAfter},
		{"graceful timeout", c.GracefulTimeout},
		{"stuck after", c.StuckAfter},
	} {
		check(span.value > 0, "%s %s is not positive", span.name, span.value)
	}
	check(c.BeatInterval < trusted(c.StalledAfter),
		"beat interval %s is not below three quarters of stalled after %s", c.BeatInterval, c.StalledAfter)
	for _, queue := range c.Queues {
		check(validName(queue), "queue %q is empty, too long or not text", queue)
	}
	faults = append(faults, scheduleFaults(c.Schedules)...)
	check(validName(c.Name), "name %q is too long or not text", c.Name)
	return errors.Join(faults...)
}

// CheckTask says what is wrong with the name of a task, if anything is.
func CheckTask(task string) error {
	if !validName(task) {
		return fmt.Errorf("task %q is empty, too long or not text", task)
	}
	return nil
}

// validName says whether the database takes the text as a name: up to 128 characters, no NUL.
func validName(name string) bool {
	return name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxNameLength && cleanText(name) == name
}

// trusted is how long after its last successful beat a worker may still believe that its jobs are its own.
func trusted(stalledAfter time.Duration) time.Duration {
	return stalledAfter / 4 * 3
}
