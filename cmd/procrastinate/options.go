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

// options is what the environment fills and the flags override.
type options struct {
	databaseFlag string
	faults       error  // of the variables and flags
	DatabaseURL  string `env:"DATABASE_URL"`
	Worker       worker.Config
	Own          ownOptions
}

// ownOptions are those of the command, beside the library's.
type ownOptions struct {
	Handlers  []string `env:"HANDLERS" envSeparator:"\n"`
	Listen    bool     `env:"LISTEN"`
	LogFormat string   `env:"LOG_FORMAT"`
	LogLevel  string   `env:"LOG_LEVEL"`
}

// readEnv leaves what is wrong to faults: printing the help or the version does not need it.
func readEnv(environ []string) *options {
	options := &options{
		Worker: worker.Config{Concurrency: 10},
		Own:    ownOptions{Listen: true, LogFormat: "text", LogLevel: "info"},
	}
	values := env.ToMap(environ)
	options.DatabaseURL = values["DATABASE_URL"]
	options.faults = errors.Join(
		fill(&options.Worker, values),
		fill(&options.Own, values),
	)
	if queues, given := values[prefix+"QUEUES"]; given && queues == "" {
		options.Worker.Queues = []string{""} // env takes it for not given
	}
	return options
}

// url is the flag's, else the environment's; empty leaves it to PGHOST and the like.
func (o *options) url() string {
	if o.databaseFlag != "" {
		return o.databaseFlag
	}
	return o.DatabaseURL
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
