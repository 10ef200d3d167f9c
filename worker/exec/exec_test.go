package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		in   string
		want []string
		err  string
	}{
		{"", nil, ""},
		{"  prog\ta  b\n", []string{"prog", "a", "b"}, ""},
		{`prog 'a b' "c d"`, []string{"prog", "a b", "c d"}, ""},
		{`a'b'"c"d`, []string{"abcd"}, ""},
		{`prog '' ""`, []string{"prog", "", ""}, ""},
		{`a\ b \' \\`, []string{"a b", "'", `\`}, ""},
		{`'a\b' "a\b" "\"\\"`, []string{`a\b`, `a\b`, `"\`}, ""},
		{`$HOME *.go ; rm`, []string{"$HOME", "*.go", ";", "rm"}, ""},
		{`ü "é "`, []string{"ü", "é "}, ""},
		{`a 'b`, nil, "unbalanced '"},
		{`a "b`, nil, `unbalanced "`},
		{`a \`, nil, "backslash at the end"},
	}
	for _, test := range tests {
		got, err := split(test.in)
		if fmt.Sprint(err) != fmt.Sprint(errorOf(test.err)) || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got %q, %v; want %q, %q", test.in, got, err, test.want, test.err)
		}
	}
}

func errorOf(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

func TestHandlerRefusesWhatCannotRun(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"", "  ", `''`, "no-such-program-anywhere", plain, `sh "`} {
		if _, err := Handler(line, Options{}); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}

func testJob() *worker.Job {
	lock, attempts := "l", int32(3)
	return &worker.Job{
		ID: 7, Task: "sum", Queue: "q", Args: []byte(`{"a":3,"b":"x y"}`), Priority: 5, Lock: &lock, Attempt: 2, MaxAttempts: &attempts,
		Timeout: 1500 * time.Millisecond,
	}
}

// sh makes a handler of a shell script.
func sh(t *testing.T, script string, options Options) worker.Handler {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	handler, err := Handler("sh '"+path+"'", options)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func TestExitStatusIsTheEnd(t *testing.T) {
	tests := []struct {
		name, script, result, err, kind string
	}{
		{"done without result", "exit 0", "null", "", ""},
		{"output that is JSON is the result", `echo ' {"n": 8} '`, `{"n":8}`, "", ""},
		{"output that is not JSON is none", "echo hello", "null", "", ""},
		{"failure with the end of stderr", "echo oh no >&2; exit 3", "", "exit status 3: oh no", "*errors.errorString"},
		{"failure without a word", "exit 1", "", "exit status 1", "*errors.errorString"},
		{"killed", "kill -9 $$", "", "signal: killed", "*errors.errorString"},
		{"stdin that nobody reads", "exec 0<&-; echo 1", "1", "", ""},
		{"retry", "exit 75", "", "exit status 75", "*worker.retryError"},
		{"for good", "echo bad >&2; exit 65", "", "exit status 65: bad", "*worker.permanentError"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result, err := sh(t, test.script, Options{})(t.Context(), testJob())
			if fmt.Sprint(err) != fmt.Sprint(errorOf(test.err)) || err != nil && fmt.Sprintf("%T", err) != test.kind {
				t.Fatalf("got %T %v, want %s %q", err, err, test.kind, test.err)
			}
			raw, _ := json.Marshal(result)
			if err == nil && string(raw) != test.result {
				t.Errorf("got %s, want %s", raw, test.result)
			}
		})
	}
}

func TestNothingIsAShellsToRead(t *testing.T) {
	job := testJob()
	job.Args = []byte(`{"a":"$(touch x); ` + "`id`" + `"}`)
	for _, line := range []string{`printf '"%s"' '$HOME; *  '`, `cat`} {
		handler, err := Handler(line, Options{})
		if err != nil {
			t.Fatal(err)
		}
		result, err := handler(t.Context(), job)
		want := `"$HOME; *  "`
		if line == "cat" {
			input, _ := json.Marshal(job)
			want = string(input)
		}
		if got, _ := result.(json.RawMessage); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v; want %s", line, got, err, want)
		}
	}
}

func TestProgramGetsTheJob(t *testing.T) {
	result, err := sh(t, `cat`, Options{})(t.Context(), testJob())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(result.(json.RawMessage), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": 7.0, "task": "sum", "queue": "q", "args": map[string]any{"a": 3.0, "b": "x y"}, "priority": 5.0, "lock": "l", "attempt": 2.0,
		"max_attempts": 3.0, "timeout": 1.5, "scheduled_at": nil, "deferred_at": nil, "metadata": nil,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEnvironment(t *testing.T) {
	environ := []string{
		"PATH=" + os.Getenv("PATH"), "DATABASE_URL=secret", "PGPASSWORD=secret", "PROCRASTINATE_HTTP_SECRET=secret",
		"PROCRASTINATE_HTTP_PROXY=secret", "PROCRASTINATE_HANDLERS=secret", "PROCRASTINATE_LISTEN_URL=secret", "OTHER=kept", "PROCRASTINATE_TASK=overridden",
	}
	script := `env | grep -E '^(PROCRASTINATE_|DATABASE_URL|PGPASSWORD|OTHER)' | sort | awk '{ gsub(/["\\]/, "\\\\&"); printf "%s\"%s\"", (NR > 1 ? "," : "["), $0 } END { print "]" }'`
	result, err := sh(t, script, Options{Environ: environ})(t.Context(), testJob())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := json.Unmarshal(result.(json.RawMessage), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"OTHER=kept", `PROCRASTINATE_ARGS={"a":3,"b":"x y"}`, "PROCRASTINATE_ATTEMPT=2", "PROCRASTINATE_JOB_ID=7", "PROCRASTINATE_LOCK=l",
		"PROCRASTINATE_MAX_ATTEMPTS=3", "PROCRASTINATE_PRIORITY=5", "PROCRASTINATE_QUEUE=q", "PROCRASTINATE_TASK=sum",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLargeArgsComeOnStdinOnly(t *testing.T) {
	job := testJob()
	job.Args = []byte(`{"a":"` + strings.Repeat("x", 300_000) + `"}`)
	result, err := sh(t, `test -z "$PROCRASTINATE_ARGS" && wc -c`, Options{})(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(string(result.(json.RawMessage))); err != nil || n < 300_000 {
		t.Errorf("the program read %s bytes", result)
	}
	if _, err := sh(t, `exit 0`, Options{})(t.Context(), job); err != nil {
		t.Errorf("a program that does not read its stdin: %v", err)
	}
}

func TestLongOutputIsReadAndCut(t *testing.T) {
	script := `awk 'BEGIN { for (i = 0; i < 200000; i++) print "0123456789" }'; awk 'BEGIN { for (i = 0; i < 200000; i++) print "e" i > "/dev/stderr" }'`
	result, err := sh(t, script, Options{})(t.Context(), testJob())
	if result != nil || err != nil {
		t.Errorf("got %v, %v; want no result", result, err)
	}
	_, err = sh(t, script+"\nexit 1", Options{})(t.Context(), testJob())
	if err == nil || !strings.HasSuffix(err.Error(), "e199999") || len(err.Error()) > maxStderr+100 {
		t.Errorf("got %.100v…, want the end of stderr", err)
	}
}

// cancelWhen cancels a handler's context for the cause once a file exists, and returns what the handler returned.
func cancelWhen(t *testing.T, ready string, cause error, handler worker.Handler) (any, error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		waitFor(t, func() bool { _, err := os.Stat(ready); return err == nil })
		cancel(cause)
	}()
	return handler(ctx, testJob())
}

// waitFor waits until something outside of this process has happened, and asks often.
func waitFor(t *testing.T, happened func() bool) {
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		if happened() {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Error("it never happened")
			return
		}
	}
}

func TestCancelTerminatesTheGroup(t *testing.T) {
	dir := t.TempDir()
	script := fmt.Sprintf(`sleep 1000 & echo $! > %[1]s/child; touch %[1]s/ready; wait`, dir)
	started := time.Now()
	_, err := cancelWhen(t, dir+"/ready", worker.ErrAborted, sh(t, script, Options{KillAfter: time.Minute}))
	if !errors.Is(err, worker.ErrAborted) || !strings.Contains(err.Error(), "signal: terminated") {
		t.Errorf("got %v, want the cause and the signal", err)
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	wantGone(t, dir+"/child")
}

func TestChildOfAShellHasItsGraceToo(t *testing.T) {
	dir := t.TempDir()
	child := fmt.Sprintf(`trap "sleep 0.1; echo done > %[1]s/tidied; exit" TERM; touch %[1]s/ready; while :; do sleep 0.01; done`, dir)
	_, err := cancelWhen(t, dir+"/ready", worker.ErrAborted, sh(t, "sh -c '"+child+"'; true", Options{KillAfter: time.Minute}))
	if !errors.Is(err, worker.ErrAborted) || !strings.Contains(err.Error(), "signal: terminated") {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(dir + "/tidied"); string(got) != "done\n" {
		t.Errorf("the child was killed before it had tidied up: %q, %v", got, err)
	}
}

func TestChildOfAShellThatIgnoresSIGTERMIsKilled(t *testing.T) {
	dir := t.TempDir()
	child := fmt.Sprintf(`trap "" TERM; echo $$ > %[1]s/child; touch %[1]s/ready; while :; do sleep 1000; done`, dir)
	_, err := cancelWhen(t, dir+"/ready", worker.ErrAborted, sh(t, "sh -c '"+child+"'; true", Options{KillAfter: 20 * time.Millisecond}))
	if !errors.Is(err, worker.ErrAborted) {
		t.Errorf("got %v", err)
	}
	wantGone(t, dir+"/child")
}

func TestProgramThatIgnoresSIGTERMIsKilled(t *testing.T) {
	dir := t.TempDir()
	script := fmt.Sprintf(`trap '' TERM; echo $$ > %[1]s/child; touch %[1]s/ready; while :; do sleep 1000; done`, dir)
	_, err := cancelWhen(t, dir+"/ready", worker.ErrAborted, sh(t, script, Options{KillAfter: 10 * time.Millisecond}))
	if !errors.Is(err, worker.ErrAborted) || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("got %v", err)
	}
	wantGone(t, dir+"/child")
}

func TestProgramThatFinishesAfterSIGTERMIsDone(t *testing.T) {
	dir := t.TempDir()
	script := fmt.Sprintf(`trap 'echo 8; exit 0' TERM; touch %s/ready; while :; do sleep 0.01; done`, dir)
	result, err := cancelWhen(t, dir+"/ready", worker.ErrAborted, sh(t, script, Options{}))
	if raw, _ := json.Marshal(result); err != nil || string(raw) != "8" {
		t.Errorf("got %s, %v; want 8", raw, err)
	}
}

func TestCancelKeepsTheReason(t *testing.T) {
	tests := []struct {
		name   string
		cause  error
		status int
		want   string
	}{
		{"aborted", worker.ErrAborted, 1, "job aborted: exit status 1: half done"},
		{"aborted, and asks to retry", worker.ErrAborted, 75, "job aborted: exit status 75: half done"},
		{"timed out, which the worker says", worker.ErrTimeout, 1, "exit status 1: half done"},
		{"timed out, and asks to retry", worker.ErrTimeout, 75, "exit status 75: half done"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // orphans count as there until the first process of the machine has reaped them, at its leisure
			dir := t.TempDir()
			// nothing in the foreground, for whose death the shell would have words of its own
			script := fmt.Sprintf(`trap 'echo half done >&2; exit %d' TERM; sleep 1000 & : >%s/ready; wait`, test.status, dir)
			_, err := cancelWhen(t, dir+"/ready", test.cause, sh(t, script, Options{}))
			if fmt.Sprint(err) != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestChildrenThatHoldStdoutAreKilled(t *testing.T) {
	dir := t.TempDir()
	script := fmt.Sprintf(`sleep 1000 & echo $! > %s/child; echo 8`, dir)
	result, err := sh(t, script, Options{})(t.Context(), testJob())
	if raw, _ := json.Marshal(result); err != nil || string(raw) != "8" {
		t.Errorf("got %s, %v; want 8", raw, err)
	}
	wantGone(t, dir+"/child")
}

func TestChildThatLeftTheGroupDoesNotHangTheWorker(t *testing.T) {
	job := testJob()
	job.Args = []byte(`{"a":"` + strings.Repeat("x", 300_000) + `"}`) // more than a pipe holds
	for name, keeps := range map[string]string{
		"that holds stdout":           "exec sleep 1000",
		"that writes without end":     "exec yes",
		"that holds stdin, and all":   "exec sleep 1000 <&3",
		"that writes stderr for ever": "exec yes >&2",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script := fmt.Sprintf(`exec 3<&0; echo 8; setsid sh -c 'echo $$ > %[1]s/child; touch %[1]s/ready; %[2]s' & while [ ! -e %[1]s/ready ]; do sleep 0.01; done`, dir, keeps)
			result, err := sh(t, script, Options{MaxOutput: 1 << 30})(t.Context(), job)
			if raw, _ := json.Marshal(result); err != nil || keeps != "exec yes" && string(raw) != "8" {
				t.Errorf("got %.100s, %v; want 8", raw, err)
			}
			_ = syscall.Kill(pidIn(t, dir+"/child"), syscall.SIGKILL)
		})
	}
}

func pidIn(t *testing.T, path string) int {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// wantGone: the process is gone, or a zombie that only waits for its new parent.
func wantGone(t *testing.T, path string) {
	t.Helper()
	pid := pidIn(t, path)
	waitFor(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestContextThatEndedBeforeStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(worker.ErrShutdown)
	if _, err := sh(t, "exit 0", Options{})(ctx, testJob()); !errors.Is(err, worker.ErrShutdown) {
		t.Errorf("got %v, want ErrShutdown", err)
	}
}

func TestRetryWait(t *testing.T) {
	for attempt, want := range map[int32]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1 << 30: time.Minute} {
		if got := retryWait(attempt); got != want {
			t.Errorf("attempt %d: got %s, want %s", attempt, got, want)
		}
	}
}

func TestProgramDiesWithItsWorker(t *testing.T) {
	if dir := os.Getenv("TEST_WORKER_DIR"); dir != "" {
		script := fmt.Sprintf(`echo $$ > %[1]s/child; touch %[1]s/ready; exec sleep 1000`, dir)
		_, err := sh(t, script, Options{})(t.Context(), testJob())
		t.Fatal(err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a program that its parent has died")
	}
	dir := t.TempDir()
	victim := exec.Command(os.Args[0], "-test.run=^TestProgramDiesWithItsWorker$")
	// Killed, it does not remove its own temporary folder, which therefore lies in ours.
	victim.Env = append(os.Environ(), "TEST_WORKER_DIR="+dir, "TMPDIR="+dir)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { _, err := os.Stat(dir + "/ready"); return err == nil })
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	wantGone(t, dir+"/child")
}
