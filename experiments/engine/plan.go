package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/target"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/safety/sli"
)

// Resolver finds the targets that a selector matches.
type Resolver interface {
	Resolve(ctx context.Context, spec any) (target.Matches, error)
}

// Host is what the engine needs of the machine it runs on.
type Host struct {
	Registry *injectors.Registry
	Resolver Resolver
	// Samplers is what SLIs are opened with.
	Samplers sli.Env
	// StateDir is where journals live.
	StateDir string
	// Deadman starts the process that reverts a journal when this one can't.
	Deadman StartDeadman
}

// Plan is an experiment made concrete on this host: what a run would do.
type Plan struct {
	Experiment *experiments.Experiment
	Program    *Program
	// Selections are the targets by their name in the document, sorted by it.
	Selections []Selection
	// Steps are the faults on their targets, in the order of their start.
	Steps []PlannedStep
	// Refusals are the reasons why this plan can't be run; hint.Of gives the ways out.
	Refusals []error
	// Notes are what a person should know before they agree.
	Notes []string
}

// Selection is what one selector matched.
type Selection struct {
	Name     string
	Matched  []injectors.Target
	Picked   []injectors.Target
	Excluded []target.Exclusion
}

// PlannedStep is one fault on one target.
type PlannedStep struct {
	injectors.Step
	// ID names the step within the run: "slow/web-1".
	ID    string
	Fault experiments.Fault
	// Start and End count from the end of the baseline.
	Start, End time.Duration
	// Shared are the names of further targets that this one step covers, because
	// they share what it changes.
	Shared []string
	// After are the indexes, in Plan.Steps, of those on the same target that end
	// before this one starts.
	After []int
	// EndedBy are the indexes, in Plan.Steps, of those that end this one's target while
	// it is in.
	EndedBy []int
}

