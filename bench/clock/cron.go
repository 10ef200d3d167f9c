package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/procrastinate-pg/procrastinate/bench/lab"
)

// cronZone is not UTC, so that the functions have to mind daylight saving.
const cronZone = "Europe/Berlin"

// cronNext times a thousand calls, each for another instant. The sparsest expression is one that may have to look eight years ahead.
func cronNext(ctx context.Context, r *room) error {
	various, worst := make([]time.Time, r.plan.count(1000)), make([]time.Time, r.plan.count(1000))
	first, last := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range various {
		various[i] = first.Add(rand.N(last.Sub(first)))
		worst[i] = time.Date(2096, 3, 1, 0, 0, i, 0, time.UTC)
	}
	for _, c := range []struct {
		cron, name string
		after      []time.Time
	}{
		{"0 0 29 2 *", ", from 1 March 2096", worst},
		{"0 0 29 2 *", "", various},
		{"0 0 13 * fri", "", various},
		{"30 2 1 * *", "", various},
		{"*/5 9-17 * * mon-fri", "", various},
		{"0 3 * * *", "", various},
		{"@hourly", "", various},
		{"* * * * *", "", various},
		{"* * * * * */2", "", various},
	} {
		var each []float64
		for range r.plan.Rounds {
			begin := time.Now()
			n, err := r.number(ctx, `select count(procrastinate_cron_next($1::text, a, $2::text)) from unnest($3::timestamptz[]) a`,
				c.cron, cronZone, c.after)
			if err != nil {
				return err
			}
			if n != int64(len(c.after)) {
				return fmt.Errorf("%s has no next run after %d instants", c.cron, int64(len(c.after))-n)
			}
			each = append(each, float64(time.Since(begin).Microseconds())/float64(n))
		}
		r.figure("cron_next, "+c.cron+c.name, oneCron, each...)
	}
	return nil
}

// crons are expressions, seconds last, each of which has a run at the instant.
func crons(at time.Time) []string {
	s, m, h, d := at.Second(), at.Minute(), at.Hour(), at.Day()
	month, weekday := at.Format("Jan"), at.Format("Mon")
	return []string{
		fmt.Sprintf("* * * * * %d", s),
		fmt.Sprintf("%d * * * * %d", m, s),
		fmt.Sprintf("%d,%d %d-23/2 * * * %d", m, (m+30)%60, h%2, s),
		fmt.Sprintf("%d %d * * * %d", m, h, s),
		fmt.Sprintf("%d %d %d * * %d", m, h, d, s),
		fmt.Sprintf("%d %d * * %s %d", m, h, weekday, s),
		fmt.Sprintf("%d %d %d %s * %d", m, h, d, month, s),
		fmt.Sprintf("%d %d * %s %s %d", m, h, month, weekday, s),
	}
}

var zones = []string{"Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"}

// define defines schedules with various crons, half of them in zones of their own, that all have a run at the instant.
func (r *room) define(ctx context.Context, count int, at time.Time) error {
	expressions, timezones := make([]string, count), make([]string, count)
	for i := range count {
		timezones[i] = "UTC"
		if i%2 == 1 {
			timezones[i] = zones[i/2%len(zones)]
		}
		zone, err := time.LoadLocation(timezones[i])
		if err != nil {
			return err
		}
		forms := crons(at.In(zone))
		expressions[i] = forms[i/8%len(forms)]
	}
	return r.exec(ctx, `
		select count(*)
		from unnest($1::text[], $2::text[]) with ordinality s(cron, timezone, i)
		cross join lateral procrastinate_define_schedule('schedule ' || s.i, s.cron, 'nothing', timezone => s.timezone)`,
		expressions, timezones)
}

// schedulesDue times the ticks that defer the jobs of all schedules at once.
func schedulesDue(ctx context.Context, r *room) error {
	var spans, ticks []float64
	ahead := time.Second + time.Duration(r.plan.Schedules)*2*time.Millisecond // for which they are defined before they are due
	for round := 0; round < min(r.plan.Rounds, 3); {
		if err := r.fresh(ctx); err != nil {
			return err
		}
		at := time.Now().Add(ahead).Truncate(time.Second)
		if err := r.define(ctx, r.plan.Schedules, at); err != nil {
			return err
		}
		if time.Now().After(at) {
			ahead *= 2
			continue
		}
		if err := r.exec(ctx, "vacuum analyze"); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(at.Add(10 * time.Millisecond))):
		}
		span, count, err := r.tickUntil(ctx, int64(r.plan.Schedules))
		if err != nil {
			return err
		}
		r.log("round %d  %d schedules deferred in %s, %d ticks", round+1, r.plan.Schedules, span, count)
		spans, ticks = append(spans, span.Seconds()), append(ticks, float64(count))
		round++
	}
	r.figure(fmt.Sprintf("%d schedules due at one instant", r.plan.Schedules), allDue, spans...)
	r.figure("... ticks that took", lab.None(""), ticks...)
	return nil
}

// tickUntil ticks until there are so many jobs, and returns how long the ticks took.
func (r *room) tickUntil(ctx context.Context, jobs int64) (took time.Duration, ticks int, err error) {
	const most = 100
	for ticks < most {
		begin := time.Now()
		if err := r.exec(ctx, `select procrastinate_tick()`); err != nil {
			return took, ticks, err
		}
		took += time.Since(begin)
		ticks++
		n, err := r.number(ctx, `select count(*) from procrastinate_jobs`)
		if err != nil || n == jobs {
			return took, ticks, err
		}
	}
	n, err := r.number(ctx, `select count(*) from procrastinate_jobs`)
	if err == nil {
		err = fmt.Errorf("%d ticks deferred %d jobs of %d schedules", most, n, jobs)
	}
	return took, ticks, err
}

// idleTicks times ticks that find nothing, without schedules and with many.
func idleTicks(ctx context.Context, r *room) error {
	for _, schedules := range []int{0, r.plan.Schedules} {
		// half a year off, whatever the form: the last four name a day
		at := time.Now().AddDate(0, 6, 0).Truncate(time.Second)
		if schedules > 0 {
			if err := r.exec(ctx, `
				select count(*)
				from generate_series(1, $1) i
				cross join lateral procrastinate_define_schedule('schedule ' || i, $2, 'nothing')`,
				schedules, crons(at)[6]); err != nil {
				return err
			}
		}
		if err := r.exec(ctx, "vacuum analyze"); err != nil {
			return err
		}
		var each []float64
		for range r.plan.count(300) {
			begin := time.Now()
			if err := r.exec(ctx, `select procrastinate_tick()`); err != nil {
				return err
			}
			each = append(each, time.Since(begin).Seconds()*1000)
		}
		r.figure(fmt.Sprintf("a tick when nothing is due, %d schedules", schedules), lab.None("ms"), lab.Median(each))
	}
	return nil
}
