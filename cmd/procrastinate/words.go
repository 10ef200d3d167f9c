package main

import (
	"fmt"
	"strings"
	"time"
)

// people says a duration as people do: 5s, 90m, 36h, 12d.
func people(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}

func seconds(s float64) string { return people(time.Duration(s * float64(time.Second))) }

// moment is a time out of JSON as the tables show it: to the second.
func moment(text string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return strings.TrimSuffix(at.Format("2006-01-02 15:04:05-07:00"), ":00")
}

func plural(count int, what string) string {
	if count == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", count, what)
}

// oneLine cuts what a person reads in a line; all of it is in the job.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:199]) + "…"
	}
	return text
}

func jobCount(count int64) string {
	if count == 1 {
		return "1 job"
	}
	return thousands(count) + " jobs"
}

// thousands writes a number with a comma after every third digit.
func thousands(number int64) string {
	digits := fmt.Sprint(number)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
