package network

import "github.com/squallhq/squall/injectors/network/model"

// Record is the undo record of a network fault.
type Record struct {
	// Backend is the one that Plan chose.
	Backend string `json:"backend"`
	// NetNS is a path that opened the namespace when the fault was planned; NetNSID
	// and NetNSCookie (0 on kernels that have none) tell it from every other.
	NetNS       string `json:"netns"`
	NetNSID     string `json:"netnsID"`
	NetNSCookie uint64 `json:"netnsCookie,omitempty"`
	// Interfaces are those to touch.
	Interfaces []Interface `json:"interfaces"`
	// Netem, BPF and Shaper hold what the backend of that name needs; the others are
	// nil.
	Netem  *Netem  `json:"netem,omitempty"`
	BPF    *BPF    `json:"bpf,omitempty"`
	Shaper *Shaper `json:"shaper,omitempty"`
}

// Interface is one network interface of the recorded namespace.
type Interface struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
	// Before is the root qdisc that was there: its kind and its handle, which is 0
	// for one that the kernel chose by itself.
	Before       string `json:"before"`
	BeforeHandle uint32 `json:"beforeHandle"`
}

// Netem is a netem qdisc.
type Netem struct {
	// Handle is the qdisc's, chosen by Plan and the same on every interface.
	Handle uint32 `json:"handle"`
	model.Params
}

// Shaper is a shaper in user space.
type Shaper struct {
	// Program is the name of the program that leads packets to it, chosen by Plan;
	// the names of the TAP interfaces begin with it.
	Program string `json:"program"`
	// Mark is what packets carry on their way to the shaper and back.
	Mark uint32 `json:"mark"`
	// Seed is what all chance of the fault comes from.
	Seed uint64 `json:"seed"`
	model.Params
}

// BPF is a loss program. Its thresholds are shares of 2³²: a packet is hit where a
// random 32-bit number is below.
type BPF struct {
	// Program is the name of every program of this fault, chosen by Plan.
	Program string `json:"program"`
	Ingress bool   `json:"ingress,omitempty"`
	Egress  bool   `json:"egress,omitempty"`
	// The two states of the Gilbert-Elliott model. Random loss stays in the good one.
	ToBad    uint64 `json:"toBad,omitempty"`
	ToGood   uint64 `json:"toGood,omitempty"`
	BadLoss  uint64 `json:"badLoss,omitempty"`
	GoodLoss uint64 `json:"goodLoss,omitempty"`
}
