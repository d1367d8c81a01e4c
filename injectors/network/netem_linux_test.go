package network

import (
	"fmt"
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

func TestNetemDelay(t *testing.T) { shaped(t, netemName, "delay") }

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

func TestNetemUniformJitter(t *testing.T) { shaped(t, netemName, "uniform jitter") }

func TestNetemNormalDistribution(t *testing.T) { shaped(t, netemName, "normal distribution") }

func TestNetemPareto(t *testing.T) { shaped(t, netemName, "pareto") }

func TestNetemParetonormal(t *testing.T) { shaped(t, netemName, "paretonormal") }

func TestNetemLoss(t *testing.T) { shaped(t, netemName, "loss") }

func TestNetemGilbertElliott(t *testing.T) {
	requireNetem(t)
	n := newNet(t)
	inject(t, Spec{GilbertElliott: &GilbertElliott{ToBad: 2, ToGood: 20, BadLoss: 100}}, n.target)
	checkBursts(t, n, traffic{packets: 25000, size: 32}, 0.02, 0.2)
}

func TestNetemFourState(t *testing.T) { shaped(t, netemName, "four states") }

func TestNetemDuplicate(t *testing.T) { shaped(t, netemName, "duplicate") }

func TestNetemCorrupt(t *testing.T) { shaped(t, netemName, "corrupt") }

func TestNetemReorder(t *testing.T) { shaped(t, netemName, "reorder") }

func TestNetemRate(t *testing.T) { shaped(t, netemName, "rate") }

func TestNetemPartition(t *testing.T) {
	requireNetem(t)
	n := newNet(t)
	inject(t, Spec{Partition: partitionDrop, Backend: netemName}, n.target)
	if got := measure(t, n.target, n.peer, traffic{packets: 100}); got.losses() != got.sent {
		t.Errorf("%d of %d lost", got.losses(), got.sent)
	}
}

func TestNetemEffectsAreComposed(t *testing.T) { shaped(t, netemName, "all together") }

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
