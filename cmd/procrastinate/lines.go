package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	maxLine       = 64 << 20
	maxBatch      = 1000
	maxBatchBytes = 1 << 20
)

// line is one job: a JSON object, completed by the defaults.
type line struct {
	number int
	text   []byte
}

// lineFault says which line is at fault.
type lineFault struct {
	number int
	err    error
}

func (e *lineFault) Error() string { return fmt.Sprintf("line %d: %v", e.number, e.err) }
func (e *lineFault) Unwrap() error { return e.err }

// skipError: there are not so many lines.
type skipError struct{ skip, lines int }

func (e *skipError) Error() string {
	return fmt.Sprintf("--skip-lines %d: there are only %s", e.skip, plural(e.lines, "line"))
}

// lineBatch is what goes into one transaction.
type lineBatch struct {
	lines  []line
	bytes  int
	offset int64 // how much was read up to here
	end    error // why nothing comes after: io.EOF, or what is wrong with the next line, or a skipError
}

func (b *lineBatch) isFull() bool { return len(b.lines) >= maxBatch || b.bytes >= maxBatchBytes }

// lineReader reads NDJSON: a JSON object on each line that is not blank.
type lineReader struct {
	in       *bufio.Reader
	skip     int    // so many lines are left out
	defaults string // the beginning of an object, or nothing
	number   int
	offset   int64
}

func newLineReader(in io.Reader, skip int, defaults string) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 1<<20), skip: skip, defaults: defaults}
}

// start reads beside the work. Whoever takes a batch gets all that was read meanwhile, be it one line of a slow pipe or
// a full batch. The goroutine is not waited for: nothing can interrupt its read from a pipe or terminal.
func (r *lineReader) start(ctx context.Context) <-chan lineBatch {
	mailbox := make(chan lineBatch, 1)
	go func() {
		for ended := false; !ended; {
			one, err := r.next()
			var batch lineBatch
			select {
			case batch = <-mailbox:
			default:
			}
			if batch.isFull() {
				mailbox <- batch // nobody else puts anything in
				batch = lineBatch{}
			}
			if ended = err != nil; ended {
				batch.end = err
			} else {
				batch.lines, batch.bytes = append(batch.lines, one), batch.bytes+len(one.text)
			}
			batch.offset = r.offset
			select {
			case mailbox <- batch: // waits while a full one is there
			case <-ctx.Done():
				return
			}
		}
	}()
	return mailbox
}

// next returns the next line that counts; io.EOF after the last one, a lineFault for one that cannot be a job.
func (r *lineReader) next() (line, error) {
	for {
		text, err := r.read()
		if err == io.EOF {
			if r.number < r.skip {
				err = &skipError{r.skip, r.number}
			}
			return line{}, err
		}
		r.number++
		if r.number <= r.skip {
			continue
		}
		if text = bytes.TrimSpace(text); err == nil && len(text) == 0 {
			continue
		}
		if err == nil {
			err = checkLine(text)
		}
		if err != nil {
			return line{}, &lineFault{r.number, err}
		}
		return line{r.number, withDefaults(r.defaults, text)}, nil
	}
}

// read returns a line of any length, but remembers no more than maxLine of it.
func (r *lineReader) read() (text []byte, err error) {
	for size := 0; ; {
		part, err := r.in.ReadSlice('\n')
		r.offset += int64(len(part))
		if size += len(part); size <= maxLine {
			text = append(text, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case err == io.EOF && size == 0, err != nil && err != io.EOF:
			return nil, err
		case size > maxLine:
			return nil, fmt.Errorf("longer than %d MiB", maxLine>>20)
		default:
			return text, nil
		}
	}
}

func checkLine(text []byte) error {
	var raw json.RawMessage
	switch {
	case !utf8.Valid(text):
		return errors.New("not valid UTF-8")
	case !json.Valid(text):
		return fmt.Errorf("not JSON: %w", json.Unmarshal(text, &raw))
	case text[0] != '{':
		return errors.New("not a JSON object")
	default:
		return nil
	}
}

// withDefaults puts the defaults first: of a key that comes twice, jsonb keeps the second.
func withDefaults(defaults string, object []byte) []byte {
	rest := bytes.TrimSpace(object[1:])
	switch {
	case defaults == "":
		return object
	case rest[0] == '}':
		return append([]byte(defaults), '}')
	default:
		return append(append([]byte(defaults), ','), rest...)
	}
}
