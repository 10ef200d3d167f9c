// Package exec makes handlers of programs. The program gets the job as a JSON object on stdin and as
// PROCRASTINATE_* variables in its environment. Its exit status is the end of the attempt: 0 done (stdout, if
// it is JSON, is the result), 75 try again, 65 fail for good, any other a failure with the end of stderr as its
// text. When the job is aborted, has timed out or the worker will not wait any longer, its process group gets
// SIGTERM, and SIGKILL after a while. Whatever else it leaves running in its group is killed when it ends.
//
// No shell is involved, and nothing of the job becomes part of a command line.
package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// The exit statuses with a meaning of their own, from sysexits.h.
const (
	exitFinal = 65 // EX_DATAERR
	exitRetry = 75 // EX_TEMPFAIL
)

// Options are shared by the handlers of a worker. The zero value is usable.
type Options struct {
	// Environ is the environment of the programs, without the variables that hold secrets of the worker's: DATABASE_URL,
	// PGPASSWORD, PROCRASTINATE_HANDLERS, _HTTP_PROXY, _HTTP_SECRET and _LISTEN_URL are taken out. Nil means that of
	// this process.
	Environ []string

	// KillAfter is how long after SIGTERM the process group gets SIGKILL. Zero means 5s.
	KillAfter time.Duration

	// MaxOutput is how much of stdout is kept, in bytes; more is read and thrown away, and there is no result
	// then. Zero means 1 MiB.
	MaxOutput int

	// Logger is told of results that were too long. Nil logs nothing.
	Logger *slog.Logger
}

const maxStderr = 8 << 10 // of its end

type program struct {
	path    string
	args    []string
	options Options
}

// Handler makes a handler of a command line: a program and its fixed arguments, quoted as for a shell.
func Handler(line string, options Options) (worker.Handler, error) {
	words, err := split(line)
	switch {
	case err != nil:
		return nil, err
	case len(words) == 0 || words[0] == "":
		return nil, errors.New("no program")
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return nil, err
	}
	if options.Environ == nil {
		options.Environ = os.Environ()
	}
	if options.KillAfter == 0 {
		options.KillAfter = 5 * time.Second
	}
	if options.MaxOutput == 0 {
		options.MaxOutput = 1 << 20
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	options.Environ = withoutSecrets(options.Environ)
	return (&program{path, words[1:], options}).handle, nil
}

func (p *program) handle(ctx context.Context, job *worker.Job) (any, error) {
	input, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("encode job: %w", err)
	}
	out, errs := &head{max: p.options.MaxOutput}, &tail{max: maxStderr}
	state, err := p.run(ctx, job, input, out, errs)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(errs.kept))
	switch state.ExitCode() {
	case 0:
		return p.result(ctx, job, out), nil
	case exitFinal:
		return nil, worker.Permanent(failureOf(state, text))
	case exitRetry:
		if ctx.Err() == nil {
			return nil, worker.RetryIn(failureOf(state, text), retryWait(job.Attempt))
		}
	}
	// Of a timeout the worker itself says that it was one, and after how long.
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, worker.ErrTimeout) {
		return nil, fmt.Errorf("%w: %w", cause, failureOf(state, text))
	}
	return nil, failureOf(state, text)
}

// result is what stdout holds if that is JSON.
func (p *program) result(ctx context.Context, job *worker.Job, out *head) any {
	kept := bytes.TrimSpace(out.kept)
	switch {
	case out.cut:
		p.options.Logger.WarnContext(ctx, "output too long for a result", "job", job.ID, "task", job.Task, "limit", p.options.MaxOutput)
		return nil
	case len(kept) == 0 || !json.Valid(kept):
		return nil
	default:
		return json.RawMessage(kept)
	}
}

func failureOf(state *os.ProcessState, stderr string) error {
	if stderr == "" {
		return errors.New(state.String())
	}
	return fmt.Errorf("%s: %s", state, stderr)
}

// retryWait doubles from a second to a minute: a program that asks for another attempt shall not spin.
func retryWait(attempt int32) time.Duration {
	return min(time.Second<<min(max(attempt-1, 0), 6), time.Minute)
}

func withoutSecrets(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "DATABASE_URL", "PGPASSWORD", "PROCRASTINATE_HANDLERS", "PROCRASTINATE_HTTP_PROXY", "PROCRASTINATE_HTTP_SECRET",
			"PROCRASTINATE_LISTEN_URL":
			return true
		default:
			return false
		}
	})
}

// maxEnvArgs keeps the environment within what a system takes in one variable (128 kB on Linux).
const maxEnvArgs = 64 << 10

// environ adds the job. Args that are too long for a variable are on stdin only.
func (p *program) environ(job *worker.Job) []string {
	entries := []string{
		"PROCRASTINATE_JOB_ID=" + strconv.FormatInt(job.ID, 10),
		"PROCRASTINATE_TASK=" + job.Task,
		"PROCRASTINATE_QUEUE=" + job.Queue,
		"PROCRASTINATE_ATTEMPT=" + strconv.Itoa(int(job.Attempt)),
		"PROCRASTINATE_PRIORITY=" + strconv.Itoa(int(job.Priority)),
	}
	if job.MaxAttempts != nil {
		entries = append(entries, "PROCRASTINATE_MAX_ATTEMPTS="+strconv.Itoa(int(*job.MaxAttempts)))
	}
	if job.Lock != nil {
		entries = append(entries, "PROCRASTINATE_LOCK="+*job.Lock)
	}
	if len(job.Args) <= maxEnvArgs {
		entries = append(entries, "PROCRASTINATE_ARGS="+string(job.Args))
	}
	return append(p.options.Environ[:len(p.options.Environ):len(p.options.Environ)], entries...)
}

// signalGroup signals the process group of a leader; a group that is gone needs none.
func signalGroup(leader int, signal syscall.Signal) {
	_ = syscall.Kill(-leader, signal)
}
