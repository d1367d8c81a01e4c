package engine

import (
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/safety/sli"
)

// Verdict is what a run found out.
type Verdict string

// The verdicts.
const (
	Held         Verdict = "held"         // the hypothesis held, the faults provably took effect, steady state came back
	Breached     Verdict = "breached"     // an abort rule fired, a pass rule failed, or steady state did not come back
	Refused      Verdict = "refused"      // not admitted; nothing was touched
	Inconclusive Verdict = "inconclusive" // no evidence that a fault touched anything, or too little data to judge
	Stopped      Verdict = "stopped"      // a person or a signal stopped it
)

// Rollback says whether everything was put back.
type Rollback string

// What a rollback can come to.
const (
	Clean      Rollback = "clean"
	Incomplete Rollback = "incomplete"
)

// Result is a finished run. Its JSON form is a public interface: the last line of
// `squall run --output json`.
type Result struct {
	Verdict    Verdict   `json:"verdict"`
	Reason     string    `json:"reason"`
	Rollback   Rollback  `json:"rollback"`
	Run        string    `json:"run"`
	Experiment string    `json:"experiment"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended"`

	Faults   []FaultResult        `json:"faults"`
	Guards   []GuardResult        `json:"guards"`
	SLIs     map[string]SLIResult `json:"slis"`
	Reaction *Reaction            `json:"reaction,omitempty"`
	Recovery *Recovery            `json:"recovery,omitempty"`
	// Left names what could not be put back, where Rollback is incomplete.
	Left []string `json:"left,omitempty"`
	// Notes are further facts that a reader of the verdict should know.
	Notes []string `json:"notes,omitempty"`

	Hypothesis string `json:"hypothesis,omitempty"`
	File       string `json:"file,omitempty"`
	Digest     string `json:"digest,omitempty"`
	// Phases are the instants at which each phase began, in order.
	Phases []PhaseStart `json:"phases"`
}

// PhaseStart is the beginning of a phase.
type PhaseStart struct {
	Phase Phase     `json:"phase"`
	At    time.Time `json:"at"`
}

// FaultResult is one fault on one target.
type FaultResult struct {
	Name     string         `json:"name"`
	Injector string         `json:"injector"`
	Target   string         `json:"target"`
	Backend  string         `json:"backend"`
	Tier     injectors.Tier `json:"tier"`
	Applied  *time.Time     `json:"applied"`
	Reverted *time.Time     `json:"reverted"`
	Evidence Evidence       `json:"evidence"`
	Error    string         `json:"error,omitempty"`
}

// Evidence is what proves that a fault took effect.
type Evidence struct {
	Touched uint64           `json:"touched"`
	Unit    string           `json:"unit,omitempty"`
	Detail  string           `json:"detail,omitempty"`
	Facts   []injectors.Fact `json:"facts,omitempty"`
	// Lost says that, and when, the effect was gone before its time, for example
	// because its target was restarted.
	Lost *time.Time `json:"lost,omitempty"`
}

// GuardResult is the last evaluation of a rule.
type GuardResult struct {
	Kind   string `json:"kind"` // admit, abort, pass, recovery
	Expr   string `json:"expr"`
	Result string `json:"result"` // true, false, no data, error, not evaluated
	Value  string `json:"value"`  // what was measured: "checkout.p99(5s) = 812ms"
}

// SLIResult is one SLI over the phases of a run.
type SLIResult struct {
	Unit     sli.Unit     `json:"unit"`
	Baseline *sli.Summary `json:"baseline,omitempty"`
	Fault    *sli.Summary `json:"fault,omitempty"`
	Recovery *sli.Summary `json:"recovery,omitempty"`
	// Points are the samples themselves, thinned, for the report's charts.
	Points []Point `json:"points,omitempty"`
}

// Point is one sample in a report: seconds since the run's start, value, and
// whether it was ok. Value is null where a sample had none.
type Point struct {
	At    float64  `json:"t"`
	Value *float64 `json:"v"`
	OK    bool     `json:"ok"`
}

// Reaction is how fast a run ended when an abort rule fired.
type Reaction struct {
	// Breach is the first sample of the unbroken time for which the rule was true.
	Breach time.Time `json:"breach"`
	// Detected is when the rule had been true for long enough.
	Detected time.Time `json:"detected"`
	// AbortIssued is when the first revert began.
	AbortIssued time.Time `json:"abortIssued"`
	// Clean is when the last fault was verified gone; absent where one was not.
	Clean time.Time `json:"clean,omitzero"`
	// Total is the time from Breach to Clean in seconds; absent with it.
	Total float64 `json:"total,omitzero"`
}

// Recovery is how the steady state came back.
type Recovery struct {
	// Recovered says whether every admit rule became true again in time.
	Recovered bool `json:"recovered"`
	// Seconds is the time from the last revert until then.
	Seconds float64 `json:"seconds"`
}
