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
	conform(t, &Spec{Loss: 30, Direction: both, Backend: bpfName}, nil)
}

func TestNetemConformance(t *testing.T) {
	requireNetem(t)
	conform(t, &Spec{Delay: 20 * ms, Loss: 1, Backend: netemName}, func(a netlink.QdiscAttrs) netlink.Qdisc { return netlink.NewHtb(a) })
}

// conform holds a backend to the contract, each time on a network of its own.
func conform(t *testing.T, spec *Spec, foreign func(netlink.QdiscAttrs) netlink.Qdisc) {
	networks := map[string]net2{} // by the target's namespace
	suite := injectortest.Suite{
		Injector: Injector,
		Fresh: func(t *testing.T) (any, injectors.Target) {
			n := newNet(t)
			target := targetOf(t, n.target)
			networks[target.NetNS] = n
			return spec, target
		},
		Observe: observe,
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

// observe describes the qdiscs and the TCX programs of a target's interfaces.
func observe(t *testing.T, target injectors.Target) string {
	t.Helper()
	var seen strings.Builder
	err := netns.Do(target.NetNS, func() error {
		list, err := qdiscs()
		if err != nil {
			return err
		}
		for _, q := range list {
			fmt.Fprintf(&seen, "%d: %s %s parent %x; ", q.index, q.kind, handleText(q.handle), q.parent)
			for _, hook := range []ebpf.AttachType{ebpf.AttachTCXEgress, ebpf.AttachTCXIngress} {
				programs, err := link.QueryPrograms(link.QueryOptions{Target: q.index, Attach: hook})
				if errors.Is(err, ebpf.ErrNotSupported) {
					continue
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(&seen, "%s %v; ", hookName(hook), programs.Programs)
			}
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
