package network

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/network/model"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/netns"
	"golang.org/x/sys/unix"
)

const netemKind = "netem"

// netem is the backend of the kernel's emulator, as root qdisc.
type netem struct{}

var errNoNetem = hint.Wrap(errors.New("this kernel has no sch_netem"),
	"load it with `modprobe sch_netem`; where there is no such module install your distribution's extra kernel modules (linux-modules-extra), or boot a kernel built with CONFIG_NET_SCH_NETEM")

// probe puts a netem qdisc on the loopback interface of a namespace that nobody
// else sees, because the kernel has no list of the kinds that it knows or could
// load.
func (netem) probe() error {
	err := netns.Scratch(func() error {
		const loopback = 1 // LOOPBACK_IFINDEX of net/flow.h
		return addRootQdisc(loopback, 0x5100<<16, netemKind, (&Netem{Params: model.Params{Limit: 1}}).options())
	})
	if errors.Is(err, unix.ENOENT) {
		return errNoNetem
	}
	return err
}

func (netem) plan(spec *Spec, record *Record) error {
	if d := spec.direction(); d != egress && (spec.Partition == "" || spec.Direction != "") {
		return fmt.Errorf("the netem backend touches egress only, and the fault is for %s", d)
	}
	for _, i := range record.Interfaces {
		if i.BeforeHandle != 0 {
			return refuse("%s has a root qdisc already: %s %s", show(i.Name), i.Before, handleText(i.BeforeHandle))
		}
	}
	record.Netem = newNetem(spec)
	return nil
}

func (netem) describe(record *Record, spec *Spec) description {
	d := description{tier: injectors.TierDeadman}
	var undo []string
	for _, i := range record.Interfaces {
		d.actions = append(d.actions, fmt.Sprintf("qdisc add dev %s root handle %s %s, in %s", show(i.Name), handleText(record.Netem.Handle), record.Netem, record.NetNSID))
		undo = append(undo, show(i.Name))
	}
	d.undo = fmt.Sprintf("delete the root qdisc netem %s of %s, and let the kernel put its default back", handleText(record.Netem.Handle), strings.Join(undo, ", "))
	if spec.Partition != "" {
		d.notes = append(d.notes, "what the target sends is dropped, and what it receives is not: this kernel has no TCX to drop that with")
	}
	d.notes = append(d.notes, meaning(spec)...)
	return d
}

// meaning says what a person may not expect of the parameters that they wrote.
func meaning(spec *Spec) (notes []string) {
	switch {
	case spec.Jitter > 0 && spec.Rate > 0:
		notes = append(notes, "a rate keeps packets in order: each waits for the slowest before it, so that jitter makes the mean delay longer")
	case spec.Jitter > 0:
		notes = append(notes, "jitter lets packets overtake each other")
	}
	if spec.Correlation > 0 || spec.LossCorrelation > 0 {
		notes = append(notes, "netem's correlation narrows the distribution: less jitter and fewer losses than without it")
	}
	return notes
}

func (netem) apply(ctx context.Context, record *Record) error {
	present, err := record.within(func() error {
		root, err := roots()
		if err != nil {
			return err
		}
		for _, i := range record.Interfaces {
			if q, ok := root[i.Index]; ok && q.handle != 0 {
				return fmt.Errorf("cannot add a qdisc to %s: %s %s is there", show(i.Name), q.kind, handleText(q.handle))
			}
		}
		for _, i := range record.Interfaces {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := addRootQdisc(i.Index, record.Netem.Handle, netemKind, record.Netem.options())
			if errors.Is(err, unix.ENOENT) {
				err = errNoNetem
			}
			if err != nil {
				return fmt.Errorf("cannot add the qdisc %s to %s: %w", record.Netem, show(i.Name), err)
			}
		}
		return nil
	})
	if err == nil && !present {
		err = fmt.Errorf("cannot add a qdisc: the network namespace %s is gone", record.NetNSID)
	}
	return err
}

func (netem) verify(_ context.Context, record *Record) (injectors.Status, error) {
	status := injectors.Status{Presence: injectors.Absent, Unit: "packets"}
	var ours, others []string
	var sum qdiscStats
	present, err := record.within(func() error {
		root, err := roots()
		if err != nil {
			return err
		}
		for _, i := range record.Interfaces {
			q := root[i.Index]
			switch {
			case record.Netem.owns(q):
				ours = append(ours, show(i.Name))
				sum.add(q.stats)
			case q.handle != 0:
				others = append(others, fmt.Sprintf("%s has %s %s", show(i.Name), q.kind, handleText(q.handle)))
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return injectors.Status{}, err
	case !present:
		status.Detail = fmt.Sprintf("the network namespace %s is gone", record.NetNSID)
	case len(ours) > 0:
		status.Presence = injectors.Present
		status.Detail = fmt.Sprintf("netem %s is on %s (%d of %d interfaces)", handleText(record.Netem.Handle), strings.Join(ours, ", "), len(ours), len(record.Interfaces))
		status.Touched = sum.touched()
		status.Facts = record.Netem.facts(sum)
	case len(others) > 0:
		status.Presence, status.Detail = injectors.Foreign, strings.Join(others, ", ")
	default:
		status.Detail = fmt.Sprintf("no interface has netem %s", handleText(record.Netem.Handle))
	}
	return status, nil
}

// owns says whether a root qdisc is the one that n describes.
func (n *Netem) owns(q qdisc) bool { return q.kind == netemKind && q.handle == n.Handle }

func (s *qdiscStats) add(t qdiscStats) {
	s.bytes += t.bytes
	s.packets += t.packets
	s.queued += t.queued
	s.backlog += t.backlog
	s.drops += t.drops
	s.over += t.over
}

func (n *Netem) facts(s qdiscStats) []injectors.Fact {
	facts := []injectors.Fact{
		{Name: "sent", Value: float64(s.packets), Unit: "packets"},
		{Name: "sent bytes", Value: float64(s.bytes), Unit: "B"},
		{Name: "dropped", Value: float64(s.drops), Unit: "packets"},
		{Name: "over limits", Value: float64(s.over), Unit: "packets"},
		{Name: "held back", Value: float64(s.queued), Unit: "packets"},
		{Name: "held back bytes", Value: float64(s.backlog), Unit: "B"},
	}
	if n.Loss == 0 && n.LossGE == nil && n.LossState == nil {
		// Nobody asked for a loss: these fell out of a full queue.
		facts = append(facts, injectors.Fact{Name: "unintended drops", Value: float64(s.drops), Unit: "packets"})
	}
	return facts
}

func (netem) revert(_ context.Context, record *Record) error {
	_, err := record.within(func() error {
		root, err := roots()
		if err != nil {
			return err
		}
		var left []error
		for _, i := range record.Interfaces {
			if record.Netem.owns(root[i.Index]) {
				left = append(left, record.Netem.remove(i))
			}
		}
		return errors.Join(left...)
	})
	return err
}

// remove deletes the qdisc from one interface. What an errno means the list that
// is read afterwards tells: EINVAL, for one, is said of a qdisc that is gone and
// of one that is somebody else's.
func (n *Netem) remove(i Interface) error {
	failure := deleteRootQdisc(i.Index, n.Handle)
	if failure == nil || errors.Is(failure, unix.ENODEV) {
		return nil
	}
	failure = fmt.Errorf("cannot delete netem %s from %s: %w", handleText(n.Handle), show(i.Name), failure)
	root, err := roots()
	if err != nil {
		return errors.Join(failure, err)
	}
	if n.owns(root[i.Index]) {
		return failure
	}
	return nil
}
