package main

import (
	"errors"
	"fmt"
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

// sql is the same as text for PostgreSQL, of which version 14 reads no large numbers of seconds.
func (s *span) sql() string {
	return fmt.Sprintf("%d days %02d:%02d:%02d.%06d", s.days, s.rest/time.Hour, s.rest%time.Hour/time.Minute,
		s.rest%time.Minute/time.Second, s.rest%time.Second/time.Microsecond)
}

// duration counts a day as 24 hours.
func (s *span) duration() time.Duration {
	return time.Duration(s.days)*24*time.Hour + s.rest
}

// durationFlag is the value of a flag that fills a field of the library's: all that a span may be.
type durationFlag struct{ target *time.Duration }

func addDuration(flags *pflag.FlagSet, target *time.Duration, name, usage string) {
	flag := flags.VarPF(durationFlag{target}, name, "", usage)
	if *target == 0 {
		flag.DefValue = "" // not shown
	}
}

// Type is that of pflag's own, which checkPositive knows.
func (f durationFlag) Type() string { return "duration" }

func (f durationFlag) String() string { return f.target.String() }

func (f durationFlag) Set(text string) (err error) {
	*f.target, err = parseDuration(text)
	return err
}

// parseDuration lets a negative one pass: it is refused together with what else is wrong.
func parseDuration(text string) (time.Duration, error) {
	if duration, err := time.ParseDuration(text); err == nil {
		return duration, nil
	}
	parsed, err := parseSpan(text)
	return parsed.duration(), err
}
