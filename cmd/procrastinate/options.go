package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// options are what every command has: from the environment, overridden by the flags. The variables of one command are
// read by it alone: what is wrong with them must not stop another.
type options struct {
	databaseFlag string
	databaseURL  string
	schema       string
	json         bool
	faults       error // of the variables and flags
}

// workerOptions are those of the command worker: the library's and its own.
type workerOptions struct {
	config  worker.Config
	own     ownOptions
	environ []string
	faults  error
}

type ownOptions struct {
	Handlers  []string `env:"HANDLERS" envSeparator:"\n"`
	Listen    bool     `env:"LISTEN"`
	LogFormat string   `env:"LOG_FORMAT"`
	LogLevel  string   `env:"LOG_LEVEL"`
}

// readEnv leaves what is wrong to faults: printing the help or the version does not need it.
func readEnv(environ []string) *options {
	values := env.ToMap(environ)
	return &options{databaseURL: values["DATABASE_URL"], schema: values[prefix+"SCHEMA"]}
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
	)
	if queues, given := values[prefix+"QUEUES"]; given && queues == "" {
		options.config.Queues = []string{""} // env takes it for not given
	}
	return options
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
		return nil, usageError{err}
	}
	nameConnection(config)
	return config, nil
}

// poolSize is enough for a worker's calls, however many handlers it has: they do not use its connections.
const poolSize = 10

func (o *options) poolConfig() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(o.url())
	if err != nil {
		return nil, usageError{err}
	}
	nameConnection(config.ConnConfig)
	if !strings.Contains(o.url(), "pool_max_conns") {
		config.MaxConns = poolSize
	}
	return config, nil
}

func nameConnection(config *pgx.ConnConfig) {
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = applicationName
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
		return usageError{fmt.Errorf("wrong use:\n%w", err)}
	}
	return nil
}
