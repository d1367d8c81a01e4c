package injectors

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/squallhq/squall/internal/strict"
)

// Injector is an implementation of Verbs with its types erased, as the engine and
// the registry hold it.
type Injector struct {
	// Name is the fault's key in a document.
	Name string
	// Doc says in one line what it does.
	Doc string
	// Targets are the kinds of target it can touch.
	Targets []Kind

	spec   reflect.Type
	plan   func(context.Context, any, Target) (Step, error)
	apply  func(context.Context, json.RawMessage) error
	verify func(context.Context, json.RawMessage) (Status, error)
	revert func(context.Context, json.RawMessage) error
}

// Record is an undo record as the journal holds it.
type Record struct {
	Injector string          `json:"injector"`
	Data     json.RawMessage `json:"data"`
}

// Step is one fault planned on one target.
type Step struct {
	Planned[Record]
	Target Target
}

// New erases the types of an implementation.
func New[S, R any](name, doc string, targets []Kind, verbs Verbs[S, R]) *Injector {
	typed := func(data json.RawMessage) (record R, err error) {
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&record); err != nil {
			return record, fmt.Errorf("cannot read the undo record of a %s fault: %w", name, err)
		}
		return record, nil
	}
	return &Injector{
		Name: name, Doc: doc, Targets: targets,
		spec: reflect.TypeFor[S](),
		plan: func(ctx context.Context, spec any, target Target) (Step, error) {
			p, err := verbs.Plan(ctx, *spec.(*S), target)
			if err != nil {
				return Step{}, err
			}
			data, err := json.Marshal(p.Record)
			if err != nil {
				return Step{}, fmt.Errorf("cannot write the undo record of a %s fault: %w", name, err)
			}
			return Step{Target: target, Planned: Planned[Record]{
				Record:  Record{Injector: name, Data: data},
				Actions: p.Actions, Undo: p.Undo, Object: p.Object,
				Backend: p.Backend, Reason: p.Reason, Tier: p.Tier,
				Irreversible: p.Irreversible, EndsTarget: p.EndsTarget, Notes: p.Notes,
			}}, nil
		},
		apply: func(ctx context.Context, data json.RawMessage) error {
			record, err := typed(data)
			if err != nil {
				return err
			}
			return verbs.Apply(ctx, record)
		},
		verify: func(ctx context.Context, data json.RawMessage) (Status, error) {
			record, err := typed(data)
			if err != nil {
				return Status{}, err
			}
			return verbs.Verify(ctx, record)
		},
		revert: func(ctx context.Context, data json.RawMessage) error {
			record, err := typed(data)
			if err != nil {
				return err
			}
			return verbs.Revert(ctx, record)
		},
	}
}

// Plan plans one step. spec is a pointer to the injector's own specification, as
// the strict loader made it from the registry's Choices.
func (i *Injector) Plan(ctx context.Context, spec any, target Target) (Step, error) {
	if !slices.Contains(i.Targets, target.Kind) {
		return Step{}, &Refusal{Reason: fmt.Sprintf("a %s fault cannot touch a %s (%q); it takes %v", i.Name, target.Kind, target.Name, i.Targets)}
	}
	return i.plan(ctx, spec, target)
}

// Registry holds injectors by name.
type Registry struct {
	order  []*Injector
	byName map[string]*Injector
}

// NewRegistry returns a registry of the given injectors. It panics where two have
// the same name: that is a mistake in the program.
func NewRegistry(list ...*Injector) *Registry {
	r := &Registry{order: list, byName: map[string]*Injector{}}
	for _, i := range list {
		if r.byName[i.Name] != nil {
			panic("injectors: two injectors are called " + i.Name)
		}
		r.byName[i.Name] = i
	}
	return r
}

// Injectors returns the injectors in the order they were given.
func (r *Registry) Injectors() []*Injector { return slices.Clone(r.order) }

// Lookup returns the injector of that name, or nil.
func (r *Registry) Lookup(name string) *Injector { return r.byName[name] }

// Choices returns what a fault can be, for the strict loader and the JSON Schema.
func (r *Registry) Choices() []strict.Choice {
	var choices []strict.Choice
	for _, i := range r.order {
		choices = append(choices, strict.Choice{Key: i.Name, Type: i.spec, Doc: i.Doc})
	}
	return choices
}

// Apply makes the effect of a record.
func (r *Registry) Apply(ctx context.Context, record Record) error {
	i, err := r.of(record)
	if err != nil {
		return err
	}
	return i.apply(ctx, record.Data)
}

// Verify says whether the effect of a record is there.
func (r *Registry) Verify(ctx context.Context, record Record) (Status, error) {
	i, err := r.of(record)
	if err != nil {
		return Status{}, err
	}
	return i.verify(ctx, record.Data)
}

// Revert removes the effect of a record.
func (r *Registry) Revert(ctx context.Context, record Record) error {
	i, err := r.of(record)
	if err != nil {
		return err
	}
	return i.revert(ctx, record.Data)
}

func (r *Registry) of(record Record) (*Injector, error) {
	if i := r.byName[record.Injector]; i != nil {
		return i, nil
	}
	return nil, fmt.Errorf("cannot find the injector %q of an undo record: was it written by another version of squall?", record.Injector)
}
