package guard

import (
	"time"
)

// NoDataPolicy says what it means for an abort rule that its data is missing.
type NoDataPolicy string

// The policies.
const (
	NoDataAbort  NoDataPolicy = "abort"  // as if the rule were true
	NoDataHold   NoDataPolicy = "hold"   // the last answer stands
	NoDataIgnore NoDataPolicy = "ignore" // as if the rule were false
)

const (
	// heartbeat is the longest that a Watch goes unchecked.
	heartbeat = time.Second
	// tick is how often a rule is checked that reads the clock.
	tick = 100 * time.Millisecond
)

// Watch applies an abort rule over time: it must be true for a while before it
// fires, and missing data has a meaning. A Watch has no clock of its own: somebody
// calls Check when a sample came, and at Next. It is for one goroutine.
type Watch struct {
	rule   *Rule
	hold   time.Duration
	policy NoDataPolicy
	since  time.Time // when the rule became true; zero while it is false
	next   time.Time
}

// NewWatch watches an abort rule that must be true for hold before it fires. An
// empty policy is NoDataAbort.
func NewWatch(rule *Rule, hold time.Duration, policy NoDataPolicy) *Watch {
	if policy == "" {
		policy = NoDataAbort
	}
	return &Watch{rule: rule, hold: hold, policy: policy}
}

// Policy says what missing data means.
func (w *Watch) Policy() NoDataPolicy { return w.policy }

// Verdict is what a Watch makes of an outcome.
type Verdict struct {
	// Fire says that the run must be aborted.
	Fire bool
	// Since is when the rule became true, or when its data went missing where that
	// counts as true; zero while it is false.
	Since   time.Time
	Outcome Outcome
}

// Check evaluates the rule at now, which must not go back.
func (w *Watch) Check(world World, now time.Time) Verdict {
	outcome := w.rule.Eval(world, now)
	if w.breached(outcome) {
		if w.since.IsZero() {
			w.since = now
		}
	} else {
		w.since = time.Time{}
	}
	fire := !w.since.IsZero() && now.Sub(w.since) >= w.hold
	w.next = w.due(world, now, outcome, fire)
	return Verdict{Fire: fire, Since: w.since, Outcome: outcome}
}

// breached says whether an outcome counts as true.
func (w *Watch) breached(outcome Outcome) bool {
	switch {
	case outcome.Known():
		return outcome.True
	case outcome.Early: // it is not missing yet
		return !w.since.IsZero()
	case w.policy == NoDataHold:
		return !w.since.IsZero()
	}
	return w.policy == NoDataAbort
}

// Next is when Check must be called again, even if no sample comes before; the zero
// time before the first Check. It is at most a second after the last Check.
func (w *Watch) Next() time.Time { return w.next }

// due finds the first instant at which time alone can change the answer.
func (w *Watch) due(world World, now time.Time, outcome Outcome, fired bool) time.Time {
	next := now.Add(heartbeat)
	consider := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	if w.rule.timed {
		consider(now.Add(tick))
	}
	if !w.since.IsZero() && !fired {
		consider(w.since.Add(w.hold))
	}
	for _, name := range w.rule.slis {
		series := world.Series(name)
		if series == nil {
			continue
		}
		consider(justAfter(series.StaleAt()))
		if outcome.Early {
			consider(justAfter(series.EarlyUntil()))
		}
	}
	return next
}

// justAfter is the first instant at which a limit has been passed.
func justAfter(limit time.Time) time.Time { return limit.Add(1) }
