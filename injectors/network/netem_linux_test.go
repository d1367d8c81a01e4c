package network

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/netns"
	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/testbed"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

const ms = quantity.Duration(time.Millisecond)

// shaped measures a fault of the netem backend, and checks that the qdiscs
// afterwards are byte for byte what they were.
func shaped(t *testing.T, spec Spec, tr traffic, check func(t *testing.T, got flow) (bool, string)) {
	t.Helper()
	requireNetem(t)
	n := newNet(t)
	before := dump(t, n.target)
	spec.Backend = netemName
	f := inject(t, spec, n.target)
	t.Log(strings.Join(f.step.Actions, "; "))
	statistically(t, func() (bool, string) { return check(t, measure(t, n.target, n.peer, tr)) })
	status := f.expect(f.registry, injectors.Present)
	t.Logf("evidence %+v", status.Facts)
	if status.Touched < uint64(tr.packets) {
		t.Errorf("%d packets touched, of %d that were sent", status.Touched, tr.packets)
	}
	f.revert(registry())
	if after := dump(t, n.target); !slices.Equal(before, after) {
		t.Errorf("the qdiscs were\n%q and are\n%q", before, after)
	}
}

// near compares a measured value with the one that was asked for.
func near(name string, got, want, tolerance float64) (bool, string) {
	return math.Abs(got-want) <= tolerance, fmt.Sprintf("%s %.3f, want %.3f ± %.3f", name, got, want, tolerance)
}

func all(checks ...func() (bool, string)) (bool, string) {
	ok, what := true, ""
	for _, check := range checks {
		good, text := check()
		ok = ok && good
		what += text + "; "
	}
	return ok, what
}

// timed leaves a slow machine room between packets.
var timed = traffic{packets: 1500, every: 3 * time.Millisecond}

func TestNetemDelay(t *testing.T) {
	shaped(t, Spec{Delay: 50 * ms}, traffic{packets: 200, every: 5 * time.Millisecond}, func(_ *testing.T, got flow) (bool, string) {
		if got.losses() != 0 {
			return false, fmt.Sprintf("%d lost", got.losses())
		}
		return near("median delay in ms", quantileOf(got.delays(), 0.5), 50, 1)
	})
}

func TestNetemDelayOfHalfAMillisecond(t *testing.T) {
	requireNetem(t)
	n := newNet(t)
	tr := traffic{packets: 500, every: 2 * time.Millisecond}
	plain := quantileOf(measure(t, n.target, n.peer, tr).delays(), 0.5)
	inject(t, Spec{Delay: ms / 2}, n.target)
	statistically(t, func() (bool, string) {
		return near("median of the added delay in ms", quantileOf(measure(t, n.target, n.peer, tr).delays(), 0.5)-plain, 0.5, 0.25)
	})
}

func TestNetemUniformJitter(t *testing.T) {
	shaped(t, Spec{Delay: 50 * ms, Jitter: 20 * ms}, timed, func(t *testing.T, got flow) (bool, string) {
		d := got.delays()
		// A uniform distribution of ±20 has a deviation of 20/√3.
		return all(
			func() (bool, string) { return near("mean", meanOf(d), 50, 1.5) },
			func() (bool, string) { return near("deviation", deviationOf(d), 20/math.Sqrt(3), 1) },
			func() (bool, string) { return near("least", quantileOf(d, 0), 30, 1) },
			func() (bool, string) { return near("99 % point", quantileOf(d, 0.99), 69.6, 2) },
		)
	})
}

func TestNetemNormalDistribution(t *testing.T) {
	shaped(t, Spec{Delay: 50 * ms, Jitter: 10 * ms, Distribution: normal}, timed, func(t *testing.T, got flow) (bool, string) {
		d := got.delays()
		inside := 0
		for _, v := range d {
			if math.Abs(v-50) < 10 {
				inside++
			}
		}
		return all(
			func() (bool, string) { return near("mean", meanOf(d), 50, 1.2) },
			func() (bool, string) { return near("deviation", deviationOf(d), 10, 0.7) },
			func() (bool, string) {
				return near("share within a deviation", float64(inside)/float64(len(d)), 0.6827, 0.045)
			},
		)
	})
}

