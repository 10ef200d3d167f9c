package main

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestHelpOfEveryCommand(t *testing.T) {
	root := newRoot(nil, io.Discard, io.Discard)
	walk(root, func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		t.Run(strings.Join(path, " "), func(t *testing.T) {
			code, help, errs := runCommand(t, nil, append(path, "--help")...)
			if code != 0 || errs != "" {
				t.Fatalf("got %d, %q", code, errs)
			}
			lines := strings.Split(strings.TrimSuffix(help, "\n"), "\n")
			if len(lines) > 40 {
				t.Errorf("%d lines do not fit a screen", len(lines))
			}
			for _, line := range lines {
				if utf8.RuneCountInString(line) > 110 || strings.Contains(line, "\t") {
					t.Errorf("too long, or with a tab: %q", line)
				}
			}
			globals := "\nGlobal flags: --database-url --json --pooler --schema; see procrastinate --help\n"
			if cmd != root && !strings.Contains(help, globals) || cmd == root && !strings.Contains(help, "  --schema ") {
				t.Errorf("it does not say where the global flags are told of:\n%s", help)
			}
			if cmd.Parent() == root && cmd.GroupID == "" || cmd.HasParent() && cmd.Short == "" {
				t.Errorf("got group %q and description %q", cmd.GroupID, cmd.Short)
			}
			cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
				if flag.Usage == "" {
					t.Errorf("--%s is not described", flag.Name)
				}
			})
			checkExample(t, root, cmd)
		})
	})
}

// walk calls visit for each command but those of cobra's own.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	if cmd.Name() == "completion" || cmd.Name() == "help" {
		return
	}
	visit(cmd)
	for _, child := range cmd.Commands() {
		walk(child, visit)
	}
}

// checkExample: the examples call the command, with flags that it has.
func checkExample(t *testing.T, root, cmd *cobra.Command) {
	t.Helper()
	if !strings.Contains(cmd.Example, cmd.CommandPath()) {
		t.Errorf("no example of %q in:\n%s", cmd.CommandPath(), cmd.Example)
	}
	for _, call := range regexp.MustCompile(`procrastinate [^\n|>&]+`).FindAllString(cmd.Example, -1) {
		called, _, err := root.Find(strings.Fields(call)[1:])
		if err != nil || called == root {
			t.Errorf("%q calls no command: %v", call, err)
			continue
		}
		for _, flag := range regexp.MustCompile(` --([a-z-]+)`).FindAllStringSubmatch(call, -1) {
			// what is in quotes is of another program
			if called.Flag(flag[1]) == nil && !strings.Contains(call, "'") {
				t.Errorf("%q has a flag that %q does not know", call, called.CommandPath())
			}
		}
	}
}

func TestWrongUseOfTheTree(t *testing.T) {
	tests := []struct {
		args string
		want string
	}{
		{"", "which command?"},
		{"chek", `knows no "chek"; did you mean check? See: procrastinate --help`},
		{"zzzzzzz", `knows no "zzzzzzz"; see`},
		{"help zzzzzzz", `knows no "zzzzzzz"`},
		{"completion", "which command?"},
		{"completion zsj", `knows no "zsj"; did you mean zsh?`},
		{"completion bash now", `"now"`},
		{"version now", `"now"`},
		{"check now", `"now"`},
		{"tick now", `"now"`},
		{"repair now", `"now"`},
		{"bench now", `"now"`},
	}
	for _, test := range tests {
		code, out, errs := runCommand(t, nil, strings.Fields(test.args)...)
		if code != 2 || out != "" || !strings.Contains(errs, test.want) {
			t.Errorf("%s: got %d, %q, %q; want 2 and %q", test.args, code, out, errs, test.want)
		}
	}
}

func TestHelpAsACommand(t *testing.T) {
	code, out, _ := runCommand(t, nil, "help", "worker")
	_, want, _ := runCommand(t, nil, "worker", "--help")
	if code != 0 || out != want {
		t.Errorf("got %d, %q; want 0, %q", code, out, want)
	}
}

func TestEveryShellHasItsCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, errs := runCommand(t, nil, "completion", shell); code != 0 || !strings.Contains(out, "__complete") || errs != "" {
			t.Errorf("%s: got %d, %.100q, %q", shell, code, out, errs)
		}
	}
}

func TestTabSaysNothingWrong(t *testing.T) {
	environ := []string{"DATABASE_URL=postgres://x@127.0.0.1:1/x?connect_timeout=1"}
	for args, want := range map[string]string{
		"__complete defer se":                       ":4\n",
		"__complete defer x --queue ma":             ":4\n",
		"__complete worker --queue ma":              ":4\n",
		"__complete tick x":                         ":4\n",
		"__complete defer x --on-conflict s":        "error\nskip\nreplace\nupdate\n:4\n",
		"__complete jobs retry --status f":          "failed\ncancelled\naborted\n:4\n",
		"__complete jobs list --status ":            "todo\ndoing\nsucceeded\nfailed\ncancelled\naborted\n:4\n",
		"__complete worker --log-level ":            "debug\ninfo\nwarn\nerror\n:4\n",
		"__complete worker --log-format ":           "text\njson\n:4\n",
		"__complete tasks define x --on-stall ":     "retry\nfail\n:4\n",
		"__complete queues resume ":                 ":4\n",
		"__complete schedules show ":                ":4\n",
		"__complete schedules define x --catch-up ": "none\nlast\nall\n:4\n",
		"__complete --database-url nonsense defer ": ":4\n",
	} {
		words := strings.Fields(args)
		if strings.HasSuffix(args, " ") {
			words = append(words, "")
		}
		if code, out, errs := runCommand(t, environ, words...); code != 0 || !strings.HasSuffix("\n"+out, "\n"+want) || strings.Contains(errs, "procrastinate:") {
			t.Errorf("%s: got %d, %q, %q; want 0, %q", args, code, out, errs, want)
		}
	}
}
