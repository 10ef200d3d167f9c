package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// options are what every command has: from the environment, overridden by the flags. The variables of one command are
// read by it alone: what is wrong with them must not stop another.
type options struct {
	databaseFlag  string
	databaseURL   string
	schema        string
	pooler        bool
	json          bool
	databaseGiven bool  // by the flag
	schemaGiven   bool  // by the flag or the variable
	faults        error // of the variables
}

// workerOptions are those of the command worker: the library's and its own.
type workerOptions struct {
	config  worker.Config
	own     ownOptions
	http    httpOptions
	environ []string
	faults  error
}

type ownOptions struct {
	Handlers    []string `env:"HANDLERS" envSeparator:"\n"`
	HandlerFile string   `env:"HANDLER_FILE"`
	Listen      bool     `env:"LISTEN"`
	ListenURL   string   `env:"LISTEN_URL"`
	LogFormat   string   `env:"LOG_FORMAT"`
	LogLevel    string   `env:"LOG_LEVEL"`
}

// readEnv leaves what is wrong to faults: printing the help or the version does not need it.
func readEnv(environ []string) *options {
	values := env.ToMap(environ)
	var common struct {
		Pooler bool `env:"POOLER"`
	}
	o := &options{databaseURL: values["DATABASE_URL"], faults: fill(&common, values)}
	o.schema, o.schemaGiven = values[prefix+"SCHEMA"]
	o.pooler = common.Pooler
	return o
}

// wrong is what is wrong with them. An empty name is a shell's unset variable: to take it for none would find, or
// install, another schema or database than the one that was meant.
func (o *options) wrong() error {
	faults := []error{o.faults}
	if o.schemaGiven && strings.TrimSpace(o.schema) == "" {
		faults = append(faults, fmt.Errorf("empty schema name in --schema or %sSCHEMA", prefix))
	}
	if o.databaseGiven && strings.TrimSpace(o.databaseFlag) == "" {
		faults = append(faults, errors.New("empty --database-url"))
	}
	return errors.Join(faults...)
}

func readWorkerEnv(environ []string) *workerOptions {
	options := &workerOptions{
		environ: environ,
		config:  worker.Config{Concurrency: 10},
		own:     ownOptions{Listen: true, LogFormat: "text", LogLevel: "info"},
	}
	values := env.ToMap(environ)
	options.faults = errors.Join(
		fill(&options.config, values),
		fill(&options.own, values),
		fill(&options.http, values),
	)
	if queues, given := values[prefix+"QUEUES"]; given && queues == "" {
		options.config.Queues = []string{""} // env takes it for not given
	}
	return options
}

// handlers are those of the flags or the variable, and those of the file.
func (o ownOptions) handlers() ([]string, error) {
	if o.HandlerFile == "" {
		return o.Handlers, nil
	}
	content, err := os.ReadFile(o.HandlerFile)
	if err != nil {
		return o.Handlers, fmt.Errorf("read handlers: %w", err)
	}
	lines := slices.Clone(o.Handlers)
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// url is the flag's, else the environment's; empty leaves it to PGHOST and the like.
func (o *options) url() string {
	if o.databaseFlag != "" {
		return o.databaseFlag
	}
	return o.databaseURL
}

const applicationName = "procrastinate"

func (o *options) connConfig() (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(o.url())
	if err != nil {
		return nil, usageError{withoutPassword(o.url(), err)}
	}
	o.prepare(config)
	return config, nil
}

// listens says whether to listen, and on what if that is not a connection of the pool's.
func (o *workerOptions) listens(pooler bool) (bool, *pgx.ConnConfig, error) {
	if o.own.ListenURL == "" {
		return o.own.Listen && !pooler, nil, nil
	}
	config, err := pgx.ParseConfig(o.own.ListenURL)
	if err != nil {
		return false, nil, fmt.Errorf("--listen-url or %sLISTEN_URL: %w", prefix, withoutPassword(o.own.ListenURL, err))
	}
	nameConnection(config)
	limitConnect(config)
	return o.own.Listen, config, nil
}

// poolSize is enough for a worker's calls, however many handlers it has: those that are functions have a pool of their own.
const poolSize = 10

func (o *options) poolConfig() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(o.url())
	if err != nil {
		return nil, usageError{withoutPassword(o.url(), err)}
	}
	o.prepare(config.ConnConfig)
	if config.PingTimeout == 0 {
		config.PingTimeout = pingTimeout
	}
	if !strings.Contains(o.url(), "pool_max_conns") {
		config.MaxConns = poolSize
	}
	return config, nil
}

// prepare makes a connection fit for what lies between here and the server. A transaction pooler gives the next
// statement to another session, which knows nothing of a statement prepared before.
func (o *options) prepare(config *pgx.ConnConfig) {
	nameConnection(config)
	limitConnect(config)
	if o.pooler {
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
}

var otherScheme = regexp.MustCompile(`^[a-z0-9+.-]+://`)

// withoutPassword: what does not parse as a URL may have its password anywhere, also in the part that is at fault.
func withoutPassword(url string, err error) error {
	cause := errors.Unwrap(err)
	switch {
	case otherScheme.MatchString(url) && !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://"):
		return errors.New("cannot parse the database URL: it begins neither with postgres:// nor with postgresql://")
	case cause != nil && cause.Error() == "sslmode is invalid":
		return errors.New("sslmode of the database URL, or PGSSLMODE, is none of disable, allow, prefer, require, verify-ca and verify-full")
	}
	if strings.Contains(url, "password") || strings.Contains(url, "@") {
		return errors.New("cannot parse the database URL: want postgres://user:password@host:port/database, " +
			"with %40 for a @ in the password and so on")
	}
	return err
}

func nameConnection(config *pgx.ConnConfig) {
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = applicationName
	}
}

// An address that nobody answers at must be given up, and a connection that the network forgot. Without these pgx waits for
// the kernel, which takes minutes.
const (
	connectTimeout = 10 * time.Second
	pingTimeout    = 5 * time.Second
)

func limitConnect(config *pgx.ConnConfig) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
}

// nonEmpty drops empty items, as an environment variable with blank lines has.
func nonEmpty(items []string) []string {
	var kept []string
	for _, item := range items {
		if item = strings.TrimSpace(item); item != "" {
			kept = append(kept, item)
		}
	}
	return kept
}

func joinUsage(faults ...error) error {
	if err := errors.Join(faults...); err != nil {
		return usageError{err}
	}
	return nil
}
