package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
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

// A server is a throw-away cluster. It ends with its standard input, so it does not outlive this program.
type server struct {
	url     string
	pgbench string
	cmd     *exec.Cmd
	stdin   io.Closer
}

func startServer() (*server, error) {
	cmd := exec.Command("scripts/with-postgres", "sh", "-c", `echo "$DATABASE_URL"; command -v pgbench || echo; cat`)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "DATABASE_URL=") || strings.HasPrefix(v, "PG_SETTINGS=")
	})
	cmd.Env = append(cmd.Env, "PG_SETTINGS="+strings.Join(settings, ";"))
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
	s := &server{cmd: cmd, stdin: stdin}
	lines := bufio.NewScanner(stdout)
	if lines.Scan() {
		s.url = lines.Text()
	}
	if lines.Scan() {
		s.pgbench = lines.Text()
	}
	switch {
	case s.url == "":
		err = errors.New("start a server: it did not say where it is")
	case s.pgbench == "":
		err = errors.New("pgbench is missing: it comes with the server, or with its contrib package")
	}
	if err != nil {
		s.stop()
		s.wait()
		return nil, err
	}
	return s, nil
}

// stop ends the server at once, connections or not.
func (s *server) stop() { _ = s.stdin.Close() }

func (s *server) wait() { _ = s.cmd.Wait() } // with-postgres says itself what went wrong

// database is the URL of another database of the server; with-postgres names postgres.
func (s *server) database(name string) string {
	return strings.Replace(s.url, "@/postgres?", "@/"+name+"?", 1)
}
