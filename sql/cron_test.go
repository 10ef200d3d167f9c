//go:build integration

package sql_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func cronZones(t *testing.T) (zones []*time.Location) {
	t.Helper()
	for _, name := range []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana"} {
		zones = append(zones, location(t, name))
	}
	return zones
}

// question is what procrastinate_cron_next is asked.
type question struct {
	*expression
	after time.Time
	zone  *time.Location
}

// cronNext asks all of them in one statement.
func (s *session) cronNext(questions []question) []time.Time {
	s.t.Helper()
	crons, afters, zones := make([]string, len(questions)), make([]time.Time, len(questions)), make([]string, len(questions))
	for i, q := range questions {
		crons[i], afters[i], zones[i] = q.text, q.after, q.zone.String()
	}
	rows, _ := s.conn.Query(context.Background(), `
		select procrastinate_cron_next(q.cron, q.after, q.zone)
		from unnest($1::text[], $2::timestamptz[], $3::text[]) with ordinality q(cron, after, zone, n)
		order by q.n`, crons, afters, zones)
	answers, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		s.t.Fatalf("cron_next: %v", err)
	}
	return answers
}

// Where robfig/cron answers otherwise, on purpose or by mistake, and what is right instead, which is what the walk of the oracle
// says. Everything else must be equal.
var cronDifferences = []struct {
	name    string
	applies func(q question, ours, theirs time.Time) bool
}{
	{
		"Sunday is 7 too, also in fri-7 and fri-sun; robfig/cron refuses them",
		func(q question, _, _ time.Time) bool { return q.refused },
	}, {
		"*/2 in a day field is no restriction, as in Vixie's cron; to robfig/cron it is one, so that either field is enough",
		func(q question, _, _ time.Time) bool {
			return (q.robfig.Dom|q.robfig.Dow)&star != (q.spec.Dom|q.spec.Dow)&star
		},
	}, {
		"a run may be decades away; robfig/cron gives up after five years",
		func(q question, ours, theirs time.Time) bool {
			return theirs.IsZero() && ours.Year() > q.after.In(q.zone).Year()+5
		},
	}, {
		"a time that is left out runs right after the gap; robfig/cron leaves out the run",
		func(q question, ours, theirs time.Time) bool {
			return !q.hourly() && setBy(ours, q.zone) > 0 && (theirs.IsZero() || theirs.After(ours))
		},
	}, {
		"a time that comes twice runs the first time; robfig/cron runs it twice",
		func(q question, ours, theirs time.Time) bool {
			return !q.hourly() && ours.After(theirs) && slices.ContainsFunc(clockChanges(q.zone, theirs.Add(-24*time.Hour), theirs), func(change time.Time) bool {
				return theirs.Sub(change) < -setBy(change, q.zone)
			})
		},
	}, {
		"a clock may be set by half an hour; robfig/cron adds whole hours, and then has the wrong one",
		func(q question, ours, theirs time.Time) bool {
			return changed(q, q.after.Add(-time.Hour), later(ours, theirs), func(change time.Time) bool { return setBy(change, q.zone)%time.Hour != 0 })
		},
	}, {
		"a day may begin at one; robfig/cron then has the day before, or the wrong hour",
		func(q question, ours, theirs time.Time) bool {
			return changed(q, q.after.AddDate(0, -1, 0), later(ours, theirs), func(change time.Time) bool {
				return setBy(change, q.zone) > 0 && wall(change.Add(-1), q.zone).Hour() == 23
			})
		},
	},
}

// changed tells whether the clock is set in such a way; robfig/cron looks from the beginning of the hour or month.
func changed(q question, after, until time.Time, such func(change time.Time) bool) bool {
	return slices.ContainsFunc(clockChanges(q.zone, after, until), such)
}

