package schedules

import (
	"maps"
	"slices"
	"time"
)

const (
	// lateness is how late a run may be noticed and still be fired. It is longer than
	// a turn of the loop by far, and shorter than what anybody would call on time.
	lateness = 15 * time.Second
	// setBack is how far the clock may be set back without any run being repeated. A
	// clock that goes back farther was wrong before.
	setBack = 3 * time.Hour
	// maxMissed bounds the counting of missed runs.
	maxMissed = 1000
)

// calendar knows which plans are due. It looks at nothing but the wall clock it is
// told, so that it needs no notice of a clock that was set or a machine that slept.
type calendar struct {
	entries map[string]*entry
}

// entry is a plan, and the wall clock's time until which its runs are settled: fired,
// or left out.
type entry struct {
	plan    *Plan
	settled time.Time
}

// due is what became of one plan's times since the last look.
type due struct {
	plan *Plan
	// fire is the time to fire for now, zero where there is none.
	fire time.Time
	// missed counts the times that were left out; first and last are theirs.
	missed      int
	first, last time.Time
	// setBack says by how much the clock was set back, where that is so much that the
	// plan begins anew.
	setBack time.Duration
}

// set makes plans the ones to look after. A plan that was there before and is the same
// goes on where it was; the others begin now.
func (c *calendar) set(plans []*Plan, now time.Time) {
	entries := map[string]*entry{}
	for _, plan := range plans {
		entries[plan.Name] = &entry{plan, now}
		if old := c.entries[plan.Name]; old != nil && old.plan.same(plan) {
			entries[plan.Name].settled = old.settled
		}
	}
	c.entries = entries
}

func (p *Plan) same(other *Plan) bool {
	return p.fields == other.fields && p.zone.String() == other.zone.String() && p.Experiment == other.Experiment
}

// look returns what happened to the plans until now, by name. A plan to which nothing
// happened is left out.
func (c *calendar) look(now time.Time) []due {
	var all []due
	for _, name := range slices.Sorted(maps.Keys(c.entries)) {
		if d := c.entries[name].look(now); d.missed > 0 || d.setBack > 0 || !d.fire.IsZero() {
			all = append(all, d)
		}
	}
	return all
}

func (e *entry) look(now time.Time) due {
	d := due{plan: e.plan}
	if back := e.settled.Sub(now); back > 0 {
		if back > setBack {
			d.setBack = back
			e.settled = now
		}
		return d
	}
	horizon := now.Add(-lateness)
	at := e.plan.Next(e.settled)
	for ; !at.IsZero() && !at.After(horizon); at = e.plan.Next(at) {
		d.miss(at)
		if d.missed == maxMissed {
			at = horizon.Add(-time.Nanosecond)
		}
	}
	for ; !at.IsZero() && !at.After(now); at = e.plan.Next(at) {
		if !d.fire.IsZero() {
			d.miss(d.fire)
		}
		d.fire = at
	}
	e.settled = now
	return d
}

func (d *due) miss(at time.Time) {
	if d.missed++; d.missed == 1 {
		d.first = at
	}
	d.last = at
}

// next returns when a plan is due next, zero where never.
func (e *entry) next() time.Time { return e.plan.Next(e.settled) }
