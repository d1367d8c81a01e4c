package network

import (
	"context"
	"fmt"
	"strings"

	"github.com/squallhq/squall/internal/hint"
	"golang.org/x/sys/unix"
)

// Probe says what this host can do for network faults. It changes nothing that
// anybody else can see. holder is that of Injector.
func Probe(ctx context.Context, holder ...string) []Capability {
	list := []Capability{kernel(), netAdmin()}
	for _, backend := range []struct {
		name, there, cost string
		probe             func() error
	}{
		{"netem", "sch_netem is there", "delay, jitter, duplicate, corrupt, reorder, rate, fourState and correlated loss need the shaper, which takes processor time", netem{}.probe},
		{"tcx", "BPF programs can be attached to TCX hooks", "no loss of what a target receives, no partition in both directions, and no loss that the kernel ends together with squall", bpf{}.probe},
		{"shaper", "squall's own shaper can stand in for netem, on egress", "no delay, jitter, duplicate, corrupt, reorder, rate and fourState where there is no netem", userspace{holder}.probe},
	} {
		if ctx.Err() != nil {
			break
		}
		c := Capability{Name: backend.name, OK: true, Detail: backend.there}
		if err := backend.probe(); err != nil {
			c.OK, c.Detail, c.Cost = false, err.Error(), backend.cost
			c.Remedy = strings.Join(hint.Of(err), "; ")
			if c.Remedy == "" {
				c.Remedy = "run squall as root"
			}
		}
		list = append(list, c)
	}
	return list
}

func kernel() Capability {
	c := Capability{Name: "kernel", OK: true}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		c.OK, c.Detail = false, fmt.Sprintf("cannot read the kernel's release: %v", err)
		return c
	}
	c.Detail = "Linux " + unix.ByteSliceToString(name.Release[:])
	return c
}

// netAdmin reads the effective capabilities of this process.
func netAdmin() Capability {
	c := Capability{Name: "CAP_NET_ADMIN"}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // 64 bits in two halves
	err := unix.Capget(&header, &data[0])
	c.OK = err == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
	switch {
	case c.OK:
		c.Detail = "this process may change networks"
	case err != nil:
		c.Detail = fmt.Sprintf("cannot read the capabilities: %v", err)
	default:
		c.Detail = "this process may not change networks"
	}
	if !c.OK {
		c.Cost, c.Remedy = "no network faults at all", "run squall as root"
	}
	return c
}
