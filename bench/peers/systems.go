package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A system is what is measured, through its adapter. The README has the protocol.
type system struct {
	name    string
	key     string // in names of databases
	program string // its adapter, below bench/peers; ours is this program
	left    string // whether jobs are left, with greater ids than $1, that are not yet stored as done
}

var (
	ours = system{name: "ours", key: "ours",
		left: `select exists(select from procrastinate_jobs where id > $1 and status in ('todo', 'doing'))`}
	graphile = system{name: "graphile-worker", key: "graphile", program: "graphile-worker/run",
		left: `select exists(select from graphile_worker._private_jobs)`}
	river = system{name: "River", key: "river", program: "river/bin/river",
		left: `select exists(select from river_job where state <> 'completed')`}
	pgboss = system{name: "pg-boss", key: "pgboss", program: "pg-boss/run",
		left: `select exists(select from pgboss.job where state < 'completed')`}

	systems = []system{ours, graphile, river, pgboss}
)

// command starts the adapter.
func (s system) command() ([]string, error) {
	if s == ours {
		program, err := os.Executable()
		return []string{program, oursArg}, err
	}
	program, err := filepath.Abs(filepath.Join("bench", "peers", s.program))
	return []string{program}, err
}

// systemsFor reads BENCH_SYSTEMS: beginnings of names, separated by commas. It is empty for all.
func systemsFor(wanted string) ([]system, error) {
	if wanted == "" {
		return systems, nil
	}
	var result []system
	for name := range strings.SplitSeq(wanted, ",") {
		found := false
		for _, s := range systems {
			if name != "" && strings.HasPrefix(strings.ToLower(s.name), strings.ToLower(name)) {
				result = append(result, s)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("BENCH_SYSTEMS: no system is called %q", name)
		}
	}
	return result, nil
}
