package testdb

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Server is a throw-away cluster, to stop and start at will.
type Server struct {
	t      *testing.T
	folder string
	pgCtl  string
	port   string
	cred   *syscall.Credential
}

// OwnServer starts a server until the end of the test and makes it that of DATABASE_URL until then.
func OwnServer(t *testing.T) *Server {
	t.Helper()
	scripts := scripts(t)
	bindir, err := exec.CommandContext(t.Context(), filepath.Join(scripts, "pg-bindir")).Output()
	if err != nil {
		t.Skip("there is no PostgreSQL server here to start one of, which a restart needs")
	}
	url := Started(t, 1, filepath.Join(scripts, "with-postgres"), "sh", "-c", `echo "$DATABASE_URL"; cat`)[0]
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATABASE_URL", url)
	s := &Server{
		t: t, folder: config.Host, port: strconv.Itoa(int(config.Port)),
		pgCtl: filepath.Join(strings.TrimSpace(string(bindir)), "pg_ctl"),
	}
	if os.Getuid() == 0 { // which pg_ctl refuses to run as
		s.cred = credential(t, "postgres")
	}
	return s
}

// Started runs a script that says so many lines and then lives until its stdin is closed, as the end of the test does. It
// finds no DATABASE_URL: the servers that it starts are its own.
func Started(t *testing.T, count int, program string, args ...string) (lines []string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL=")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, &errs)
		}
	})
	for scanner := bufio.NewScanner(stdout); len(lines) < count; {
		if !scanner.Scan() {
			t.Fatalf("%s did not start", program)
		}
		lines = append(lines, scanner.Text())
	}
	return lines
}

// Stop ends it as a crash would.
func (s *Server) Stop() { s.ctl("stop", "-m", "immediate") }

// Start returns when it takes connections, at the same place as before.
func (s *Server) Start() { s.ctl("start", "-l", filepath.Join(s.folder, "log"), "-o", "-p "+s.port) }

func (s *Server) ctl(args ...string) {
	s.t.Helper()
	cmd := exec.Command(s.pgCtl, append(args, "-w", "-t", "60", "-D", filepath.Join(s.folder, "data"))...)
	cmd.Dir, cmd.Env = s.folder, append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	// A file, for the server inherits it: the end of a pipe would not come.
	out, err := os.CreateTemp(s.t.TempDir(), "pg_ctl")
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		s.t.Fatalf("pg_ctl %s: %v\n%s", args[0], err, text)
	}
}

func credential(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	found, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
	if uidErr != nil || gidErr != nil {
		t.Fatal(uidErr, gidErr)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// scripts is the folder beside go.mod.
func scripts(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return filepath.Join(folder, "scripts")
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("no go.mod above the test")
		}
		folder = filepath.Dir(folder)
	}
}
