package network

import "github.com/squallhq/squall/injectors"

// Injector returns the injector of network faults. What the bpf and the shaper
// backends attach lives as long as this process.
//
// holder is an argument list with which this program, executed once more, calls
// HoldShaper on its standard streams. Without it there is no shaper to apply; one
// that another process has applied can be verified and reverted all the same.
func Injector(holder ...string) *injectors.Injector {
	return injectors.New[Spec, Record](
		"network",
		"Makes a network slow, lossy or unreachable.",
		[]injectors.Kind{injectors.KindContainer, injectors.KindNetNS, injectors.KindInterface, injectors.KindProcess},
		newVerbs(holder),
	)
}

// Capability is one thing that a host can do for network faults, or can't.
type Capability struct {
	Name string // "netem"
	OK   bool
	// Detail says what was found.
	Detail string
	// Cost says what squall can't do without it, and Remedy how to get it. Both are
	// empty where it is there.
	Cost, Remedy string
}
