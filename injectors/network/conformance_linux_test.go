package network

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/injectortest"
	"github.com/squallhq/squall/internal/netns"
	"github.com/vishvananda/netlink"
)

func TestBPFConformance(t *testing.T) {
	requireTCX(t)
	conform(t, &Spec{Loss: 30, Direction: both, Backend: bpfName}, nil, programs)
}

func TestShaperConformance(t *testing.T) {
	requireTCX(t)
	conform(t, &Spec{Delay: 20 * ms, Backend: shaperName}, nil, programs)
}

func TestNetemConformance(t *testing.T) {
	requireNetem(t)
	conform(t, &Spec{Delay: 20 * ms, Loss: 1, Backend: netemName}, func(a netlink.QdiscAttrs) netlink.Qdisc { return netlink.NewHtb(a) }, nil)
}

// conform holds a backend to the contract, each time on a network of its own.
func conform(t *testing.T, spec *Spec, foreign func(netlink.QdiscAttrs) netlink.Qdisc, more func(index int) (string, error)) {
	networks := map[string]net2{} // by the target's namespace
	suite := injectortest.Suite{
		Injector: injector,
		Fresh: func(t *testing.T) (any, injectors.Target) {
			n := newNet(t)
			target := targetOf(t, n.target)
			networks[target.NetNS] = n
			return spec, target
		},
		Observe: func(t *testing.T, target injectors.Target) string { return observe(t, target, more) },
		Destroy: func(t *testing.T, target injectors.Target) {
			if err := networks[target.NetNS].network.Close(); err != nil {
				t.Fatal(err)
			}
		},
	}
	if foreign != nil {
		suite.Foreign = func(t *testing.T, target injectors.Target) { setRoot(t, networks[target.NetNS].target, foreign) }
	}
	injectortest.Run(t, suite)
}

// observe describes the root qdiscs of a target's interfaces, and what more knows
// about them.
func observe(t *testing.T, target injectors.Target, more func(index int) (string, error)) string {
	t.Helper()
	var seen strings.Builder
	err := netns.Do(target.NetNS, func() error {
		list, err := qdiscs()
		if err != nil {
			return err
		}
		for _, q := range list {
			fmt.Fprintf(&seen, "%d: %s %s parent %x; ", q.index, q.kind, handleText(q.handle), q.parent)
			if more == nil {
				continue
			}
			text, err := more(q.index)
			if err != nil {
				return err
			}
			seen.WriteString(text)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "gone"
	}
	if err != nil {
		t.Fatal(err)
	}
	return seen.String()
}

// programs lists those at the TCX hooks of an interface.
func programs(index int) (string, error) {
	text := ""
	for _, hook := range []ebpf.AttachType{ebpf.AttachTCXEgress, ebpf.AttachTCXIngress} {
		found, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: hook})
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf("%s %v; ", hookName(hook), found.Programs)
	}
	return text, nil
}
