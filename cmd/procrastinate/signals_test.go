//go:build integration

package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

// process is a worker in a process of its own, which has started a job.
type process struct {
	t      *testing.T
	conn   *pgx.Conn
	folder string // where its handler runs
	cmd    *exec.Cmd
	lines  chan string // of its log
	ended  chan error
}

// work starts a worker whose handler is a shell script, and waits until it runs the one job.
func work(t *testing.T, program, script string) *process {
	t.Helper()
	schema := testdb.Installed(t)
	p := &process{t: t, conn: testdb.Connect(t, schema), folder: t.TempDir(), lines: make(chan string, 1000), ended: make(chan error, 1)}
	p.deferJob()
	p.cmd = exec.CommandContext(t.Context(), program, "worker", "--schema", schema, "--poll-interval", "10ms", "--graceful-timeout", "1h", "--handler", "job=exec:sh -c '"+script+"'")
	p.cmd.Dir = p.folder
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
		close(p.lines)
		p.ended <- p.cmd.Wait()
	}()
	p.waitFile("started")
	return p
}

func (p *process) deferJob() {
	p.t.Helper()
	if _, err := p.conn.Exec(p.t.Context(), `select procrastinate_defer('job')`); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) signal(signal os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}

// stop sends the first signal, and waits until it was taken note of.
func (p *process) stop(signal os.Signal) {
	p.t.Helper()
	p.signal(signal)
	for line := range p.lines {
		if strings.Contains(line, "worker stopping") {
			return
		}
	}
	p.t.Fatal("the worker ended")
}

func (p *process) waitFile(name string) {
	p.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-ticker.C {
		if _, err := os.Stat(filepath.Join(p.folder, name)); err == nil {
			return
		}
	}
	p.t.Fatalf("no file %s", name)
}

func (p *process) wantJobs(want string) {
	p.t.Helper()
	var got string
	err := p.conn.QueryRow(p.t.Context(), `select string_agg(concat(j.status, ' ', j.attempts), ', ' order by j.id) from procrastinate_jobs j`).Scan(&got)
	if err != nil || got != want {
		p.t.Errorf("jobs: got %q, %v, want %q", got, err, want)
	}
}

func TestSignalsOfAProcess(t *testing.T) {
	program := filepath.Join(t.TempDir(), "procrastinate")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run("the first lets handlers finish/"+signal.String(), func(t *testing.T) {
			t.Parallel()
			p := work(t, program, `touch started; until test -e release; do sleep 0.01; done`)
			p.stop(signal)
			p.deferJob()
			if err := os.WriteFile(filepath.Join(p.folder, "release"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := <-p.ended; err != nil {
				t.Errorf("ended with %v, want 0", err)
			}
			p.wantJobs("succeeded 1, todo 0")
		})
		t.Run("the second cancels them/"+signal.String(), func(t *testing.T) {
			t.Parallel()
			p := work(t, program, `trap "touch terminated; exit 1" TERM; touch started; sleep 60 & wait`)
			p.stop(signal)
			p.signal(signal)
			if err := <-p.ended; err != nil {
				t.Errorf("ended with %v, want 0", err)
			}
			p.waitFile("terminated")
			p.wantJobs("todo 0")
		})
		t.Run("the third ends it/"+signal.String(), func(t *testing.T) {
			t.Parallel()
			p := work(t, program, `trap "touch terminated" TERM; touch started; while :; do sleep 0.05; done`)
			p.stop(signal)
			p.signal(signal)
			p.waitFile("terminated")
			// just now the second may still be the last that is caught
			ticker := time.NewTicker(20 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					_ = p.cmd.Process.Signal(signal)
					continue
				case err := <-p.ended:
					exit := new(exec.ExitError)
					if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != signal {
						t.Errorf("ended with %v, want %v", err, signal)
					}
				}
				break
			}
			p.wantJobs("doing 0")
		})
	}
	t.Run("a handler that ignores its end is killed", func(t *testing.T) {
		t.Parallel()
		p := work(t, program, `trap "" TERM; touch started; sleep 60`)
		p.stop(syscall.SIGTERM)
		p.signal(syscall.SIGTERM)
		if err := <-p.ended; err != nil {
			t.Errorf("ended with %v, want 0", err)
		}
		p.wantJobs("todo 0")
	})
}
