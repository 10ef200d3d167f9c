package main

import "testing"

func TestWrongUseOfSchedules(t *testing.T) {
	testWrongUse(t, []wrongUse{
		{[]string{"schedules", "report"}, []string{`"report"`}},
		{[]string{"schedules", "define"}, []string{"which schedule?", "when? Use --cron"}},
		{[]string{"schedules", "define", " ", "--cron", "@daily"}, []string{"which schedule?"}},
		{[]string{"schedules", "define", "a", "* * * * *"}, []string{"when? Use --cron", `argument "* * * * *" is neither key=value`}},
		{[]string{"schedules", "define", "a", "{", "--cron", ""}, []string{`args "{" are not a JSON object`, "empty --cron"}},
		{[]string{"schedules", "define", "a", "--cron", "@daily", "--queue", "", "--timezone="}, []string{"empty --queue", "empty --timezone"}},
		{[]string{"schedules", "define", "a", "--cron", "@daily", "--max-lateness", "10 min"}, []string{`"10 min" for --max-lateness: want a span`}},
		{[]string{"schedules", "define", "a", "--cron", "@daily", "--priority", "high"}, []string{`"high" for --priority: want a whole number`}},
		{[]string{"schedules", "show"}, []string{"one schedule is wanted, got 0"}},
		{[]string{"schedules", "show", ""}, []string{"empty schedule name"}},
		{[]string{"schedules", "run", "a", "b"}, []string{"one schedule is wanted, got 2"}},
		{[]string{"schedules", "drop"}, []string{"which schedule?"}},
		{[]string{"schedules", "enable", "a", " "}, []string{"empty schedule name"}},
		{[]string{"schedules", "disable"}, []string{"which schedule?"}},
	})
}

func TestSchedulesNeedTheDatabase(t *testing.T) {
	testNeedDatabase(t, "schedules", "schedules show x", "schedules define x --cron @daily", "schedules drop x", "schedules enable x", "schedules disable x", "schedules run x")
}
