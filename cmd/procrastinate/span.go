package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/spf13/pflag"
)

// span is the value of a flag: Go's durations, and before them weeks and days, as in 2w, 30d or 1d12h.
type span struct {
	text  string
	days  int // apart, for with summer time a day is not always 24 hours
	rest  time.Duration
	given bool
}

func spanFlag(flags *pflag.FlagSet, name, usage string) *span {
	s := &span{}
	flags.Var(s, name, usage)
	return s
}

func (s *span) Type() string { return "span" }

func (s *span) String() string { return s.text }

func (s *span) Set(text string) error {
	parsed, err := parseSpan(text)
	if err == nil {
		*s = parsed
	}
	return err
}

const maxSpanDays = 36500 // the database takes a hundred years

var errNoSpan = errors.New("not a span")

func parseSpan(text string) (span, error) {
	parsed := span{text: text, given: true}
	rest := text
	for _, unit := range []struct {
		name string
		days int
	}{{"w", 7}, {"d", 1}} {
		count, after, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		number, err := strconv.ParseUint(count, 10, 16)
		if err != nil {
			return span{}, errNoSpan
		}
		parsed.days += int(number) * unit.days
		rest = after
	}
	if rest == "" && text != "" {
		rest = "0"
	}
	var err error
	parsed.rest, err = time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest, "+-") || parsed.days > maxSpanDays || parsed.rest > maxSpanDays*24*time.Hour {
		return span{}, errNoSpan
	}
	return parsed, nil
}

// interval is NULL for a flag that was not given.
func (s *span) interval() pgtype.Interval {
	return pgtype.Interval{Days: int32(s.days), Microseconds: s.rest.Microseconds(), Valid: s.given}
}

// duration counts a day as 24 hours.
func (s *span) duration() time.Duration {
	return time.Duration(s.days)*24*time.Hour + s.rest
}
