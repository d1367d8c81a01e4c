package network

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
	// Netem and BPF hold what the backend of that name needs; the other is nil.
	Netem *Netem `json:"netem,omitempty"`
	BPF   *BPF   `json:"bpf,omitempty"`
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

// Netem is a netem qdisc in the kernel's units: nanoseconds, bytes per second, and
// probabilities as shares of 2³²-1.
type Netem struct {
	// Handle is the qdisc's, chosen by Plan and the same on every interface.
	Handle uint32 `json:"handle"`

	Latency      int64  `json:"latency,omitempty"`
	Jitter       int64  `json:"jitter,omitempty"`
	Distribution string `json:"distribution,omitempty"`
	DelayCorr    uint32 `json:"delayCorr,omitempty"`

	Loss      uint32      `json:"loss,omitempty"`
	LossCorr  uint32      `json:"lossCorr,omitempty"`
	LossGE    *lossGE     `json:"lossGE,omitempty"`
	LossState *lossStates `json:"lossState,omitempty"`

	Duplicate   uint32 `json:"duplicate,omitempty"`
	Corrupt     uint32 `json:"corrupt,omitempty"`
	Reorder     uint32 `json:"reorder,omitempty"`
	ReorderCorr uint32 `json:"reorderCorr,omitempty"`
	Gap         uint32 `json:"gap,omitempty"`

	Rate  uint64 `json:"rate,omitempty"`
	Limit uint32 `json:"limit"`
}

// lossGE is struct tc_netem_gemodel of linux/pkt_sched.h.
type lossGE struct {
	P  uint32 `json:"p"`
	R  uint32 `json:"r"`
	H  uint32 `json:"h"`
	K1 uint32 `json:"k1"`
}

// lossStates is struct tc_netem_gimodel of linux/pkt_sched.h, in its order.
type lossStates struct {
	P13 uint32 `json:"p13"`
	P31 uint32 `json:"p31"`
	P32 uint32 `json:"p32"`
	P14 uint32 `json:"p14"`
	P23 uint32 `json:"p23"`
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
