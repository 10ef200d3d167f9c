package main

import (
	"strings"
	"testing"
)

// There is nothing at this address: a command that connects before it has read its arguments fails with 1.
var nowhere = []string{"DATABASE_URL=postgres://x@127.0.0.1:1/x?connect_timeout=1"}

type wrongUse struct {
	args []string
	want []string
}

func testWrongUse(t *testing.T, tests []wrongUse) {
	t.Helper()
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			code, out, errs := runCommand(t, nowhere, test.args...)
			if code != 2 || out != "" {
				t.Errorf("got exit code %d and %q, want 2 and nothing", code, out)
			}
			for _, want := range test.want {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in:\n%s", want, errs)
				}
			}
			if strings.Contains(errs, "strconv") {
				t.Errorf("it speaks of Go:\n%s", errs)
			}
		})
	}
}

// testNeedDatabase: what cannot connect is a failure that says so, not wrong use.
func testNeedDatabase(t *testing.T, commands ...string) {
	t.Helper()
	for _, words := range commands {
		if code, out, errs := runCommand(t, nowhere, strings.Fields(words)...); code != 1 || out != "" || !strings.Contains(errs, "connect") {
			t.Errorf("%s: got %d, %q, %q; want 1 and why", words, code, out, errs)
		}
	}
}

func TestWrongUseOfJobs(t *testing.T) {
	testWrongUse(t, []wrongUse{
		{[]string{"jobs"}, []string{"which command?"}},
		{[]string{"jobs", "lst"}, []string{`"lst"`}},
		{[]string{"jobs", "list", "5"}, []string{`"5"`}},
		{
			[]string{"jobs", "list", "--status", "todo,done", "--task", "", "--limit", "0", "--before", "-1"},
			[]string{`"done" for --status: want todo, doing,`, "empty --task", `"0" for --limit`, `"-1" for --before`},
		},
		{[]string{"jobs", "list", "--status", ""}, []string{"empty --status"}},
		{[]string{"jobs", "list", "--lock", " "}, []string{"empty --lock"}},
		{[]string{"jobs", "list", "--queue="}, []string{"empty --queue"}},
		{[]string{"jobs", "list", "--failed=perhaps"}, []string{`"perhaps" for --failed`}},
		{[]string{"jobs", "show"}, []string{"one job is wanted, got 0"}},
		{[]string{"jobs", "show", "1", "2"}, []string{"one job is wanted, got 2"}},
		{[]string{"jobs", "show", "0"}, []string{`"0" is not the id of a job`}},
		{[]string{"jobs", "explain", "mail"}, []string{`"mail" is not the id of a job`}},
	})
}

func TestJobsNeedTheDatabase(t *testing.T) {
	testNeedDatabase(t, "jobs list", "jobs show 1", "jobs explain 1")
}
