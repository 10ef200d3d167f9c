package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"
)

var (
	processed = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
	perSecond = regexp.MustCompile(`tps = ([0-9.]+) \(without initial connection time\)`)
)

// How long pgbench runs: so many calls of each client, or so many seconds.
func calls(n int) []string   { return []string{"-t", strconv.Itoa(max(n, 1))} }
func seconds(n int) []string { return []string{"-T", strconv.Itoa(n)} }

// patience is when a piece is cut short: under an open writer the prototypes need minutes for what is done in two seconds.
const patience = 8 * time.Second

// runBriefly is run, but no longer than patience.
func (p *place) runBriefly(ctx context.Context, c cell, clients int, length []string) (float64, error) {
	brief, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	took, err := p.run(brief, c, clients, length)
	if brief.Err() != nil && ctx.Err() == nil {
		return time.Since(began).Seconds(), nil
	}
	return took, err
}

// run lets the clients make their calls, and returns how many seconds that took.
func (p *place) run(ctx context.Context, c cell, clients int, length []string) (float64, error) {
	folder, err := os.MkdirTemp("", "procrastinate-bench.")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	script := filepath.Join(folder, "script.sql")
	if err := os.WriteFile(script, []byte(p.system.scripts[c.script]+"\n"), 0o644); err != nil {
		return 0, err
	}
	batch := c.fill
	if batch == "" {
		batch = "plain"
	}
	args := slices.Concat(length, []string{
		"-n", "-M", "prepared", "-f", script, "-c", strconv.Itoa(clients), "-j", strconv.Itoa(clients),
		"-D", "n=" + strconv.Itoa(c.batch), "-D", "per_lock=" + strconv.Itoa(c.perLock), "-D", "ids={}",
		"-D", "batch=" + batch, "-D", "row=0", "-D", "rows=" + strconv.Itoa(rowsOf(batch)), p.url})
	cmd := exec.CommandContext(ctx, p.pgbench, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	cmd.Env = append(os.Environ(), "PGOPTIONS=-c statement_timeout=120s")
	output, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w\n%s", err, output)
	}
	n, tps := processed.FindSubmatch(output), perSecond.FindSubmatch(output)
	if n == nil || tps == nil {
		return 0, fmt.Errorf("pgbench said something else than expected:\n%s", output)
	}
	count, err := strconv.ParseFloat(string(n[1]), 64)
	if err != nil {
		return 0, err
	}
	rate, err := strconv.ParseFloat(string(tps[1]), 64)
	if err != nil {
		return 0, err
	}
	return count / rate, nil
}
