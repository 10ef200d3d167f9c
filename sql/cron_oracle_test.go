//go:build integration

package sql_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

// expression is a cron expression, its fields as sets of bits.
type expression struct {
	text    string
	robfig  *cron.SpecSchedule // as robfig/cron reads it, 7 written as 0
	refused bool               // it does not read the 7
	spec    *cron.SpecSchedule // as it is to be read: other marks at the days
}

const (
	star     = 1 << 63
	allHours = 1<<24 - 1
)

// parseCron reads five or six fields; theirs is another way to write the days of the week, for robfig/cron.
func parseCron(t *testing.T, text string, theirs ...string) *expression {
	t.Helper()
	read := func(text string, week ...string) (*cron.SpecSchedule, error) {
		fields := strings.Fields(text)
		if len(fields) == 5 {
			fields = append(fields, "0")
		}
		copy(fields[4:], week)
		parser := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
		schedule, err := parser.Parse(strings.Join(append(fields[5:], fields[:5]...), " "))
		if err != nil {
			return nil, err
		}
		return schedule.(*cron.SpecSchedule), nil
	}
	_, err := read(text)
	robfig, fault := read(text, theirs...)
	if fault != nil {
		t.Fatalf("%s: %v", text, fault)
	}
	spec := *robfig
	fields := strings.Fields(text)
	for n, days := range map[int]*uint64{2: &spec.Dom, 4: &spec.Dow} {
		if *days &^= star; fields[n][0] == '*' {
			*days |= star
		}
	}
	return &expression{text, robfig, err != nil, &spec}
}

func (e *expression) hourly() bool { return e.spec.Hour&allHours == allHours }

// step is how finely one must look; the clock of some places was once off by seconds.
func (e *expression) step(after time.Time, zone *time.Location) time.Duration {
	if e.spec.Second&^star == 1 && offset(after, zone)%time.Minute == 0 {
		return time.Minute
	}
	return time.Second
}

// day tells whether one of the days between two wall-clock times matches.
func (e *expression) day(from, until time.Time) bool {
	for day := from.Truncate(24 * time.Hour); !day.After(until); day = day.Add(24 * time.Hour) {
		month, inMonth, inWeek := e.spec.Month>>day.Month()&1 == 1, e.spec.Dom>>day.Day()&1 == 1, e.spec.Dow>>day.Weekday()&1 == 1
		both := (e.spec.Dom|e.spec.Dow)&star != 0
		if month && (inMonth && inWeek || !both && (inMonth || inWeek)) {
			return true
		}
	}
	return false
}

func (e *expression) matches(wall time.Time) bool {
	return e.spec.Second>>wall.Second()&1 == 1 && e.spec.Minute>>wall.Minute()&1 == 1 && e.spec.Hour>>wall.Hour()&1 == 1 && e.day(wall, wall)
}

// runs walks through the instants and looks at the clock on the wall. With all hours chosen each instant whose time matches is a
// run. Else a time that matches runs when the clock first shows it, or a later one; what it has shown it does not show again.
func (e *expression) runs(after time.Time, zone *time.Location) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		step := e.step(after, zone)
		at := after.Add(-30 * time.Hour).Truncate(step) // the clock may have shown more by then than at after
		for shown := wall(at, zone); ; {
			if at.Unix()%3600 == 0 { // days on which nothing runs go by quickly
				if far := at.Add(20 * time.Hour); !e.day(shown, wall(far, zone)) {
					at, shown = far, later(shown, wall(far, zone))
					continue
				}
			}
			at = at.Add(step)
			now, due := wall(at, zone), false
			if e.hourly() {
				due = e.matches(now)
			}
			for ; shown.Before(now); shown = shown.Add(step) {
				due = due || !e.hourly() && e.matches(shown.Add(step))
			}
			if due && at.After(after) && !yield(at) {
				return
			}
		}
	}
}

func (e *expression) next(after time.Time, zone *time.Location) time.Time {
	for run := range e.runs(after, zone) {
		return run
	}
	panic("the walk has no end")
}

