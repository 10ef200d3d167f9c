package main

import "testing"

func TestWrongUseOfActs(t *testing.T) {
	testWrongUse(t, []wrongUse{
		{[]string{"jobs", "cancel"}, []string{"which jobs?", "jobs cancel --help"}},
		{[]string{"jobs", "cancel", "1", "two", "-"}, []string{`"two" is not`, `"-" is not`}},
		{[]string{"jobs", "cancel", "--yes"}, []string{"which jobs?"}},
		{[]string{"jobs", "cancel", "--doing", "--yes"}, []string{"--abort"}},
		{[]string{"jobs", "cancel", "--status", "failed", "--yes"}, []string{`"failed" for --status: want todo, doing`}},
		{[]string{"jobs", "retry", "1", "--failed"}, []string{"ids and a filter"}},
		{[]string{"jobs", "retry", "1", "--yes"}, []string{"ids and a filter"}},
		{[]string{"jobs", "retry", "--failed=false", "--yes"}, []string{"which jobs?"}},
		{[]string{"jobs", "retry", "--task", "", "--yes"}, []string{"empty --task"}},
		{[]string{"jobs", "retry", "--failed", "--queue", "", "--yes"}, []string{"empty --queue"}},
		{[]string{"jobs", "retry", "--failed", "--older-than", "5", "--yes"}, []string{`"5" for --older-than: want a span, as in`}},
		{[]string{"jobs", "retry", "1", "--in", "-5m"}, []string{`"-5m" for --in: want a span`}},
		{[]string{"jobs", "retry", "--failed"}, []string{"nobody to ask whether to retry", "--yes", "--dry-run"}},
		{[]string{"jobs", "delete", "--task", "x"}, []string{"nobody to ask whether to delete"}},
		{[]string{"jobs", "delete", "--doing", "--yes"}, []string{"--doing"}},
		{[]string{"jobs", "change", "1"}, []string{"nothing to change"}},
		{[]string{"jobs", "change", "--priority", "1"}, []string{"which jobs?"}},
		{[]string{"jobs", "change", "1", "--queue", "", "--at", "now", "--in", "5m"}, []string{"empty --queue", "--at and --in"}},
		{[]string{"jobs", "change", "1", "--priority", "high"}, []string{`"high" for --priority: want a whole number`}},
		{[]string{"prune"}, []string{"how old? Use --older-than"}},
		{[]string{"prune", "30d"}, []string{`"30d"`}},
		{[]string{"prune", "--older-than", "30d"}, []string{"nobody to ask whether to delete"}},
		{[]string{"prune", "--older-than", "30d", "--status", "todo", "--yes"}, []string{`"todo" for --status`}},
	})
}

func TestActsNeedTheDatabase(t *testing.T) {
	testNeedDatabase(t, "jobs cancel 1", "jobs retry 1", "jobs delete 1", "jobs change 1 --priority 1", "jobs retry --failed --yes", "jobs cancel --todo --dry-run", "prune --older-than 1d --yes")
}
