// Package schedules runs experiments by the calendar: it reads the cron expressions
// and time zones of schedules, and serves a folder of documents.
//
// # Times that the clock skips or repeats
//
// A schedule's fields are read on the wall clock of its time zone. Where that clock
// is set forward (in Berlin on the last Sunday of March, from 02:00 to 03:00), a
// time in between does not come that day. Where it is set back, a time that comes
// twice counts once, the first time. So a nightly run is at most once a night.
//
// # Time that passes unseen
//
// A run that was due while the machine slept, while squall was stopped, or in a
// stretch that somebody skipped by setting the clock, is left out, and said to be. A
// clock that is set back a little repeats no run; see [Server].
package schedules

import (
	"time"
	_ "time/tzdata" // a bare host has no time zones of its own

	"github.com/robfig/cron/v3"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/internal/strict"
)

// MaxUpcoming is the most times that Upcoming returns.
const MaxUpcoming = 1000

// Plan is a schedule whose times can be told.
type Plan struct {
	// Name is the schedule's own, Experiment that of the experiment it runs.
	Name, Experiment string
	// File is where the schedule was read.
	File string

	fields string // the cron expression, with seconds
	cron   cron.Schedule
	zone   *time.Location
}

// Compile reads a schedule's cron expression and time zone, and reports every problem
// at its place in the file.
func Compile(doc *experiments.Schedule) (*Plan, strict.Problems) {
	fields, problems := parseCron(doc.Spec.Cron)
	zone, problem := parseZone(doc.Spec.TimeZone)
	if problem != nil {
		problems = append(problems, problem)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	calendar, err := parser.Parse(fields)
	if err != nil { // each field could be read
		return nil, strict.Problems{doc.Spec.Cron.At.Problemf("the cron expression cannot be read: %v", err)}
	}
	// Any four years in a row that hold a leap day will do.
	if calendar.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, strict.Problems{doc.Spec.Cron.At.Problemf("the time of this cron expression never comes").
			WithHint("check the day and the month: there is no 30 February")}
	}
	return &Plan{
		Name: doc.Metadata.Name, Experiment: doc.Spec.Experiment, File: doc.File,
		fields: fields, cron: calendar, zone: zone,
	}, nil
}

// Next returns the first time after a moment at which the schedule is due, in the
// schedule's zone. It is zero where there is none within five years.
func (p *Plan) Next(after time.Time) time.Time {
	// The calendar is asked in a zone without changes, where every day has 24 hours:
	// it is wrong around changes of the clock, most of all those by half an hour.
	wall := onWall(after.In(p.zone))
	limit := wall.AddDate(5, 0, 0)
	for wall = p.cron.Next(wall); !wall.IsZero() && wall.Before(limit); wall = p.cron.Next(wall) {
		if at, ok := firstInstant(wall, p.zone); ok && at.After(after) {
			return at
		}
	}
	return time.Time{}
}

// Upcoming returns the next n times, at most MaxUpcoming.
func (p *Plan) Upcoming(after time.Time, n int) []time.Time {
	var times []time.Time
	for range min(n, MaxUpcoming) {
		if after = p.Next(after); after.IsZero() {
			break
		}
		times = append(times, after)
	}
	return times
}

// onWall returns what the clock on the wall shows at t, as a time in UTC.
func onWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// firstInstant returns the first moment at which the wall clock of zone shows a time,
// and whether it ever does.
func firstInstant(wall time.Time, zone *time.Location) (time.Time, bool) {
	// Around a change, Date takes the offset on either side of it.
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	if !onWall(at).Equal(wall) {
		return time.Time{}, false
	}
	if change, _ := at.ZoneBounds(); !change.IsZero() {
		_, before := change.Add(-time.Second).Zone()
		_, now := at.Zone()
		if earlier := at.Add(time.Duration(now-before) * time.Second); earlier.Before(change) && onWall(earlier).Equal(wall) {
			return earlier, true
		}
	}
	return at, true
}
