package engine

import (
	"time"

	"github.com/squallhq/squall/safety/sli"
)

// Phase is a part of a run.
type Phase string

// The phases of a run, in order. Rollback is empty-handed where every fault had
// ended on its own.
const (
	PhaseBaseline Phase = "baseline"
	PhaseFaults   Phase = "faults"
	PhaseRollback Phase = "rollback"
	PhaseRecovery Phase = "recovery"
	PhaseDone     Phase = "done"
)

// Event is something that happened in a run, for a person to see. The engine calls
// its Observer with each one, from one goroutine at a time, and waits for the
// return: an Observer must be quick.
type Event struct {
	At   time.Time
	Kind EventKind
	// Phase is set for every event: the phase that the run is in.
	Phase Phase
	// Fault and Target name the step, for the step events.
	Fault, Target string
	// Text says what happened, in words. It holds no line break and no control
	// character.
	Text string
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of event.
const (
	EventPhase    EventKind = "phase"    // a phase began
	EventApplied  EventKind = "applied"  // a fault is in, and was verified
	EventReverted EventKind = "reverted" // a fault is out, and was verified gone
	EventLost     EventKind = "lost"     // a fault was gone before its time
	EventGuard    EventKind = "guard"    // a rule changed its answer
	EventAbort    EventKind = "abort"    // the run is being aborted, and why
	EventWarning  EventKind = "warning"  // something a person should know
	EventError    EventKind = "error"    // something went wrong
)

// Snapshot is the state of a run at one instant, for a live view. Taking one costs
// little and disturbs nothing.
type Snapshot struct {
	Run, Experiment string
	Phase           Phase
	Started         time.Time
	// PhaseEnds is when the present phase ends at the latest.
	PhaseEnds time.Time
	// Ends is when the run ends at the latest.
	Ends   time.Time
	SLIs   []SLISnapshot
	Faults []FaultSnapshot
	Guards []GuardSnapshot
}

// SLISnapshot is an SLI with its newest samples, oldest first.
type SLISnapshot struct {
	Name   string
	Unit   sli.Unit
	Recent []sli.Sample
}

// FaultSnapshot is a step with its state and its newest evidence.
type FaultSnapshot struct {
	Name, Target string
	State        string // waiting, applying, active, reverting, reverted, lost, failed
	Starts, Ends time.Time
	Evidence     Evidence
}

// GuardSnapshot is a rule with its newest answer.
type GuardSnapshot struct {
	Kind, Expr, Result, Value string
	SLIs                      []string
}
