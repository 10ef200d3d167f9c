package main

import "testing"

func TestWrongUseOfNames(t *testing.T) {
	testWrongUse(t, []wrongUse{
		{[]string{"queues", "mail"}, []string{`"mail"`}},
		{[]string{"queues", "pause"}, []string{"which queue?"}},
		{[]string{"queues", "resume", "a", ""}, []string{"empty queue name"}},
		{[]string{"tasks", "define"}, []string{"one task is wanted, got 0"}},
		{[]string{"tasks", "define", "a", "b"}, []string{"one task is wanted, got 2"}},
		{[]string{"tasks", "define", " "}, []string{"empty task name"}},
		{[]string{"tasks", "define", "a", "--queue", ""}, []string{"empty --queue"}},
		{[]string{"tasks", "define", "a", "--timeout", "1x"}, []string{`"1x" for --timeout: want a span`}},
		{[]string{"tasks", "define", "a", "--max-attempts", "many"}, []string{`"many" for --max-attempts: want a whole number`}},
		{[]string{"tasks", "drop"}, []string{"which task?"}},
		{[]string{"workers", "all"}, []string{`"all"`}},
		{[]string{"locks", "all"}, []string{`"all"`}},
	})
}

func TestNamesNeedTheDatabase(t *testing.T) {
	testNeedDatabase(t, "queues", "queues pause x", "queues resume x", "tasks", "tasks define x", "tasks drop x", "workers", "locks")
}
