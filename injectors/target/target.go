// Package target turns a selector into targets: the containers, network
// namespaces, interfaces and processes that a fault may touch. It only looks.
//
// # What is never a target
//
// Whatever carries the label squall.protect (with any value but "false") or shares a
// network namespace with a container that does, squall itself and the processes and
// containers it runs in, process 1, the kernel's own threads, the Docker daemon and
// containerd. Such a match is an [Exclusion], with its reason, and so is a container
// that doesn't run: it is shown, not dropped.
package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/hint"
)

// ProtectLabel keeps a container from ever being a target, with any value but
// "false".
const ProtectLabel = "squall.protect"

// ErrNoTargets says that a selector selects nothing. Its hints name near misses.
var ErrNoTargets = errors.New("the selector matches nothing that may be touched")

// Matches is what a selector selects.
type Matches struct {
	Targets  []injectors.Target // sorted by name, then id
	Excluded []Exclusion        // in the same order
}

// Exclusion is a match that may not be touched.
type Exclusion struct {
	Target injectors.Target
	Reason string // a clause: "it is labelled squall.protect"
}

// Containers is what the resolver asks the Docker engine; *docker.Client answers.
type Containers interface {
	List(ctx context.Context) ([]docker.Summary, error)
	Inspect(ctx context.Context, container string) (docker.Container, error)
}

// Resolver resolves selectors on this host and its Docker engine.
type Resolver struct {
	containers Containers
}

// New returns a resolver. For docker selectors the engine must answer; for the others
// it is asked which containers are protected, where there is one.
func New(containers Containers) *Resolver { return &Resolver{containers} }

// Resolve returns what a selector selects; spec is a pointer to one of the types
// of Choices. Where nothing may be touched the error is ErrNoTargets, and the
// matches hold what was excluded.
func (r *Resolver) Resolve(ctx context.Context, spec any) (Matches, error) {
	var m Matches
	var nearest string // what to say where nothing matched
	var err error
	switch spec := spec.(type) {
	case *Docker:
		m, nearest, err = r.docker(ctx, spec)
	case *NetNS:
		m, nearest, err = namespaces(spec)
	case *Host:
		m, nearest, err = hostInterface(spec)
	case *Process:
		m, nearest, err = processes(ctx, spec)
	default:
		err = fmt.Errorf("cannot resolve a selector of type %T", spec)
	}
	if err != nil {
		return Matches{}, err
	}
	if _, asked := spec.(*Docker); !asked {
		if m, err = r.withoutProtected(ctx, m); err != nil {
			return Matches{}, err
		}
	}
	slices.SortFunc(m.Targets, compare)
	slices.SortFunc(m.Excluded, func(a, b Exclusion) int { return compare(a.Target, b.Target) })
	if len(m.Targets) > 0 {
		return m, nil
	}
	return m, noTargets(m.Excluded, nearest)
}

// maxNear is how many near misses a hint shows.
const maxNear = 5

func noTargets(excluded []Exclusion, nearest string) error {
	err := error(ErrNoTargets)
	if len(excluded) > maxNear {
		err = hint.Wrap(err, "and %d more are excluded", len(excluded)-maxNear)
	}
	for _, exclusion := range slices.Backward(excluded[:min(len(excluded), maxNear)]) {
		err = hint.Wrap(err, "%s %q matches, but %s", exclusion.Target.Kind, exclusion.Target.Name, exclusion.Reason)
	}
	if len(excluded) == 0 && nearest != "" {
		err = hint.Wrap(err, "%s", nearest)
	}
	return err
}

func compare(a, b injectors.Target) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

// Pick takes some of targets: count of them, or percent of them rounded up to
// whole ones, or all where both are 0. The order in which they are taken depends
// on seed and on each target's own name (and its id, where names are equal), so
// that it holds when other targets come and go. The result keeps the order of
// targets.
func Pick(targets []injectors.Target, count int, percent float64, seed int64) []injectors.Target {
	n := len(targets)
	switch {
	case count > 0:
		n = min(n, count)
	case percent > 0:
		// A product that should be whole must not be rounded up for its last bit.
		n = min(n, int(math.Ceil(float64(n)*percent/100-1e-9)))
	}
	type ranked struct {
		rank  uint64
		index int
	}
	order := make([]ranked, len(targets))
	for i, t := range targets {
		order[i] = ranked{rank(t, seed), i}
	}
	slices.SortFunc(order, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), compare(targets[a.index], targets[b.index]))
	})
	order = order[:n]
	slices.SortFunc(order, func(a, b ranked) int { return cmp.Compare(a.index, b.index) })
	picked := make([]injectors.Target, n)
	for i, o := range order {
		picked[i] = targets[o.index]
	}
	return picked
}

// rank is the place of a target in the order of a seed. FNV-1a alone leaves names
// that differ in their last letter close together; the finalizer of MurmurHash3
// spreads them.
func rank(t injectors.Target, seed int64) uint64 {
	h := fnv.New64a()
	h.Write([]byte(strconv.FormatInt(seed, 10) + "\x00" + t.Name))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