// BuildPlan resolves the targets and plans every step. It changes nothing. What
// keeps the plan from being run is in its Refusals; an error means that the plan
// could not be made.
func BuildPlan(ctx context.Context, host Host, experiment *experiments.Experiment, program *Program) (*Plan, error) {
	p := &Plan{Experiment: experiment, Program: program}
	spec := &experiment.Spec
	for _, name := range slices.Sorted(maps.Keys(spec.Targets)) {
		selection, err := resolve(ctx, host.Resolver, name, spec.Targets[name])
		if err != nil {
			err = fmt.Errorf("cannot resolve target %q: %w", name, err)
		}
		if errors.Is(err, target.ErrNoTargets) {
			p.refuse(err)
		} else if err != nil {
			return nil, err
		}
		p.Selections = append(p.Selections, selection)
	}
	for _, fault := range spec.Faults {
		if err := p.planFault(ctx, host.Registry, fault); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(p.Steps, func(a, b PlannedStep) int { return cmp.Compare(a.Start, b.Start) })
	p.checkRows()
	p.checkOverlaps()
	p.checkLimits()
	p.checkEndpoints(ctx)
	return p, nil
}

func resolve(ctx context.Context, resolver Resolver, name string, wanted experiments.Target) (Selection, error) {
	matches, err := resolver.Resolve(ctx, wanted.Selector.Spec)
	return Selection{
		Name:     name,
		Matched:  matches.Targets,
		Excluded: matches.Excluded,
		Picked:   target.Pick(matches.Targets, wanted.Pick.Count, float64(wanted.Pick.Percent), wanted.Pick.Seed),
	}, err
}

func (p *Plan) selection(name string) *Selection {
	i := slices.IndexFunc(p.Selections, func(s Selection) bool { return s.Name == name })
	return &p.Selections[i]
}

func (p *Plan) refuse(err error) { p.Refusals = append(p.Refusals, err) }

// planFault plans one fault on each of its targets. Targets that share what the
// fault changes get it once.
func (p *Plan) planFault(ctx context.Context, registry *injectors.Registry, fault experiments.Fault) error {
	injector := registry.Lookup(fault.Effect.Key)
	start, end := p.Experiment.Spec.FaultWindow(fault)
	byObject := map[string]int{}
	for _, t := range p.selection(fault.Target).Picked {
		step, err := injector.Plan(ctx, fault.Effect.Spec, t)
		if refusal := (*injectors.Refusal)(nil); errors.As(err, &refusal) {
			p.refuse(fmt.Errorf("fault %q on %q: %w", fault.Name, t.Name, err))
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot plan fault %q on %q: %w", fault.Name, t.Name, err)
		}
		if i, shared := byObject[step.Object]; shared {
			p.Steps[i].Shared = append(p.Steps[i].Shared, t.Name)
			continue
		}
		if step.Irreversible != "" && !fault.AllowIrreversible {
			p.refuse(hint.Wrap(fmt.Errorf("fault %q on %q can't be undone: %s", fault.Name, t.Name, step.Irreversible),
				"if that is what you want, say `allowIrreversible: true` in the fault"))
		}
		byObject[step.Object] = len(p.Steps)
		p.Steps = append(p.Steps, PlannedStep{
			Step: step, ID: fault.Name + "/" + t.ID, Fault: fault, Start: start, End: end,
		})
	}
	return nil
}

// checkOverlaps looks at faults that are in at the same time. Two that take the same
// object are refused: the last writer must never silently win. One that ends its
// target ends the others there; that is a plan where they were in before it, and
// nonsense where they would begin while the target is down.
func (p *Plan) checkOverlaps() {
	for i := range p.Steps {
		a := &p.Steps[i]
		for j, b := range p.Steps[i+1:] { // b starts with a or after it
			switch {
			case b.Start >= a.End:
			case a.Object == b.Object:
				p.refuse(hint.Wrap(fmt.Errorf("faults %q and %q both take %s at the same time", a.Fault.Name, b.Fault.Name, a.Object),
					"put both effects into one fault, or let one end before the other starts"))
			case !same(a.Target, b.Target):
			case a.EndsTarget || b.EndsTarget && a.Start == b.Start:
				p.refuse(hint.Wrap(fmt.Errorf("faults %q and %q are on %q at the same time, and one of them ends its processes before the other can be in", a.Fault.Name, b.Fault.Name, a.Target.Name),
					"let the one that ends the target start later, or let one be over before the other starts"))
			case b.EndsTarget:
				a.EndedBy = append(a.EndedBy, i+1+j)
				a.Notes = append(a.Notes, fmt.Sprintf("ends early, at %s: fault %q ends the target's processes, and this with them", b.Start, b.Fault.Name))
			}
		}
	}
}

// checkLimits holds the plan against the document's blast radius.
func (p *Plan) checkLimits() {
	spec := &p.Experiment.Spec
	touched := map[string]bool{}
	for _, fault := range spec.Faults {
		for _, t := range p.selection(fault.Target).Picked {
			touched[string(t.Kind)+" "+t.ID] = true
		}
	}
	if most := spec.Limits.Targets; len(touched) > most {
		p.refuse(hint.Wrap(fmt.Errorf("the faults would touch %d targets; the limit is %d", len(touched), most),
			"narrow the selectors, or pick fewer with `pick`, or raise `limits.targets`"))
	}
	for _, s := range p.Selections {
		share := 100 * float64(len(s.Picked)) / float64(max(1, len(s.Matched)))
		if most := float64(spec.Limits.Percent); share > most {
			p.refuse(hint.Wrap(fmt.Errorf("target %q would touch %d of %d matches (%.0f %%); the limit is %g %%", s.Name, len(s.Picked), len(s.Matched), share, most),
				"pick fewer with `pick`, or raise `limits.percent`"))
		}
	}
}

// endpointed is a sampler that knows where it probes.
type endpointed interface {
	Endpoint() (host string, port int)
}

// checkEndpoints refuses an SLI whose endpoint a fault touches, unless the document
// says that this is meant: a fault must not blind its own guard by accident.
func (p *Plan) checkEndpoints(ctx context.Context) {
	for _, name := range slices.Sorted(maps.Keys(p.Experiment.Spec.SLIs)) {
		definition := p.Experiment.Spec.SLIs[name]
		spec, ok := definition.Sampler.Spec.(endpointed)
		if !ok || definition.InsideBlastRadius {
			continue
		}
		host, port := spec.Endpoint()
		addresses, err := lookup(ctx, host)
		if err != nil {
			p.Notes = append(p.Notes, fmt.Sprintf("cannot tell whether SLI %q lies inside the blast radius: %v", name, err))
			continue
		}
		for _, step := range p.Steps {
			if touches(step.Target, addresses, port) {
				p.refuse(hint.Wrap(fmt.Errorf("SLI %q probes %s, which fault %q touches (%q): the fault would blind its own guard",
					name, net.JoinHostPort(host, strconv.Itoa(port)), step.Fault.Name, step.Target.Name),
					"measure where users are, in front of the target; or say `insideBlastRadius: true` in the SLI"))
				break
			}
		}
	}
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// touches reports whether one of the addresses is the target's own, or leads to a
// port that the host publishes for it.
func touches(t injectors.Target, addresses []netip.Addr, port int) bool {
	for _, address := range addresses {
		address = address.Unmap()
		if slices.Contains(t.Addresses, address) {
			return true
		}
		for _, published := range t.Ports {
			if int(published.Port()) == port && (published.Addr().IsUnspecified() || published.Addr() == address) {
				return true
			}
		}
	}
	return false
}

// WorstAbort is the longest time from a breach until the rollback begins, as the
// sampling intervals and the rules' own times allow it. It is zero where no abort
// rule watches.
func (p *Plan) WorstAbort() time.Duration {
	var worst time.Duration
	for _, rule := range p.Program.Abort {
		for _, name := range rule.SLIs() {
			definition := p.Experiment.Spec.SLIs[name]
			stale := sli.Staleness(definition.Every.D(), definition.Sampler.Spec.(sli.Spec))
			worst = max(worst, stale+rule.Source.For.D())
		}
	}
	return worst
}
