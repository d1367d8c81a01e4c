package network

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf/link"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/network/shaper"
	"github.com/squallhq/squall/internal/hint"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// userspace is the backend of squall's own shaper: a program at the TCX hook leads
// what an interface sends to a process of its own, which gives it back when its
// time has come. The kernel takes program and TAP interface away together with that
// process, and the process ends with squall's.
type userspace struct {
	// argv is how this program becomes HoldShaper; empty where it can't.
	argv []string
}

func (u userspace) probe() error {
	if len(u.argv) == 0 {
		return errors.New("this program has no shaper of its own")
	}
	if err := (bpf{}).probe(); err != nil {
		return err
	}
	if err := shaper.Probe(); err != nil {
		return hint.Wrap(fmt.Errorf("this host can't run the shaper: %w", err),
			"it needs /dev/net/tun and packet sockets: CONFIG_TUN (`modprobe tun`), CONFIG_PACKET and root")
	}
	return nil
}

func (userspace) plan(spec *Spec, record *Record) error {
	if d := spec.direction(); d != egress {
		return fmt.Errorf("the shaper backend touches egress only, and the fault is for %s", d)
	}
	_, err := record.within(func() error {
		for _, i := range record.Interfaces {
			found, err := netlink.LinkByIndex(i.Index)
			if err != nil {
				return fmt.Errorf("cannot look at %s: %w", show(i.Name), err)
			}
			if kind := found.Attrs().EncapType; kind != "ether" {
				return fmt.Errorf("the shaper backend needs Ethernet, and %s is %s", show(i.Name), show(kind))
			}
		}
		return nil
	})
	record.Shaper = newShaper(spec)
	return err
}

func (userspace) describe(record *Record, spec *Spec) description {
	s := record.Shaper
	d := description{tier: injectors.TierKernel}
	for n, i := range record.Interfaces {
		d.actions = append(d.actions, fmt.Sprintf("attach the BPF program %s to egress of %s, and shape what it redirects to the TAP interface %s: %s, in %s", s.Program, show(i.Name), s.tap(n), s, record.NetNSID))
	}
	d.undo = fmt.Sprintf("send what is held back, detach the BPF program %s and end its process; the kernel does so when squall ends", s.Program)
	d.notes = append(d.notes, "ARP, IPv6 neighbour discovery and the packets of VLAN sub-interfaces are spared")
	if !shaper.Whole(&s.Params) {
		d.notes = append(d.notes, "each packet is judged as it is on the wire, not as segments of 64 KB: a fast TCP flow costs more processor time")
	}
	d.notes = append(d.notes, meaning(spec)...)
	return d
}

func (u userspace) apply(ctx context.Context, record *Record) error {
	there, err := linksOf(record.Shaper.Program)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return errors.Join(fmt.Errorf("cannot start the shaper %s: it is there already", record.Shaper.Program), closeAll(there))
	}
	if len(u.argv) == 0 {
		return errors.New("cannot start a shaper: this program has none")
	}
	if err := children.start(ctx, u.argv, record); err != nil {
		return fmt.Errorf("cannot start the shaper %s: %w", record.Shaper.Program, err)
	}
	return nil
}

func (userspace) verify(_ context.Context, record *Record) (_ injectors.Status, err error) {
	s := record.Shaper
	status := injectors.Status{Presence: injectors.Absent, Unit: "packets"}
	links, err := linksOf(s.Program)
	if err != nil {
		return status, err
	}
	defer func() { err = errors.Join(err, closeAll(links)) }()
	taps, err := record.taps()
	if err != nil {
		return status, err
	}
	switch {
	case len(links) == 0 && len(taps) == 0:
		status.Detail = fmt.Sprintf("no BPF program %s is attached", s.Program)
		return status, nil
	case len(links) == 0:
		status.Presence = injectors.Present
		status.Detail = fmt.Sprintf("no BPF program %s is attached, but its TAP interface is still there", s.Program)
		return status, nil
	}
	var sum shaper.Stats
	for _, l := range links {
		one, err := statsOf(l)
		if err != nil {
			return status, err
		}
		sum.Add(one)
	}
	status.Presence = injectors.Present
	status.Detail = fmt.Sprintf("the shaper %s is on %d of %d interfaces", s.Program, len(links), len(record.Interfaces))
	status.Touched = sum.Matched
	status.Facts = s.facts(&sum)
	return status, nil
}