func TestNetemPareto(t *testing.T) {
	shaped(t, Spec{Delay: 50 * ms, Jitter: 10 * ms, Distribution: pareto}, timed, skewed)
}

func TestNetemParetonormal(t *testing.T) {
	shaped(t, Spec{Delay: 50 * ms, Jitter: 10 * ms, Distribution: paretonormal}, timed, skewed)
}

// skewed has the mean and the deviation that were asked for, and a tail to the
// right that pulls the mean over the median.
func skewed(_ *testing.T, got flow) (bool, string) {
	d := got.delays()
	return all(
		func() (bool, string) { return near("mean", meanOf(d), 50, 1.2) },
		func() (bool, string) { return near("deviation", deviationOf(d), 10, 1.5) },
		func() (bool, string) {
			median := quantileOf(d, 0.5)
			return median < meanOf(d)-1, fmt.Sprintf("median %.2f", median)
		},
		func() (bool, string) {
			last := quantileOf(d, 0.999)
			return last > 80, fmt.Sprintf("99.9 %% point %.2f", last)
		},
	)
}

func TestNetemLoss(t *testing.T) {
	shaped(t, Spec{Loss: 10}, traffic{packets: 10000}, func(t *testing.T, got flow) (bool, string) {
		if got.refused != 0 {
			t.Errorf("the sender was told of %d losses", got.refused)
		}
		low, high, ok := binomial(got.losses(), got.sent, 0.1)
		return ok, fmt.Sprintf("lost %d of %d, interval %.0f to %.0f", got.losses(), got.sent, low, high)
	})
}

func TestNetemGilbertElliott(t *testing.T) {
	requireNetem(t)
	n := newNet(t)
	inject(t, Spec{GilbertElliott: &GilbertElliott{ToBad: 2, ToGood: 20, BadLoss: 100}}, n.target)
	checkBursts(t, n, traffic{packets: 25000, size: 32}, 0.02, 0.2)
}

func TestNetemFourState(t *testing.T) {
	// Bursts begin with 2 % and end with 25 %; in between nothing gets through, and
	// 3 % are lost on their own. State 4 always goes back to 1, so with π₁ the share
	// of state 1: π₃ = π₁ p13/p31, π₄ = π₁ p14, and the loss is π₃ + π₄.
	const p13, p31, p14 = 0.02, 0.25, 0.03
	p1 := 1 / (1 + p13/p31 + p14)
	want := p1 * (p13/p31 + p14)
	spec := Spec{FourState: &FourState{P13: 100 * p13, P31: 100 * p31, P23: 100, P14: 100 * p14}}
	shaped(t, spec, traffic{packets: 25000, size: 32}, func(_ *testing.T, got flow) (bool, string) {
		lengths := bursts(got.lost())
		// Runs of losses are bursts, or a single packet.
		length := (p13/p31 + p14) / (p13 + p14)
		return all(
			func() (bool, string) { return near("loss", float64(got.losses())/float64(got.sent), want, 0.012) },
			func() (bool, string) { return near("mean run of losses", meanOf(lengths), length, 0.25) },
		)
	})
}

func TestNetemDuplicate(t *testing.T) {
	shaped(t, Spec{Duplicate: 5}, traffic{packets: 10000}, func(_ *testing.T, got flow) (bool, string) {
		if got.losses() != 0 {
			return false, fmt.Sprintf("%d lost", got.losses())
		}
		low, high, ok := binomial(got.duplicates(), got.sent, 0.05)
		return ok, fmt.Sprintf("%d of %d came twice, interval %.0f to %.0f", got.duplicates(), got.sent, low, high)
	})
}

func TestNetemCorrupt(t *testing.T) {
	// The bit is anywhere in the frame: where it is in a header, the packet gets lost.
	shaped(t, Spec{Corrupt: 10}, traffic{packets: 10000, size: 1000}, func(_ *testing.T, got flow) (bool, string) {
		hit := got.losses()
		low, high, ok := binomial(hit, got.sent, 0.1)
		return ok && got.corrupt > hit*8/10, fmt.Sprintf("%d of %d damaged, interval %.0f to %.0f; %d arrived so", hit, got.sent, low, high, got.corrupt)
	})
}

