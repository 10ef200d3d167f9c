# Every target works in a fresh clone on a machine that has Go and apt only.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# On a server of the user's, tests keep to a schema of their own.
ifndef SCHEMA
ifdef DATABASE_URL
SCHEMA := procrastinate_test_$(shell echo $$PPID)
else
SCHEMA := public
endif
endif
export SCHEMA

# go run outside git, or in a folder of another user's, cannot ask git.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# Go turns cgo off where there is no C compiler, which the race detector needs.
RACE = $(shell go env CGO_ENABLED | sed -n 's/^1$$/-race/p')

.DEFAULT_GOAL := help
.PHONY: help demo test test-sql test-go check docs lint build extension install-extension bench bench-quick bench-engine bench-clock bench-deps deps clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 26
	@echo
	@echo 'Tests and demo start a throw-away PostgreSQL. With DATABASE_URL set they use that server,'
	@echo 'in schemas of their own that are dropped at the end (procrastinate_test_N, _demo_N).'
	@echo 'make test SCHEMA=q installs everything in schema q (default without DATABASE_URL: public).'

demo: ## Watch real jobs: programs, a trigger and a rollback, a server, an SQL function, a schedule, a worker killed
	@echo '==> build bin/procrastinate, and install PostgreSQL if it is missing'
	@$(MAKE) build
	@scripts/install-deps server
	@scripts/demo

# The targets inside find DATABASE_URL set, and start no cluster of their own.
test: build deps ## Run all tests: pgTAP, then Go unit and integration tests
	@scripts/with-postgres bash -c '$(MAKE) test-sql && $(MAKE) test-go'

test-sql: build deps ## Run the pgTAP tests only
	@scripts/with-postgres scripts/test-sql "$$SCHEMA"

test-go: deps ## Run the Go tests only
	@scripts/with-postgres go test $(RACE) -count=1 -timeout 8m -tags integration ./...

check: lint ## Run what CI runs: lint, then test
	@$(MAKE) test

docs: ## Write docs/sql.md, the SQL reference; make test fails when it is stale
	@scripts/install-deps server
	@scripts/with-postgres go run ./internal/sqldoc .

lint: ## Run gofmt, go vet and staticcheck
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	@go vet ./...
	@go vet -tags integration ./...
	@go run $(STATICCHECK) ./...
	@go run $(STATICCHECK) -tags integration ./...

# On throw-away servers always: a server of the user's has other settings, and other work.
bench: bench-deps ## Measure our worker beside River, graphile-worker and pg-boss (25 min)
	@env -u DATABASE_URL scripts/install-deps server
	@go run ./bench/peers

bench-quick: bench-deps ## The most of it in a minute
	@env -u DATABASE_URL scripts/install-deps server
	@BENCH_QUICK=1 go run ./bench/peers

bench-engine: ## Measure the SQL functions against two prototypes (20 min; BENCH_QUICK=1: a smoke test)
	@env -u DATABASE_URL scripts/install-deps server
	@go run ./bench/engine

bench-clock: ## Measure schedules, retention and wake-ups (15 min; BENCH_QUICK=1: a smoke test)
	@env -u DATABASE_URL scripts/install-deps server
	@go run ./bench/clock

bench-deps: ## Fetch and build the queues that bench/peers measures ours against
	@scripts/bench-deps

build: ## Build bin/procrastinate
	@go build -o bin/procrastinate ./cmd/procrastinate

extension: ## Build the files of the PostgreSQL extension in build/extension
	@rm -rf build/extension
	@go run ./internal/extension build/extension

install-extension: extension ## Put them where PostgreSQL looks for extensions (PG_CONFIG=…: for which one)
	@scripts/install-deps server
	@scripts/install-extension build/extension

deps: ## Install what is missing of PostgreSQL, pgTAP, pg_prove, plpgsql_check and PgBouncer
	@scripts/install-deps

clean: ## Remove what was built
	@rm -rf bin build
