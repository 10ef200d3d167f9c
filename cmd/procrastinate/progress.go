package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows on a terminal how far a long command is: how many, how fast, how long still. Elsewhere it is silent.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress counts what the unit names, up to a total that may be unknown (-1).
func newProgress(out io.Writer, doing, unit string, total int64) *progress {
	if !isTerminal(out) {
		return &progress{}
	}
	return &progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(doing),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionSetWidth(20),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0), // or a goroutine would go on drawing
		progressbar.OptionClearOnFinish(),
	)}
}

func (p *progress) add(count int) {
	if p.bar != nil {
		_ = p.bar.Add(count)
	}
}

// expect corrects the total.
func (p *progress) expect(total int64) {
	if p.bar != nil {
		p.bar.ChangeMax64(total)
	}
}

// end leaves the line to what is printed next.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
	}
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
