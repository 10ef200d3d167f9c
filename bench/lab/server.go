// Package lab is what the benchmarks share: throw-away servers, and what a report says of where and when it was made.
package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// settings are those of a server that keeps what it is given. They come after those of scripts/with-postgres and win.
var settings = []string{
	"fsync = on",
	"full_page_writes = on",
	"synchronous_commit = on",
	"shared_buffers = 2GB",
	"max_wal_size = 16GB",
	"checkpoint_timeout = 30min",
	"autovacuum = on",
}

// A Server is a throw-away cluster. It ends with its standard input, so it does not outlive this program.
type Server struct {
	URL     string
	Pgbench string // the program; empty if it is missing
	cmd     *exec.Cmd
	stdin   io.Closer
}

// Start starts a server, from the root of the repository. More settings, "name = value", come after those of all benchmarks.
func Start(more ...string) (*Server, error) {
	cmd := exec.Command("scripts/with-postgres", "sh", "-c", `echo "$DATABASE_URL"; command -v pgbench || echo; cat`)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DATABASE_URL=") || strings.HasPrefix(v, "PG_SETTINGS=")
	})
	cmd.Env = append(cmd.Env, "PG_SETTINGS="+strings.Join(slices.Concat(settings, more), ";"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	s := &Server{cmd: cmd, stdin: stdin}
	lines := bufio.NewScanner(stdout)
	if lines.Scan() {
		s.URL = lines.Text()
	}
	if lines.Scan() {
		s.Pgbench = lines.Text()
	}
	if s.URL == "" {
		s.Stop()
		s.Wait()
		return nil, errors.New("start a server: it did not say where it is")
	}
	return s, nil
}

// Stop ends the server at once, connections or not.
func (s *Server) Stop() { _ = s.stdin.Close() }

// Wait returns when a stopped server is gone.
func (s *Server) Wait() { _ = s.cmd.Wait() } // with-postgres says itself what went wrong

// Database is the URL of another database of the server; with-postgres names postgres.
func (s *Server) Database(name string) string {
	return strings.Replace(s.URL, "@/postgres?", "@/"+name+"?", 1)
}

// Admin does something outside of all other databases: create one, drop one.
func (s *Server) Admin(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}
