package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestWrongUseOfDefer(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"no task", []string{}, []string{"which task?"}},
		{"an empty task", []string{""}, []string{`task ""`}},
		{"a word", []string{"x", "y"}, []string{`argument "y"`}},
		{"no name", []string{"x", "=y"}, []string{`argument "=y"`}},
		{"twice", []string{"x", "y=1", "y:=2"}, []string{`argument "y" is given twice`}},
		{"not JSON", []string{"x", "y:=z"}, []string{`argument "y": "z" is not JSON`}},
		{"not an object", []string{"x", "{"}, []string{`args "{" are not a JSON object`}},
		{"two objects", []string{"x", "{}", "{}"}, []string{`argument "{}"`}},
		{"metadata and priority", []string{"x", "--metadata", "[]", "--queue", "q", "y"}, []string{`--metadata "[]"`, `argument "y"`}},
		{"priority", []string{"x", "--priority", "high"}, []string{`invalid value "high" for --priority: want a whole number` + "\n"}},
		{"two times", []string{"x", "--at", "tomorrow", "--in", "1h"}, []string{"--at and --in: one of them"}},
		{"a span without a unit", []string{"x", "--in", "5"}, []string{`invalid value "5" for --in: want a span, as in 90s, 12h or 30d`}},
		{"PostgreSQL's words", []string{"x", "--timeout", "5 min"}, []string{`invalid value "5 min" for --timeout: want a span`}},
		{"a span below zero", []string{"x", "--in", "-5m"}, []string{`invalid value "-5m" for --in: want a span`}},
		{"skipping none", []string{"x", "--skip-lines", "1", "--single-transaction"}, []string{"are for --from"}},
		{"args for a file", []string{"x", "y=1", "--from", "-"}, []string{`"y=1" is too much`}},
		{"less than nothing", []string{"--from", "-", "--skip-lines", "-1"}, []string{"--skip-lines -1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, out, errs := runCommand(t, nil, append([]string{"defer"}, test.args...)...)
			if code != 2 || out != "" {
				t.Errorf("got %d and %q, want 2 and nothing", code, out)
			}
			for _, want := range test.want {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in:\n%s", want, errs)
				}
			}
		})
	}
}

func TestAMissingFileIsAFailure(t *testing.T) {
	code, _, errs := runCommand(t, nil, "defer", "--from", filepath.Join(t.TempDir(), "none"))
	if code != 1 || !strings.Contains(errs, "no such file") {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestADirectoryIsNoFile(t *testing.T) {
	dir := t.TempDir()
	code, _, errs := runCommand(t, nil, "defer", "--from", dir)
	if want := "procrastinate: read " + dir + ": is a directory\n"; code != 1 || errs != want {
		t.Errorf("got %d, %q; want %q", code, errs, want)
	}
}

func TestParseArgs(t *testing.T) {
	for in, want := range map[string]string{
		"":                             `{}`,
		`{"a": 1}`:                     `{"a": 1}`,
		"a=1 b:=1 c:=[true]":           `{"a":"1","b":1,"c":[true]}`,
		"a= b=x=y url=http://h/?q:=1":  `{"a":"","b":"x=y","url":"http://h/?q:=1"}`,
		`n:=123456789012345678901.5e9`: `{"n":123456789012345678901.5e9}`,
	} {
		words := strings.Fields(in)
		if strings.HasPrefix(in, "{") {
			words = []string{in}
		}
		if got, err := parseArgs(words); got != want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestLinesAreRead(t *testing.T) {
	tests := []struct {
		name     string
		in       string
		skip     int
		defaults string
		want     string
		end      string
	}{
		{"nothing", "", 0, "", "", "EOF"},
		{"blank lines, and no newline at the end", "\n{\"a\":1}\r\n \n{}", 0, "", `2 {"a":1}; 4 {}`, "EOF"},
		{"skipped lines are not looked at", "x\n\n{}\n", 2, "", "3 {}", "EOF"},
		{"skipping all", "{}\n\n", 2, "", "", "EOF"},
		{"skipping more", "{}\n\n", 3, "", "", "--skip-lines 3: there are only 2 lines"},
		{"defaults come first", "{\"a\":1}\n{ }\n", 0, `{"b":2`, `1 {"b":2,"a":1}; 2 {"b":2}`, "EOF"},
		{"no object", "{}\n[{}]\n{}\n", 0, "", "1 {}", "line 2: not a JSON object"},
		{"no JSON", "{\"a\":1},{}\n", 0, "", "", "line 1: not JSON: invalid character ',' after top-level value"},
		{"an object in two lines", "{\n}\n", 0, "", "", "line 1: not JSON: unexpected end of JSON input"},
		{"no UTF-8", "{\"a\":\"\xff\"}\n", 0, "", "", "line 1: not valid UTF-8"},
		{"a NUL", "{\"a\":\"\x00\"}\n", 0, "", "", `line 1: not JSON: invalid character '\x00' in string literal`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reader := newLineReader(strings.NewReader(test.in), test.skip, test.defaults)
			var got []string
			for {
				line, err := reader.next()
				if err != nil {
					if err.Error() != test.end {
						t.Errorf("it ends with %q, want %q", err, test.end)
					}
					break
				}
				got = append(got, strconv.Itoa(line.number)+" "+string(line.text))
			}
			if got := strings.Join(got, "; "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(into []byte) (int, error) {
	clear(into)
	return len(into), nil
}

func TestALineTooLongIsNotRemembered(t *testing.T) {
	reader := newLineReader(io.MultiReader(io.LimitReader(zeros{}, maxLine), strings.NewReader("\n{}\n")), 0, "")
	if _, err := reader.next(); err == nil || err.Error() != "line 1: longer than 64 MiB" {
		t.Errorf("got %v", err)
	}
	if got, err := reader.next(); err != nil || got.number != 2 || string(got.text) != "{}" {
		t.Errorf("after it: got %+v, %v; want line 2", got, err)
	}
}

func TestAFileThatCannotBeRead(t *testing.T) {
	reader := newLineReader(io.MultiReader(strings.NewReader("{}\n{"), &brokenReader{}), 0, "")
	if _, err := reader.next(); err != nil {
		t.Error(err)
	}
	if _, err := reader.next(); !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("got %v", err)
	}
}

type brokenReader struct{}

func (*brokenReader) Read([]byte) (int, error) { return 0, os.ErrClosed }

func TestBatchesAreBounded(t *testing.T) {
	tests := []struct {
		name  string
		line  string
		count int
		want  int // lines in a batch at most
	}{
		{"by lines", "{}\n", 2500, maxBatch},
		{"by bytes", `{"a":"` + strings.Repeat("x", 400<<10) + `"}` + "\n", 10, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			batches := newLineReader(strings.NewReader(strings.Repeat(test.line, test.count)), 0, "").start(t.Context())
			got := 0
			for {
				batch := <-batches
				if len(batch.lines) > test.want {
					t.Fatalf("got %d lines at once, want %d at most", len(batch.lines), test.want)
				}
				got += len(batch.lines)
				if batch.end != nil {
					break
				}
			}
			if got != test.count {
				t.Errorf("got %d lines, want %d", got, test.count)
			}
		})
	}
}
