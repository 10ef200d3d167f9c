package main

import (
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

// eachCommandFails runs every command that uses a database that is not there: it must say so at once,
// and not tell the password.
func eachCommandFails(t *testing.T, url string, want ...string) {
	t.Helper()
	environ := append(os.Environ(), "DATABASE_URL="+url)
	var running sync.WaitGroup
	for _, args := range []string{"migrate", "migrate --status", "check", "tick", "worker --one-shot --handler x=exec:true", "worker --handler x=exec:true"} {
		running.Go(func() {
			code, out, errs := runCommand(t, environ, strings.Split(args, " ")...)
			if code != 1 || out != "" || strings.Contains(errs, "geheim") {
				t.Errorf("%s: got %d, %q, %q; want 1 and no password", args, code, out, errs)
			}
			if strings.Contains(url, "127.0.0.1:1/") && strings.Count(errs, "connection refused") != 1 {
				t.Errorf("%s: it says it more than once: %s", args, errs)
			}
			for _, want := range want {
				if !strings.Contains(errs, want) {
					t.Errorf("%s: no %q in: %s", args, want, errs)
				}
			}
		})
	}
	running.Wait()
}

func TestNobodyListensThere(t *testing.T) {
	t.Parallel()
	eachCommandFails(t, "postgres://u:geheim@127.0.0.1:1/d", "127.0.0.1:1 ", "connection refused")
}

// The kernel takes the connection, and nobody ever answers.
func TestNobodyAnswersThere(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := silent.Addr().String()
	eachCommandFails(t, "postgres://u:geheim@"+address+"/d?connect_timeout=1", address, "context deadline exceeded")
}
