package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// orphanWait is how long the pipes stay open for a process that left the group and still holds them.
const orphanWait = 250 * time.Millisecond

// run runs the program to its end and takes care of its process group. It returns an error only if the program
// did not start. The pipes are its own, not those of os/exec, whose Wait would also wait for every process that
// inherited them.
func (p *program) run(
	ctx context.Context, job *worker.Job, input []byte, out, errs io.Writer,
) (*os.ProcessState, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var pipes pipes
	defer pipes.close()
	stdin, feed := pipes.open()
	stdout, stdoutEnd := pipes.open()
	stderr, stderrEnd := pipes.open()
	if pipes.err != nil {
		return nil, fmt.Errorf("open pipe: %w", pipes.err)
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = p.environ(job)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdoutEnd, stderrEnd
	cmd.SysProcAttr = processAttr()
	// On Linux it is the end of the thread that started the program which kills it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start program: %w", err)
	}
	for _, end := range []*os.File{stdin, stdoutEnd, stderrEnd} {
		_ = end.Close() // the program has its own
	}

	var copies sync.WaitGroup
	copies.Go(func() {
		_, _ = feed.Write(input) // a program need not read its stdin
		_ = feed.Close()
	})
	copies.Go(func() { _, _ = io.Copy(out, stdout) })
	copies.Go(func() { _, _ = io.Copy(errs, stderr) })

	leader := cmd.Process.Pid
	ended := make(chan struct{})
	var watch sync.WaitGroup
	var grace time.Time
	watch.Go(func() { grace = p.terminate(ctx, leader, ended) })
	err := cmd.Wait()
	close(ended)
	watch.Wait()
	awaitGroup(leader, grace)
	killGroup(leader)

	deadline := time.Now().Add(orphanWait)
	_ = feed.SetWriteDeadline(time.Now()) // nobody reads it any more
	_ = stdout.SetReadDeadline(deadline)
	_ = stderr.SetReadDeadline(deadline)
	copies.Wait()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("wait for program: %w", err)
	}
	return cmd.ProcessState, nil
}

// terminate asks the group to end when ctx does, and makes it if the program has not ended after a while. It returns
// until when the others in the group have time: not at all if nobody asked them.
func (p *program) terminate(ctx context.Context, leader int, ended <-chan struct{}) (grace time.Time) {
	select {
	case <-ended:
		return grace
	case <-ctx.Done():
	}
	grace = time.Now().Add(p.options.KillAfter)
	signalGroup(leader, syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(p.options.KillAfter):
		signalGroup(leader, syscall.SIGKILL)
	}
	return grace
}

// awaitGroup lets those that the program has started end by themselves after their SIGTERM: a shell is gone before the
// program that it ran has put its things away. Nothing tells when a child's child ends, hence the steps.
func awaitGroup(leader int, grace time.Time) {
	for time.Now().Before(grace) && !isGone(leader, 0) {
		time.Sleep(5 * time.Millisecond)
	}
}

// killGroup kills what the program left running, and waits until it is gone, so that a job which is given to
// another worker does not still run here. The wait is bounded: a zombie that nobody reaps stays in its group.
func killGroup(leader int) {
	const step, steps = 2 * time.Millisecond, 125
	for range steps {
		if isGone(leader, syscall.SIGKILL) {
			return
		}
		time.Sleep(step)
	}
}

// isGone signals the process group of a leader that has ended and been waited for, and says whether nobody was there.
func isGone(leader int, signal syscall.Signal) bool {
	if syscall.Kill(-leader, signal) != nil {
		return true
	}
	// As the first process of a container the worker inherits orphans and has to reap them.
	var status syscall.WaitStatus
	_, _ = syscall.Wait4(-leader, &status, syscall.WNOHANG, nil)
	return false
}

// pipes opens pipes until the first error, and closes whatever is still open at the end.
type pipes struct {
	files []*os.File
	err   error
}

func (p *pipes) open() (reader, writer *os.File) {
	if p.err != nil {
		return nil, nil
	}
	if reader, writer, p.err = os.Pipe(); p.err == nil {
		p.files = append(p.files, reader, writer)
	}
	return reader, writer
}

func (p *pipes) close() {
	for _, file := range p.files {
		_ = file.Close()
	}
}

// head keeps the first max bytes written to it and takes the rest.
type head struct {
	max  int
	kept []byte
	cut  bool
}

func (h *head) Write(data []byte) (int, error) {
	keep := min(len(data), h.max-len(h.kept))
	h.kept = append(h.kept, data[:keep]...)
	h.cut = h.cut || keep < len(data)
	return len(data), nil
}

// tail keeps the last max bytes written to it.
type tail struct {
	max  int
	kept []byte
}

func (t *tail) Write(data []byte) (int, error) {
	t.kept = append(t.kept, data...)
	if excess := len(t.kept) - t.max; excess > 0 {
		t.kept = append(t.kept[:0], t.kept[excess:]...)
	}
	return len(data), nil
}
