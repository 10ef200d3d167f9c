package lab

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// A Process is a program that ends when its standard input does, so it does not outlive this one.
type Process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reading chan struct{} // closed when it has said its last
	wait    func() error
}

// StartProcess starts a program. It calls heard with each line that the program writes, and then ended.
func StartProcess(cmd *exec.Cmd, heard func(line string), ended func()) (*Process, error) {
	p := &Process{cmd: cmd, reading: make(chan struct{}), wait: sync.OnceValue(cmd.Wait)}
	cmd.Stderr = os.Stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.reading)
		defer ended()
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			heard(lines.Text())
		}
	}()
	return p, nil
}

// PID is its id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Say writes it a line.
func (p *Process) Say(line string) error {
	_, err := io.WriteString(p.stdin, line+"\n")
	return err
}

// Stop ends its input.
func (p *Process) Stop() { _ = p.stdin.Close() }

// Wait returns when it has ended, which it is made to do after so long. It may be called more than once. The error is that of its exit code.
func (p *Process) Wait(patience time.Duration) error {
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.reading
	return p.wait()
}
