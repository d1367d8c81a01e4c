// Package experiments is squall's language: the documents that people write, as Go
// types, and their strict loader. It has no effects.
//
// A document's open parts (what a fault does, how an SLI is sampled, how a target
// is selected) are variants: their types come from outside, in a
// strict.Vocabulary, so that this package knows no injector and no sampler.
package experiments

import (
	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

// APIVersion is the version of the language, in every document's first line.
const APIVersion = "squall/v1"

// The names of the variants' sets, as keys of the Vocabulary.
const (
	TargetChoices = "target"
	SLIChoices    = "sli"
	FaultChoices  = "fault"
)

// Metadata names a document and says whose it is.
type Metadata struct {
	Name        string            `yaml:"name" required:"true" doc:"Lower-case letters, digits and hyphens; the document's name in reports and schedules." example:"slow-payments"`
	Description string            `yaml:"description" doc:"What the document is for, in a sentence."`
	Owner       string            `yaml:"owner" doc:"Who answers for it." example:"team-checkout"`
	Labels      map[string]string `yaml:"labels" doc:"Free labels."`
	Runbook     string            `yaml:"runbook" doc:"A link for the person who is called."`
}

// Experiment is a hypothesis about a steady state, and the faults that try it.
type Experiment struct {
	APIVersion string   `yaml:"apiVersion" required:"true" enum:"squall/v1" doc:"The version of the language."`
	Kind       string   `yaml:"kind" required:"true" enum:"Experiment" doc:"The kind of document."`
	Metadata   Metadata `yaml:"metadata" required:"true" doc:"Names the document and says whose it is."`
	Spec       Spec     `yaml:"spec" required:"true" doc:"The experiment itself."`

	// Digest is the SHA-256 of the document's own text, in hexadecimal.
	Digest string `yaml:"-"`
	// File is where the document was read.
	File string `yaml:"-"`
}

// Spec is the body of an experiment.
type Spec struct {
	Hypothesis string            `yaml:"hypothesis" doc:"What should stay true while the faults are in, in words."`
	Targets    map[string]Target `yaml:"targets" required:"true" doc:"The things that faults touch, by a name of your own."`
	SLIs       map[string]SLI    `yaml:"slis" doc:"What is measured, by a name of your own; guards use the names."`
	Guards     Guards            `yaml:"guards" doc:"The rules that admit, abort and judge the run."`
	Faults     []Fault           `yaml:"faults" required:"true" doc:"What goes wrong, when, and for how long."`
	Baseline   quantity.Duration `yaml:"baseline" default:"10s" doc:"How long the steady state is measured before the first fault."`
	Recovery   quantity.Duration `yaml:"recovery" default:"30s" doc:"How soon after the last fault the admit rules must hold again."`
	Limits     Limits            `yaml:"limits" doc:"The blast radius: plan refuses more."`
}

// Target selects things on this host.
type Target struct {
	Selector strict.Variant `yaml:",variant" variant:"target" doc:"Which things the target means."`
	Pick     Pick           `yaml:"pick" doc:"How many of the matches are taken; all of them where this is left out."`
}

// Pick chooses among the matches of a selector. The choice depends on nothing but
// the seed and the matches, so that a run takes what plan showed.
type Pick struct {
	Count   int            `yaml:"count" doc:"Take this many." example:"1"`
	Percent quantity.Share `yaml:"percent" doc:"Take this share, rounded up to whole targets." example:"50"`
	Seed    int64          `yaml:"seed" doc:"Another seed, another choice." example:"7"`
}

// SLI is a service level indicator: a sampler and how often it runs.
type SLI struct {
	Sampler           strict.Variant    `yaml:",variant" variant:"sli" doc:"How it is sampled."`
	Every             quantity.Duration `yaml:"every" default:"1s" doc:"The sampling interval. The sampler's timeout is never longer." example:"200ms"`
	InsideBlastRadius bool              `yaml:"insideBlastRadius" doc:"Allows the SLI's endpoint to be one that a fault touches. Without it plan refuses, because a fault must not blind its own guard by accident."`
}

// Guards are CEL rules over SLIs.
type Guards struct {
	Admit []Rule  `yaml:"admit" doc:"All must be true at the end of the baseline, or nothing is touched."`
	Abort []Abort `yaml:"abort" doc:"While faults are in, any that is true for its time stops the run and rolls back."`
	Pass  []Rule  `yaml:"pass" doc:"All must be true at the end of the faults, or the verdict is breached."`
}

// Rule is a CEL expression that yields a bool.
type Rule struct {
	If strict.Text `yaml:"if,shorthand" required:"true" doc:"A CEL expression that yields true or false." example:"checkout.okRatio(\"10s\") > 0.99"`
}

// Abort is a rule that stops the run.
type Abort struct {
	If     strict.Text       `yaml:"if,shorthand" required:"true" doc:"A CEL expression that yields true or false." example:"checkout.p99(\"5s\") > duration(\"800ms\")"`
	For    quantity.Duration `yaml:"for" default:"0s" doc:"How long it must stay true before it aborts." example:"1s"`
	NoData string            `yaml:"noData" enum:"abort|hold|ignore" default:"abort" doc:"What a missing, stale or late SLI means: abort as if the rule were true, hold the last answer, or ignore the rule until there is data."`
}

// Fault is one kind of failure on one target.
type Fault struct {
	Name              string            `yaml:"name" doc:"Names the fault in guards and reports; made from its target and its injector where left out."`
	Target            string            `yaml:"target" required:"true" doc:"One of the names under targets."`
	Effect            strict.Variant    `yaml:",variant" variant:"fault" doc:"What goes wrong."`
	At                quantity.Duration `yaml:"at" default:"0s" doc:"When it starts, counted from the end of the baseline." example:"10s"`
	For               quantity.Duration `yaml:"for" doc:"How long it stays; until the last of the other faults ends where this is left out." example:"60s"`
	AllowIrreversible bool              `yaml:"allowIrreversible" doc:"Agrees to a fault that squall can't undo, such as the removal of a container."`
}

// Limits bound the blast radius.
type Limits struct {
	Duration quantity.Duration `yaml:"duration" doc:"The longest that the whole run may take, baseline and recovery included." example:"5m"`
	Targets  int               `yaml:"targets" default:"10" doc:"The most targets that the faults may touch together." example:"3"`
	Percent  quantity.Share    `yaml:"percent" default:"100" doc:"The largest share of a selector's matches that may be touched." example:"50"`
}

// Schedule runs an experiment by the calendar.
type Schedule struct {
	APIVersion string       `yaml:"apiVersion" required:"true" enum:"squall/v1" doc:"The version of the language."`
	Kind       string       `yaml:"kind" required:"true" enum:"Schedule" doc:"The kind of document."`
	Metadata   Metadata     `yaml:"metadata" required:"true" doc:"Names the document and says whose it is."`
	Spec       ScheduleSpec `yaml:"spec" required:"true" doc:"What runs, and when."`

	// File is where the document was read.
	File string `yaml:"-"`
}

// ScheduleSpec is the body of a schedule.
type ScheduleSpec struct {
	Experiment string      `yaml:"experiment" required:"true" doc:"The metadata.name of an experiment in the same folder." example:"slow-payments"`
	Cron       strict.Text `yaml:"cron" required:"true" doc:"Five cron fields (minute hour day month weekday), or six with seconds first." example:"0 3 * * 1-5"`
	TimeZone   strict.Text `yaml:"timeZone" required:"true" doc:"The IANA time zone that the fields are read in." example:"Europe/Berlin"`
	Overlap    string      `yaml:"overlap" enum:"forbid" default:"forbid" doc:"What happens when it is time and the last run still goes on: forbid skips, and says so."`
	Missed     string      `yaml:"missed" enum:"skip" default:"skip" doc:"What happens to runs that were due while squall was not there: skip leaves them out, and says so."`
}
