package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/exec"
)

func workerCommand(options *options, mine *workerOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run jobs with the given handlers",
		Long: "Run jobs. A handler is a task and what runs its jobs:\n" +
			"  exec:PROGRAM ARG…  gets the job as JSON on stdin and as PROCRASTINATE_JOB_ID, _TASK, _ARGS (to 64 kB) …, no\n" +
			"                     secrets. Exit 0: done (stdout, if JSON, is the result), 75: again later, if attempts are\n" +
			"                     left, 65: failed for good.\n" +
			"  https://HOST/PATH  gets it by POST (http: too), signed with --http-secret-file or PROCRASTINATE_HTTP_SECRET.\n" +
			"                     2xx: done (JSON body: result), 429, 503 + Retry-After: later, other 4xx: failed for good.\n" +
			"  sql:FUNCTION       FUNCTION(args jsonb) in the transaction that finishes the job: its effects happen once.\n" +
			"Any other end fails the attempt; max_attempts of the job or its task says how many there are: one by default.\n" +
			"The first SIGTERM or SIGINT lets handlers finish, the second cancels them. Every flag has a variable, which it\n" +
			"overrides: PROCRASTINATE_POLL_INTERVAL and so on, _QUEUES (a,b) and _HANDLERS (one a line).",
		Example: "  procrastinate worker --handler 'resize=exec:/usr/bin/resize --fast' --queue images",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mine.faults = errors.Join(mine.faults, checkPositive(cmd.Flags()))
			return runWorker(cmd.Context(), options, mine, cmd.ErrOrStderr())
		},
	}
	config, own := &mine.config, &mine.own
	flags := cmd.Flags()
	flags.Var(&queueFlag{names: &config.Queues}, "queue", "queues to fetch from, repeatable (default: all)")
	flags.StringArrayVar(&own.Handlers, "handler", own.Handlers, "task=exec:…, task=https://… or task=sql:…, repeatable")
	flags.StringVar(&own.HandlerFile, "handler-file", own.HandlerFile, "file with handlers, one a line as for --handler; # begins a comment")
	flags.StringVar(&mine.http.SecretFile, "http-secret-file", mine.http.SecretFile, "file with secrets that sign HTTP requests, one a line")
	flags.IntVar(&config.Concurrency, "concurrency", config.Concurrency, "how many handlers run at once")
	flags.StringToIntVar(&config.TaskConcurrency, "task-concurrency", config.TaskConcurrency, "task=number: as many at once, beside --concurrency")
	flags.Lookup("task-concurrency").DefValue = "" // not shown
	flags.IntVar(&config.MaxPerLock, "max-per-lock", config.MaxPerLock, "how many jobs of one lock to fetch at once (default 1)")
	addDuration(flags, &config.PollInterval, "poll-interval", "how long to sleep when no notification comes (default 5s)")
	flags.BoolVar(&own.Listen, "listen", own.Listen, "wait for notifications on a connection of its own")
	flags.StringVar(&own.ListenURL, "listen-url", own.ListenURL, "direct connection to listen on, beside a --pooler")
	addDuration(flags, &config.BeatInterval, "beat-interval", "how often to prove that the worker lives (default 10s)")
	addDuration(flags, &config.StalledAfter, "stalled-after", "how long it may be silent before others get its jobs (default 30s)")
	addDuration(flags, &config.GracefulTimeout, "graceful-timeout", "how long to wait for handlers when stopping (default 30s)")
	flags.StringVar(&config.Name, "name", config.Name, "what people see in the database (default: host and process id)")
	flags.BoolVar(&config.OneShot, "one-shot", config.OneShot, "run what is runnable, then exit")
	flags.StringVar(&own.LogFormat, "log-format", own.LogFormat, "text or json, as with --json")
	flags.StringVar(&own.LogLevel, "log-level", own.LogLevel, "debug, info, warn or error")
	choices(cmd, "log-format", "text", "json")
	choices(cmd, "log-level", "debug", "info", "warn", "error")
	return cmd
}

func runWorker(ctx context.Context, options *options, mine *workerOptions, stderr io.Writer) error {
	config := mine.config
	config.Schema = options.schema
	listen, listenConfig, listenErr := mine.listens(options.pooler)
	config.DisableListen, config.ListenConfig = !listen, listenConfig
	queues, queuesErr := checkQueues(config.Queues)
	config.Queues = queues
	format := mine.own.LogFormat
	if options.json {
		format = "json"
	}
	logger, logErr := newLogger(stderr, format, mine.own.LogLevel)
	config.Logger = logger
	concurrency := config.Concurrency
	for _, more := range config.TaskConcurrency {
		concurrency += more
	}
	httpOptions, httpErr := mine.http.options(concurrency, logger)
	lines, fileErr := mine.own.handlers()
	handlers, handlersErr := parseHandlers(lines, exec.Options{Environ: mine.environ, Logger: logger}, httpOptions)
	if err := joinUsage(
		options.wrong(), mine.faults, listenErr, queuesErr, logErr, httpErr, fileErr, handlersErr, handlers.missing(config.TaskConcurrency), config.Validate(),
	); err != nil {
		return err
	}
	poolConfig, err := options.poolConfig()
	if err != nil {
		return err
	}
	if !strings.Contains(options.url(), "pool_max_conns") {
		poolConfig.MaxConns += int32(len(config.TaskConcurrency))
	}
	pool, err := pgxpool.NewWithConfig(ctx, quietPool(poolConfig))
	if err != nil {
		return fmt.Errorf("open pool: %w", err)
	}
	defer pool.Close()
	w, err := worker.New(pool, config)
	if err != nil {
		return usageError{err}
	}
	for task, handler := range handlers.byTask {
		w.Handle(task, handler)
	}
	ctx, cancel := withSignals(ctx, w.Abort)
	defer cancel()
	closePool, err := handlers.connect(ctx, poolConfig, concurrency)
	if err != nil {
		return err
	}
	defer closePool()
	return w.Run(ctx)
}

// quietPool is for a worker's own calls. While it is idle it says something every few seconds; to ask each time first whether the
// connection is still there would double that, and what fails because it is not is tried again. A handler's attempt is not, so the
// pool of those asks.
func quietPool(config *pgxpool.Config) *pgxpool.Config {
	config = config.Copy()
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > 15*time.Second }
	return config
}

// withSignals ends the context at the first SIGTERM or SIGINT and calls abort at the second; a third ends the
// process as if nobody cared. The returned function waits for its goroutine.
func withSignals(ctx context.Context, abort func()) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	over, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for _, act := range []func(){cancel, abort} {
			select {
			case <-signals:
				act()
			case <-over:
				return
			}
		}
		signal.Stop(signals)
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		<-stopped
		cancel()
	}
}

// newLogger makes a logger, and a silent one with an error for each part that is not known.
func newLogger(out io.Writer, format, level string) (*slog.Logger, error) {
	var parsed slog.Level
	var levelErr error
	if parsed.UnmarshalText([]byte(level)) != nil {
		levelErr = fmt.Errorf("log level %q is not debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: parsed}
	switch strings.ToLower(format) {
	case "text":
		return slog.New(slog.NewTextHandler(out, options)), levelErr
	case "json":
		return slog.New(slog.NewJSONHandler(out, options)), levelErr
	default:
		return slog.New(slog.DiscardHandler), errors.Join(levelErr, fmt.Errorf("log format %q is not text or json", format))
	}
}
