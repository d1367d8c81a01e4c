package network

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/hint"
)

// backend is a means to put a fault in. Its verbs get a record that plan has
// filled. A new one, such as a shaper in user space, is a type with these methods,
// its part of Record, and its place among the candidates.
type backend interface {
	// probe returns nil where this host has the means, else what it lacks.
	probe() error
	// plan writes the backend's part into the record. An error that is no Refusal
	// says why this backend can't do this fault.
	plan(spec *Spec, record *Record) error
	// describe says what the record will do.
	describe(record *Record, spec *Spec) description
	effect
}

// effect is what can be done from a record alone.
type effect interface {
	apply(ctx context.Context, record *Record) error
	verify(ctx context.Context, record *Record) (injectors.Status, error)
	revert(ctx context.Context, record *Record) error
}

// description is a record in words.
type description struct {
	actions []string
	undo    string
	notes   []string
	tier    injectors.Tier
}

// verbs implements injectors.Verbs by handing each record to its backend.
type verbs struct {
	holder []string // how this program becomes HoldShaper
}

func newVerbs(holder []string) verbs { return verbs{holder} }

func (v verbs) backendOf(name string) (backend, error) {
	switch name {
	case netemName:
		return netem{}, nil
	case bpfName:
		return bpf{}, nil
	case shaperName:
		return userspace{v.holder}, nil
	}
	return nil, fmt.Errorf("cannot use the backend %q of an undo record: was it written by another version of squall?", name)
}

// effectOf returns the backend of a record, once the record is sound: it comes from
// a file.
func (v verbs) effectOf(record *Record) (effect, error) {
	sound := record.Backend == netemName && record.Netem != nil ||
		record.Backend == bpfName && record.BPF != nil && record.BPF.Program != "" ||
		record.Backend == shaperName && record.Shaper != nil && record.Shaper.sound()
	b, err := v.backendOf(record.Backend)
	if err == nil && !sound {
		err = fmt.Errorf("cannot use an undo record: it lacks what the %s backend needs", record.Backend)
	}
	return b, err
}

// Plan implements injectors.Verbs.
func (v verbs) Plan(ctx context.Context, spec Spec, target injectors.Target) (planned injectors.Planned[Record], err error) {
	if err := ctx.Err(); err != nil {
		return planned, err
	}
	record, err := locate(&spec, target)
	if err != nil {
		return planned, err
	}
	b, reason, err := v.choose(&spec, &record)
	if err != nil {
		return planned, err
	}
	d := b.describe(&record, &spec)
	return injectors.Planned[Record]{
		Record: record, Actions: d.actions, Undo: d.undo, Object: record.object(target),
		Backend: record.Backend, Reason: reason, Tier: d.tier, Notes: d.notes,
	}, nil
}

// candidates returns the backends to try, the best first.
func candidates(spec *Spec) []string {
	switch {
	case spec.Backend != "" && spec.Backend != auto:
		return []string{spec.Backend}
	case spec.Partition != "":
		return []string{bpfName, netemName} // netem leaves what the target receives alone
	}
	return []string{netemName, bpfName, shaperName}
}

// choose fills the record with the first backend that can do the fault here.
func (v verbs) choose(spec *Spec, record *Record) (backend, string, error) {
	var why []string
	var hints []string
	for _, name := range candidates(spec) {
		b, err := v.backendOf(name)
		if err != nil {
			return nil, "", err
		}
		err = b.plan(spec, record)
		_, refused := errors.AsType[*injectors.Refusal](err)
		if err == nil || refused {
			// What is in the way of a backend matters where the host has the means.
			if lacks := b.probe(); lacks != nil {
				err, refused = lacks, false
			}
		}
		if refused {
			return nil, "", err
		}
		if err == nil {
			record.Backend = name
			return b, reason(name, spec, why), nil
		}
		why = append(why, err.Error())
		hints = append(hints, hint.Of(err)...)
		record.Netem, record.BPF, record.Shaper = nil, nil, nil
	}
	refusal := refuse("this network fault can't be put in here: %s%s", strings.Join(why, ", and "), v.instead(spec))
	if len(hints) > 0 {
		refusal = hint.Wrap(refusal, "%s", strings.Join(hints, "; "))
	}
	return nil, "", refusal
}

// instead says what would work where this fault doesn't.
func (v verbs) instead(spec *Spec) string {
	switch {
	case spec.Backend != "" && spec.Backend != auto:
		return "; backend: auto may find another way"
	case spec.Partition != "":
		return ""
	case spec.direction() != egress && (userspace{v.holder}).probe() == nil:
		return "; with direction: egress it would work, through the shaper"
	case bpfCannot(spec) != "" && (bpf{}).probe() == nil:
		return "; loss, gilbertElliott and partition would work, through bpf"
	}
	return ""
}

func reason(name string, spec *Spec, why []string) string {
	switch {
	case spec.Backend == name:
		return "the document asks for it"
	case len(why) > 0:
		return strings.Join(why, ", and ")
	case name == bpfName:
		return "it drops in both directions, and the kernel removes it together with squall"
	}
	return "this kernel has sch_netem"
}

// Apply implements injectors.Verbs.
func (v verbs) Apply(ctx context.Context, record Record) error {
	e, err := v.effectOf(&record)
	if err != nil {
		return err
	}
	return e.apply(ctx, &record)
}

// Verify implements injectors.Verbs.
func (v verbs) Verify(ctx context.Context, record Record) (injectors.Status, error) {
	e, err := v.effectOf(&record)
	if err != nil {
		return injectors.Status{}, err
	}
	return e.verify(ctx, &record)
}

// Revert implements injectors.Verbs.
func (v verbs) Revert(ctx context.Context, record Record) error {
	e, err := v.effectOf(&record)
	if err != nil {
		return err
	}
	return e.revert(ctx, &record)
}
