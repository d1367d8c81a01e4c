// Package injectors is the contract between squall's engine and the code that
// puts faults in and takes them out.
//
// # The four verbs
//
// An injector implements [Verbs]. Plan looks and decides, and writes everything
// it decided into an undo record. Apply makes the effect, from the record alone:
// what was not journaled cannot happen. Verify reads the world and says whether
// the effect is there. Revert takes it out, from any process and any number of
// times, and never touches what it can't prove its own.
//
// # Identity
//
// Plan chooses every identity (a handle, a name, a mark) up front. Revert and
// Verify find the effect by that identity, not by an errno and not by memory: the
// process that reverts is often not the one that applied.
//
// # Adding one
//
// A new injector is one folder beside this file and one line in injectors/all.
// injectortest holds the conformance suite it has to pass.
package injectors

import (
	"context"
	"net/netip"
)

// Kind says what sort of thing a target is.
type Kind string

// The kinds of target.
const (
	KindContainer Kind = "container" // a Docker container
	KindNetNS     Kind = "netns"     // a network namespace
	KindInterface Kind = "interface" // an interface of the host
	KindProcess   Kind = "process"   // a process of the host
)

// Target is one thing on a host that a fault touches. Its strings come from
// outside and may hold anything: quote them before they reach a terminal, and
// never build a command from them.
type Target struct {
	Kind Kind `json:"kind"`
	// ID identifies the thing for as long as it lives: a full container id, a
	// namespace's "net:[inode]", an interface's name, "pid@starttime".
	ID string `json:"id"`
	// Name is what a person calls it.
	Name string `json:"name"`
	// Why is the reason that the selector matched, for plan.
	Why string `json:"why"`
	// PID is the process, or the container's first process; 0 where there is none.
	PID int `json:"pid,omitempty"`
	// StartTime is field 22 of /proc/PID/stat: with PID it identifies a process.
	StartTime uint64 `json:"startTime,omitempty"`
	// NetNS is a path that opens the target's network namespace, empty where the
	// target has none of its own to offer.
	NetNS string `json:"netns,omitempty"`
	// NetNSID is the namespace's identity, "net:[inode]": targets with the same
	// one share it.
	NetNSID string `json:"netnsID,omitempty"`
	// HostNet says that the namespace is the host's own.
	HostNet bool `json:"hostNet,omitempty"`
	// Interface is the one interface to touch, empty for all but loopback.
	Interface string `json:"interface,omitempty"`
	// Addresses are the target's own IP addresses, and Ports what the host
	// publishes for it: an SLI that probes one of them lies in the blast radius.
	Addresses []netip.Addr     `json:"addresses,omitempty"`
	Ports     []netip.AddrPort `json:"ports,omitempty"`
}

// Tier says who guarantees that a fault ends.
type Tier string

// The tiers, the strongest first.
const (
	TierKernel  Tier = "kernel"  // the kernel drops it together with the process
	TierDeadman Tier = "deadman" // the deadman reverts it
	TierJournal Tier = "journal" // only recover can
)

// Planned is what Plan decided. R is the injector's own undo record, which must
// survive a round trip through JSON.
type Planned[R any] struct {
	Record R
	// Actions are the exact operations, one a line, for plan to print. They
	// contain no line breaks.
	Actions []string
	// Undo says in one line what Revert will do.
	Undo string
	// Object names the one thing that the effect takes exclusively, for example
	// "net:[4026532281]/eth0/root". Two steps of one fault with the same Object are
	// one step (containers that share a namespace); two faults that hold the same
	// Object at the same time are refused.
	Object string
	// Backend names the means, and Reason says why it was chosen.
	Backend string
	Reason  string
	Tier    Tier
	// Irreversible, where not empty, says what can't be put back. Such a fault is
	// refused unless the document allows it.
	Irreversible string
	// EndsTarget says that the effect ends the target's processes, and takes with
	// them what other faults have put into its network namespace.
	EndsTarget bool
	// Notes are what else a person should know before they agree.
	Notes []string
}

// Presence is what Verify found.
type Presence string

// What Verify can find.
const (
	Absent  Presence = "absent"  // the effect is not there
	Present Presence = "present" // the effect is there, and it is this record's
	Foreign Presence = "foreign" // something is in its place that this record did not make
)

// Status is what Verify found, with evidence. Absent with Touched above zero is an
// effect that took place and is over by itself, as that of a restart or of a signal
// is: there is nothing left to hold or to take out.
type Status struct {
	Presence Presence
	// Detail says in one line what was found.
	Detail string
	// Touched counts what the fault has affected so far: packets, containers,
	// processes. A fault that ends with nothing touched proves nothing.
	Touched uint64
	// Unit is what Touched counts, in the plural: "packets".
	Unit string
	// Facts are the figures behind it, in the order to show them.
	Facts []Fact
}

// Fact is one figure of a fault's evidence.
type Fact struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// Verbs is what an injector implements. S is its specification, a struct that the
// strict loader fills from the document; R is its undo record.
type Verbs[S, R any] interface {
	// Plan decides. It is read-only. A *Refusal says that squall must not do this
	// here; any other error that it could not find out.
	Plan(ctx context.Context, spec S, target Target) (Planned[R], error)
	// Apply makes the effect, at most once and exclusively: where something is
	// there already it fails and replaces nothing. An effect that a failed Apply
	// leaves behind is Revert's to find. A *Refusal says that Apply did nothing at all:
	// the record is not reverted then, because what Revert would find is somebody else's.
	Apply(ctx context.Context, record R) error
	// Verify reads the world. What it can't read is an error, never Absent.
	Verify(ctx context.Context, record R) (Status, error)
	// Revert removes the effect and returns nil once it is gone, was gone already,
	// or the target is gone. It may be called any number of times, by any process.
	Revert(ctx context.Context, record R) error
}

// Refusal is an error of Plan, and of an Apply that found the world changed since: the
// fault could be tried, but squall won't, because of what it found there or because this
// host lacks the means.
type Refusal struct {
	Reason string // a full clause: "eth0 of web has a root qdisc already: htb 1:"
}

func (r *Refusal) Error() string { return r.Reason }