func TestNetemReorder(t *testing.T) {
	// A quarter leaves at once, and overtakes the packets of the last 20 ms.
	spec := Spec{Delay: 20 * ms, Reorder: &Reorder{Percent: 25, Gap: 1}}
	shaped(t, spec, traffic{packets: 2000, every: 2 * time.Millisecond}, func(_ *testing.T, got flow) (bool, string) {
		// An early packet arrives when it is sent: only that moment must be a good one,
		// for the others too, or they would be left out more often.
		early, delays := 0, got.delaysOf(func(a arrival) bool { return !got.stalledAt(a.at - a.delay) })
		for _, d := range delays {
			if d < 10 {
				early++
			}
		}
		low, high, ok := binomial(early, len(delays), 0.25)
		return ok && got.overtaken() > got.sent/2, fmt.Sprintf("%d of %d came early, interval %.0f to %.0f; %d were overtaken", early, len(delays), low, high, got.overtaken())
	})
}

func TestNetemRate(t *testing.T) {
	// 400 packets of 1042 bytes on the wire at 4 Mbit/s take 0.83 s.
	shaped(t, Spec{Rate: 4_000_000}, traffic{packets: 400, size: 1000}, func(_ *testing.T, got flow) (bool, string) {
		if got.losses() != 0 {
			return false, fmt.Sprintf("%d lost", got.losses())
		}
		first, last := got.arrivals[0], got.arrivals[len(got.arrivals)-1]
		bits := float64(len(got.arrivals)-1) * 1042 * 8
		return near("Mbit/s", bits/(last.at-first.at).Seconds()/1e6, 4, 0.15)
	})
}

func TestNetemPartition(t *testing.T) {
	shaped(t, Spec{Partition: partitionDrop}, traffic{packets: 0}, func(*testing.T, flow) (bool, string) { return true, "" })
	n := newNet(t)
	inject(t, Spec{Partition: partitionDrop, Backend: netemName}, n.target)
	if got := measure(t, n.target, n.peer, traffic{packets: 100}); got.losses() != got.sent {
		t.Errorf("%d of %d lost", got.losses(), got.sent)
	}
}

func TestNetemEffectsAreComposed(t *testing.T) {
	spec := Spec{Delay: 30 * ms, Jitter: 5 * ms, Correlation: 20, Loss: 5, LossCorrelation: 1, Duplicate: 2, Corrupt: 1, Distribution: normal}
	shaped(t, spec, traffic{packets: 2000, every: time.Millisecond, size: 500}, func(_ *testing.T, got flow) (bool, string) {
		return all(
			func() (bool, string) { return near("mean delay", meanOf(got.delays()), 30, 2) },
			func() (bool, string) { return near("losses and damages", float64(got.losses()), 120, 60) },
			func() (bool, string) { return near("duplicates", float64(got.duplicates()), 40, 30) },
		)
	})
}

// setRoot gives eth0 of a host a root qdisc of somebody's own.
func setRoot(t *testing.T, host *testbed.Host, qdisc func(netlink.QdiscAttrs) netlink.Qdisc) {
	t.Helper()
	err := netns.Do(host.NetNS, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.QdiscAdd(qdisc(netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0x77, 0), Parent: netlink.HANDLE_ROOT}))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNetemRefusesAForeignRoot(t *testing.T) {
	requireNetem(t)
	for kind, qdisc := range map[string]func(netlink.QdiscAttrs) netlink.Qdisc{
		"htb": func(a netlink.QdiscAttrs) netlink.Qdisc { return netlink.NewHtb(a) },
		"pfifo": func(a netlink.QdiscAttrs) netlink.Qdisc {
			return &netlink.GenericQdisc{QdiscAttrs: a, QdiscType: "pfifo"}
		},
		"netem": func(a netlink.QdiscAttrs) netlink.Qdisc { return netlink.NewNetem(a, netlink.NetemQdiscAttrs{}) },
	} {
		n := newNet(t)
		step, err := plan(t, Spec{Delay: 10 * ms}, targetOf(t, n.target))
		if err != nil {
			t.Fatal(err)
		}
		setRoot(t, n.target, qdisc)
		before := withoutCounters(t, dump(t, n.target)) // it goes on to count packets
		_, err = plan(t, Spec{Delay: 10 * ms}, targetOf(t, n.target))
		if reason := wantRefusal(t, err); !strings.Contains(reason, "eth0 has a root qdisc already: "+kind+" 77:") {
			t.Errorf("%s: %s", kind, reason)
		}
		// It came between plan and apply.
		if err := registry().Apply(t.Context(), step.Record); err == nil || !strings.Contains(err.Error(), kind+" 77:") {
			t.Errorf("%s: Apply = %v", kind, err)
		}
		f := &fault{t: t, registry: registry(), step: step}
		f.expect(f.registry, injectors.Foreign)
		if err := f.registry.Revert(t.Context(), step.Record); err != nil {
			t.Errorf("%s: Revert = %v", kind, err)
		}
		if after := withoutCounters(t, dump(t, n.target)); !slices.Equal(before, after) {
			t.Errorf("%s was touched:\n%q\n%q", kind, before, after)
		}
	}
}

