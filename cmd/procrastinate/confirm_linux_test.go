//go:build integration

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal opens a terminal and the side at which its person sits.
func openTerminal(t *testing.T) (terminal, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	var unlock, number uint32
	for request, value := range map[uintptr]*uint32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return terminal, person
}

func TestOnATerminalItAsks(t *testing.T) {
	s := newSession(t)
	s.variety()
	terminal, person := openTerminal(t)
	stdin := os.Stdin
	os.Stdin = terminal
	defer func() { os.Stdin = stdin }()

	ask := func(answer string, args ...string) (code int, stdout, stderr string) {
		t.Helper()
		said := make(chan string)
		go func() {
			var seen bytes.Buffer
			chunk := make([]byte, 1000)
			for answered := false; !strings.Contains(seen.String(), "THE END"); {
				n, err := person.Read(chunk)
				if err != nil {
					break
				}
				seen.Write(chunk[:n])
				if !answered && strings.HasSuffix(seen.String(), "[y/N] ") {
					answered = true
					_, _ = person.WriteString(answer)
				}
			}
			said <- seen.String()
		}()
		var out bytes.Buffer
		code = exitCode(run(t.Context(), args, s.environ, &out, terminal))
		fmt.Fprint(terminal, "THE END")
		return code, out.String(), <-said
	}

	code, out, errs := ask("n\n", "jobs", "retry", "--failed")
	for _, want := range []string{"2 jobs would be retried: failed", "boom line two", "retry them? [y/N] n", "procrastinate: not confirmed: nothing was done"} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in %q", want, errs)
		}
	}
	if code != 1 || out != "" {
		t.Errorf("got %d, %q", code, out)
	}
	s.wantJobs("1:doing 2:todo 3:todo 4:failed 5:failed 6:succeeded 7:cancelled 8:todo")

	code, out, errs = ask("y\n", "jobs", "retry", "--failed", "--json")
	if code != 0 || out != "{\"jobs\":2}\n" || !strings.Contains(errs, "2 jobs would be retried") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	s.wantJobs("1:doing 2:todo 3:todo 4:todo 5:todo 6:succeeded 7:cancelled 8:todo")

	// nothing to ask about
	code, out, errs = ask("n\n", "jobs", "retry", "--failed")
	if code != 0 || out != "0 jobs retried\n" || strings.Contains(errs, "[y/N]") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}