// wall is what the clock of the zone shows, as if it were the time in UTC.
func wall(at time.Time, zone *time.Location) time.Time { return at.UTC().Add(offset(at, zone)) }

func offset(at time.Time, zone *time.Location) time.Duration {
	_, seconds := at.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// setBy is how far the clock is set forward at an instant.
func setBy(at time.Time, zone *time.Location) time.Duration {
	return offset(at, zone) - offset(at.Add(-time.Second), zone)
}

// clockChanges are the instants after one and until another at which the clock is set, at most once a day.
func clockChanges(zone *time.Location, after, until time.Time) (changes []time.Time) {
	for at := after.Truncate(time.Second); at.Before(until); at = at.Add(24 * time.Hour) {
		if now := offset(at, zone); offset(at.Add(24*time.Hour), zone) != now {
			n := sort.Search(24*3600, func(n int) bool { return offset(at.Add(time.Duration(n)*time.Second), zone) != now })
			if change := at.Add(time.Duration(n) * time.Second); !change.After(until) {
				changes = append(changes, change)
			}
		}
	}
	return changes
}

// cronDice makes expressions at random.
type cronDice struct{ *rand.Rand }

var (
	monthNames = strings.Fields("jan Feb mar apr may JUN jul aug sep oct nov dec")
	dayNames   = strings.Fields("Sun mon tue WED thu fri sat")
)

func (d cronDice) span(most time.Duration) time.Duration {
	return time.Duration(d.Int64N(int64(most)))
}

func (d cronDice) expression(t *testing.T) *expression {
	t.Helper()
	for {
		week, theirs := d.week()
		fields := []string{d.field(0, 59, nil), d.field(0, 23, nil), d.field(1, 31, nil), d.field(1, 12, monthNames), week}
		if d.IntN(2) == 0 {
			fields[2], fields[3], fields[4], theirs = "*", "*", "*", "*"
		}
		if d.IntN(3) == 0 {
			fields = append(fields, d.field(0, 59, nil))
		}
		e := parseCron(t, strings.Join(fields, " "), theirs)
		both := (e.spec.Dom|e.spec.Dow)&star != 0
		anyDay := *e.spec
		anyDay.Dow = 1<<7 - 1 | star
		leapYear := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
		if !both || (&expression{spec: &anyDay}).day(leapYear, leapYear.AddDate(0, 0, 365)) { // not a 30th of February
			return e
		}
	}
}

// week is a field for days of the week, and what robfig/cron is told for it.
func (d cronDice) week() (text, theirs string) {
	first := 1 + d.IntN(6)
	switch d.IntN(16) {
	case 0:
		return "7", "0"
	case 1:
		return fmt.Sprintf("%d-7", first), fmt.Sprintf("%d-6,0", first)
	case 2:
		return fmt.Sprintf("%s-sun", dayNames[first]), fmt.Sprintf("%d-6,0", first)
	default:
		text = d.field(0, 6, dayNames)
		return text, text
	}
}

func (d cronDice) field(least, most int, names []string) string {
	if d.IntN(5) < 2 {
		return "*"
	}
	items := []string{d.item(least, most, names)}
	for d.IntN(3) == 0 {
		items = append(items, d.item(least, most, names))
	}
	if d.IntN(6) == 0 { // in the first place it would make another rule hold for the day's fields
		items[0] = fmt.Sprintf("*/%d", 2+d.IntN(most-least))
	}
	return strings.Join(items, ",")
}

func (d cronDice) item(least, most int, names []string) string {
	value := func(n int) string {
		if names != nil && d.IntN(2) == 0 {
			return names[n-least]
		}
		return fmt.Sprint(n)
	}
	first := least + d.IntN(most-least+1)
	last := first + d.IntN(most-first+1)
	step := 1 + d.IntN(most-least+1)
	switch d.IntN(5) {
	case 0:
		return value(first) + "-" + value(last)
	case 1:
		return fmt.Sprintf("%s-%s/%d", value(first), value(last), step)
	case 2:
		return fmt.Sprintf("%s/%d", value(first), step)
	default:
		return value(first)
	}
}