func TestNetemApplyIsExclusiveAndRevertIsNot(t *testing.T) {
	requireNetem(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 10 * ms}, n.target)
	if err := f.registry.Apply(t.Context(), f.step.Record); err == nil {
		t.Error("a second Apply succeeded")
	}
	f.expect(f.registry, injectors.Present)
	f.revert(f.registry)
	f.revert(f.registry)
}

func TestNetemIsRevertedByAnotherProcess(t *testing.T) {
	requireNetem(t)
	n := newNet(t)
	before := dump(t, n.target)
	step, err := plan(t, Spec{Delay: 10 * ms}, targetOf(t, n.target))
	if err != nil {
		t.Fatal(err)
	}
	process := holdElsewhere(t, step)
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	f := &fault{t: t, registry: registry(), step: step}
	if step.Tier != injectors.TierDeadman {
		t.Errorf("the tier is %s", step.Tier)
	}
	f.expect(f.registry, injectors.Present) // which is why there is a deadman
	f.revert(f.registry)
	if after := dump(t, n.target); !slices.Equal(before, after) {
		t.Errorf("the qdiscs were\n%q and are\n%q", before, after)
	}
}

func TestNetemSurvivesWhatHappensToItsTarget(t *testing.T) {
	requireNetem(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 10 * ms}, n.target)
	if err := netns.Do(n.target.NetNS, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	}); err != nil {
		t.Fatal(err)
	}
	f.revert(f.registry)
}

func TestNetemRestoresARealQueue(t *testing.T) {
	requireNetem(t)
	n := newNet(t)
	// ifb has a transmit queue, and so a default qdisc that is not noqueue.
	if err := netns.Do(n.target.NetNS, func() error {
		link := &netlink.Ifb{LinkAttrs: netlink.NewLinkAttrs()}
		link.Name = "queue0"
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	}); err != nil {
		t.Fatal(err)
	}
	// The interface's own packets, of IPv6, count as they please.
	before := withoutCounters(t, dump(t, n.target))
	f := inject(t, Spec{Delay: 10 * ms}, n.target)
	if len(f.step.Actions) != 2 {
		t.Errorf("%q", f.step.Actions)
	}
	f.revert(f.registry)
	if after := withoutCounters(t, dump(t, n.target)); !slices.Equal(before, after) {
		t.Errorf("the qdiscs were\n%q and are\n%q", before, after)
	}
}

// withoutCounters cuts the statistics out of a dump.
func withoutCounters(t *testing.T, dump []string) (cut []string) {
	t.Helper()
	for _, raw := range dump {
		attrs, err := nl.ParseRouteAttr([]byte(raw)[tcMsgSize:])
		if err != nil {
			t.Fatal(err)
		}
		rest := raw[:tcMsgSize]
		for _, a := range attrs {
			if a.Attr.Type != nl.TCA_STATS && a.Attr.Type != nl.TCA_STATS2 {
				rest += fmt.Sprintf("%v%q", a.Attr, a.Value)
			}
		}
		cut = append(cut, rest)
	}
	return cut
}