// CRON_SEED gives other questions.
func TestCronNextAgainstRobfig(t *testing.T) {
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("CRON_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("CRON_SEED=%d", seed)
	dice := cronDice{rand.New(rand.NewPCG(seed, 0))}

	var questions []question
	for range 800 {
		for _, zone := range cronZones(t) {
			after := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(dice.span(36 * 365 * 24 * time.Hour))
			if change := clockChanges(zone, after, after.AddDate(1, 0, 0)); len(change) > 0 && dice.IntN(2) == 0 {
				after = change[0].Add(dice.span(4*time.Hour) - 3*time.Hour)
			}
			questions = append(questions, question{dice.expression(t), after.Truncate(time.Microsecond), zone})
		}
	}
	for _, zone := range cronZones(t) { // there is no leap day in 2100
		questions = append(questions, question{parseCron(t, "30 12 29 2 *"), time.Date(2096, 3, 1, 0, 0, 0, 0, time.UTC).Add(dice.span(365 * 24 * time.Hour)), zone})
	}

	met := make([]int, len(cronDifferences))
	for i, ours := range install(t).cronNext(questions) {
		q := questions[i]
		theirs := q.robfig.Next(q.after.In(q.zone))
		differs := q.refused || !ours.Equal(theirs)
		if differs || q.step(q.after, q.zone) == time.Minute { // by the second it takes long
			if right := q.next(q.after, q.zone); !ours.Equal(right) {
				t.Errorf("%s after %s: got %s, want %s, robfig/cron says %s", q.text, q.after.In(q.zone), ours.In(q.zone), right.In(q.zone), theirs)
			}
		}
		meant := !differs
		for k, difference := range cronDifferences {
			if differs && difference.applies(q, ours, theirs) {
				met[k]++
				meant = true
			}
		}
		if !meant {
			t.Errorf("%s after %s: got %s, robfig/cron says %s", q.text, q.after.In(q.zone), ours.In(q.zone), theirs)
		}
	}
	for k, difference := range cronDifferences {
		t.Logf("%d times: %s", met[k], difference.name)
		if met[k] == 0 {
			t.Errorf("never met: %s", difference.name)
		}
	}
}

// All runs of some days around each change of the clock are those of the walk.
func TestCronNextWhereTheClockIsSet(t *testing.T) {
	expressions := []*expression{
		parseCron(t, "*/30 * * * *"), parseCron(t, "7 * * * *"), parseCron(t, "45 0-23 * * 0,6"), // hourly or finer
		parseCron(t, "0 0 * * *"), parseCron(t, "30 2 * * *"), parseCron(t, "45 23 * * *"), parseCron(t, "15 1 * * 0"), parseCron(t, "*/20 1-3 * * *"),
		parseCron(t, "5,40 */2 * * *"), parseCron(t, "59 0-22 * * *"), parseCron(t, "0,30 1-23 * * *"), parseCron(t, "0 12 30 12 *"), parseCron(t, "10 2,3 * * 1-6"),
		parseCron(t, "29 * * * * */30"), parseCron(t, "0,30 0-3 * * * 59"),
	}
	var questions []question
	var want []time.Time
	ask := func(zone *time.Location, change time.Time) {
		for _, e := range expressions {
			after := change.Add(-30 * time.Hour)
			for run := range e.runs(after, zone) {
				questions, want = append(questions, question{e, after, zone}), append(want, run)
				if after = run; after.After(change.Add(30 * time.Hour)) {
					break
				}
			}
		}
	}
	for _, zone := range cronZones(t) {
		for _, change := range clockChanges(zone, time.Date(2025, 1, 1, 0, 0, 0, 0, zone), time.Date(2027, 1, 1, 0, 0, 0, 0, zone)) {
			ask(zone, change)
		}
	}
	for name, year := range map[string]int{
		"Pacific/Apia":     2011, // a whole day was left out
		"Antarctica/Troll": 2026, // by two hours
		"America/Asuncion": 2023, // back to the day before
		"Asia/Beirut":      2022, // the same
		"Africa/Monrovia":  1972, // by 44 minutes and 30 seconds
	} {
		zone := location(t, name)
		for _, change := range clockChanges(zone, time.Date(year, 1, 1, 0, 0, 0, 0, zone), time.Date(year+1, 1, 1, 0, 0, 0, 0, zone)) {
			ask(zone, change)
		}
	}
	for i, got := range install(t).cronNext(questions) {
		if q := questions[i]; !got.Equal(want[i]) {
			t.Errorf("%s after %s: got %s, want %s", q.text, q.after.In(q.zone), got.In(q.zone), want[i].In(q.zone))
		}
	}
	t.Logf("%d runs", len(questions))
}
