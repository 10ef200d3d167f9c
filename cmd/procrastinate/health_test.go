package main

import "testing"

func TestWrongUseOfHealth(t *testing.T) {
	testWrongUse(t, []wrongUse{
		{[]string{"health", "--min-workers", "-1", "--timeout", "0s"}, []string{`"-1" for --min-workers`, `"0s" for --timeout`}},
		{[]string{"health", "--max-wait", "long"}, []string{`"long" for --max-wait: want a span`}},
	})
}
