package testdb

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const poolerConfig = `[databases]
* =%s
[pgbouncer]
listen_addr =
unix_socket_dir = %s
auth_type = any
pool_mode = %s
default_pool_size = %d
server_tls_sslmode = prefer
`

// Pooler starts PgBouncer before the server of DATABASE_URL, until the end of the test, and returns the URL to use
// instead. The mode is transaction or session; the size is how many connections to the server there may be.
func Pooler(t *testing.T, mode string, size int) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // Debian's place, which is not in everybody's PATH
	}
	server, err := pgx.ParseConfig(URL(t))
	if err != nil {
		t.Fatal(err)
	}
	// In /tmp whatever TMPDIR says: a socket's path has room for some hundred bytes.
	folder, err := os.MkdirTemp("/tmp", "procrastinate-pgbouncer.")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	file := filepath.Join(folder, "pgbouncer.ini")
	config := fmt.Sprintf(poolerConfig, settings(server), folder, mode, size)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{program, "-q", file}
	if os.Getuid() == 0 { // which PgBouncer refuses to run as
		args = append(args, "-u", giveAway(t, folder, file))
	}
	// It lives until stdin is closed, at the latest when this process ends.
	cmd := exec.Command("sh", append([]string{"-c", `"$@" & cat; kill $!; wait`, "sh"}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		_ = stdin.Close()
		_ = cmd.Wait() // kill is how it ends
	}
	url := fmt.Sprintf("host=%s port=6432 user=any dbname=any", folder)
	if err := answers(t.Context(), url); err != nil {
		stop()
		t.Fatalf("PgBouncer (make deps installs it): %v\n%s", err, &errs)
	}
	t.Cleanup(stop)
	return url
}

// settings are how PgBouncer connects. It does not read an empty value.
func settings(server *pgx.ConnConfig) string {
	var text strings.Builder
	for _, setting := range [][2]string{
		{"host", server.Host}, {"port", strconv.Itoa(int(server.Port))}, {"dbname", server.Database},
		{"user", server.User}, {"password", server.Password},
	} {
		if setting[1] != "" {
			fmt.Fprintf(&text, " %s='%s'", setting[0], strings.ReplaceAll(setting[1], "'", "''"))
		}
	}
	return text.String()
}

// giveAway makes files those of an unprivileged user: the server's where there is one, for its socket may be for that
// user alone.
func giveAway(t *testing.T, names ...string) string {
	t.Helper()
	owner, err := user.Lookup("postgres")
	if err != nil {
		if owner, err = user.Lookup("nobody"); err != nil {
			t.Fatal(err)
		}
	}
	id, err := strconv.Atoi(owner.Uid)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Chown(name, id, -1); err != nil {
			t.Fatal(err)
		}
	}
	return owner.Username
}

// answers waits until a server answers.
func answers(ctx context.Context, url string) (err error) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-ticker.C {
		var conn *pgx.Conn
		if conn, err = pgx.Connect(ctx, url); err == nil {
			_, err = conn.Exec(ctx, "select")
			_ = conn.Close(ctx)
		}
		if err == nil {
			return nil
		}
	}
	return err
}
