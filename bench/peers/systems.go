package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A system is what is measured, through its adapter. The README has the protocol.
type system struct {
	name string
	key  string // in names of databases
	left string // whether jobs are left that are not yet stored as done
}

var (
	ours = system{"ours", "ours", `select exists(select from procrastinate_jobs where status in ('todo', 'doing'))`}

	graphile = system{"graphile-worker", "graphile", `select exists(select from graphile_worker._private_jobs)`}
	river    = system{"River", "river", `select exists(select from river_job where state <> 'completed')`}
	pgboss   = system{"pg-boss", "pgboss", `select exists(select from pgboss.job where state < 'completed')`}

	systems = []system{ours, graphile, river, pgboss}
)

// command starts the adapter: ours is this program.
func (s system) command() ([]string, error) {
	if s.key == ours.key {
		program, err := os.Executable()
		return []string{program, oursArg}, err
	}
	program, err := filepath.Abs(filepath.Join("bench", "peers", strings.ToLower(s.name), "run"))
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