// facts are the figures of all interfaces together.
func (s *Shaper) facts(sum *shaper.Stats) []injectors.Fact {
	const ms = 1e6 // nanoseconds
	facts := []injectors.Fact{
		{Name: "matched", Value: float64(sum.Matched), Unit: "packets"},
		{Name: "matched bytes", Value: float64(sum.MatchedBytes), Unit: "B"},
		{Name: "delayed", Value: float64(sum.Delayed), Unit: "packets"},
		{Name: "dropped", Value: float64(sum.Dropped), Unit: "packets"},
		{Name: "duplicated", Value: float64(sum.Duplicated), Unit: "packets"},
		{Name: "corrupted", Value: float64(sum.Corrupted), Unit: "packets"},
		{Name: "reordered", Value: float64(sum.Reordered), Unit: "packets"},
		{Name: "sent", Value: float64(sum.Sent), Unit: "packets"},
		{Name: "sent bytes", Value: float64(sum.SentBytes), Unit: "B"},
		{Name: "held back", Value: float64(sum.Held), Unit: "packets"},
		{Name: "over limit", Value: float64(sum.OverLimit), Unit: "packets"},
		{Name: "unintended drops", Value: float64(sum.UnintendedDrops()), Unit: "packets"},
	}
	if s.Latency > 0 || s.Rate > 0 {
		facts = append(facts,
			injectors.Fact{Name: "delay asked", Value: float64(s.Latency) / ms, Unit: "ms"},
			injectors.Fact{Name: "delay p50", Value: sum.DelayAt(0.5) / ms, Unit: "ms"},
			injectors.Fact{Name: "delay p99", Value: sum.DelayAt(0.99) / ms, Unit: "ms"},
		)
	}
	return append(facts,
		injectors.Fact{Name: "late p50", Value: sum.LateAt(0.5) / ms, Unit: "ms"},
		injectors.Fact{Name: "late p99", Value: sum.LateAt(0.99) / ms, Unit: "ms"},
		injectors.Fact{Name: "late max", Value: float64(sum.LateMax) / ms, Unit: "ms"},
	)
}

// statsOf reads the figures of the shaper behind a link.
func statsOf(l link.Link) (*shaper.Stats, error) {
	stats := &shaper.Stats{}
	if err := lookup(l, stats.Bytes()); err != nil {
		return nil, fmt.Errorf("cannot read the figures of a shaper: %w", err)
	}
	return stats, nil
}

// taps returns the names of the TAP interfaces of a shaper that are there.
func (r *Record) taps() (names []string, err error) {
	_, err = r.within(func() error {
		for n := range r.Interfaces {
			_, err := netlink.LinkByName(r.Shaper.tap(n))
			if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
				continue
			}
			if err != nil {
				return fmt.Errorf("cannot look for the TAP interface %s: %w", r.Shaper.tap(n), err)
			}
			names = append(names, r.Shaper.tap(n))
		}
		return nil
	})
	return names, err
}

func (userspace) revert(ctx context.Context, record *Record) error {
	name := record.Shaper.Program
	failures := []error{children.release(ctx, name)}
	// What is still there belongs to another process: one that lives on although its
	// squall is gone, or one that could not let go.
	links, err := linksOf(name)
	failures = append(failures, err)
	for _, l := range links {
		stats, err := statsOf(l)
		if err == nil && stats.PID != 0 {
			err = endProcess(ctx, int(stats.PID), stats.StartTime)
		}
		failures = append(failures, err)
		if err := l.Detach(); err != nil && !errors.Is(err, os.ErrNotExist) {
			failures = append(failures, fmt.Errorf("cannot detach the BPF program %s: %w", name, err))
		}
	}
	failures = append(failures, closeAll(links), record.removeTAPs())
	return errors.Join(failures...)
}

// removeTAPs removes the TAP interfaces that are still there. Their process, which
// can't be seen from here then, ends for lack of them.
func (r *Record) removeTAPs() error {
	names, err := r.taps()
	if err != nil || len(names) == 0 {
		return err
	}
	_, err = r.within(func() error {
		var failures []error
		for _, name := range names {
			found, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkDel(found)
			}
			if _, missing := errors.AsType[netlink.LinkNotFoundError](err); err != nil && !missing && !errors.Is(err, unix.ENODEV) {
				failures = append(failures, fmt.Errorf("cannot remove the TAP interface %s: %w", name, err))
			}
		}
		return errors.Join(failures...)
	})
	return err
}
