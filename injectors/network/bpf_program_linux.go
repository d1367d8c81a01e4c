package network

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// The one value of a program's map: counters, and the state of the loss model. A
// program of its own for each hook of each interface has a map of its own, as a
// netem qdisc has a state of its own.
const (
	offMatched = 0  // packets that the model judged
	offDropped = 8  // packets that it lost
	offBytes   = 16 // bytes of those that it judged
	offBad     = 24 // 1 while the Gilbert-Elliott model is in the bad state
	valueSize  = 32
)

// Verdicts of a TCX program, enum tcx_action_base of linux/bpf.h. Next lets the
// programs of others decide, as if this one were not there.
const (
	tcxNext = -1
	tcxDrop = 2
)

// Offsets in struct __sk_buff of linux/bpf.h.
const (
	skbLen      = 0
	skbProtocol = 16
)

// nowhere is an interface index that no interface has: a packet that is redirected
// there is freed (skb_do_redirect in net/core/filter.c), and its sender, unlike
// after a drop, does not hear about it.
const nowhere = 0

// headerNet is BPF_HDR_START_NET of linux/bpf.h: offsets count from the IP header.
const headerNet = 1

// Neighbour discovery: ICMPv6 types 133 (router solicitation) to 137 (redirect) of
// RFC 4861, directly behind the IPv6 header of 40 bytes.
const (
	ipv6NextHeader          = 6
	ipv6HeaderSize          = 40
	firstNDType, lastNDType = 133, 137
)

// load loads the program for one hook, with its map.
func (b *BPF) load(hook ebpf.AttachType) (_ *ebpf.Program, err error) {
	counters, err := ebpf.NewMap(&ebpf.MapSpec{Name: b.Program, Type: ebpf.Array, KeySize: 4, ValueSize: valueSize, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("cannot make a BPF map: %w", err)
	}
	// The program holds on to the map.
	defer func() { _ = counters.Close() }()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: b.Program, Type: ebpf.SchedCLS, AttachType: hook, License: "Apache-2.0",
		Instructions: b.instructions(hook, counters.FD()),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot load a BPF program: %w", err)
	}
	return program, nil
}

// instructions assembles the program: R6 is the packet, R7 the map's value.
func (b *BPF) instructions(hook ebpf.AttachType, counters int) asm.Instructions {
	program := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMapValue(asm.R7, counters, 0),
	}
	program = append(program, exemptNeighbours()...)
	program = append(program,
		asm.Mov.Imm(asm.R1, 1).WithSymbol("judge"),
		asm.AddAtomic.Mem(asm.R7, asm.R1, asm.DWord, offMatched),
		asm.LoadMem(asm.R1, asm.R6, skbLen, asm.Word),
		asm.AddAtomic.Mem(asm.R7, asm.R1, asm.DWord, offBytes),
	)
	program = append(program, b.model()...)
	program = append(program,
		asm.Mov.Imm(asm.R1, 1).WithSymbol("drop"),
		asm.AddAtomic.Mem(asm.R7, asm.R1, asm.DWord, offDropped),
	)
	program = append(program, drop(hook)...)
	return append(program,
		asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("pass"),
		asm.Return(),
	)
}

// exemptNeighbours jumps to pass for ARP and IPv6 neighbour discovery: without its
// neighbours a link that loses some packets would be one that loses all for
// seconds, and a partition would outlive its removal until they are found again.
func exemptNeighbours() asm.Instructions {
	const stack = -8
	loadByte := func(offset int32) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Imm(asm.R2, offset),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, stack),
			asm.Mov.Imm(asm.R4, 1),
			asm.Mov.Imm(asm.R5, headerNet),
			asm.FnSkbLoadBytesRelative.Call(),
			asm.JNE.Imm(asm.R0, 0, "judge"), // too short to be one
			asm.LoadMem(asm.R1, asm.RFP, stack, asm.Byte),
		}
	}
	program := asm.Instructions{
		asm.LoadMem(asm.R1, asm.R6, skbProtocol, asm.Word),
		asm.JEq.Imm(asm.R1, networkOrder(unix.ETH_P_ARP), "pass"),
		asm.JNE.Imm(asm.R1, networkOrder(unix.ETH_P_IPV6), "judge"),
	}
	program = append(program, loadByte(ipv6NextHeader)...)
	program = append(program, asm.JNE.Imm(asm.R1, unix.IPPROTO_ICMPV6, "judge"))
	program = append(program, loadByte(ipv6HeaderSize)...)
	return append(program,
		asm.JLT.Imm(asm.R1, firstNDType, "judge"),
		asm.JLE.Imm(asm.R1, lastNDType, "pass"),
	)
}

// model falls through for a packet that gets lost, and jumps to pass for one that
// doesn't. It follows loss_gilb_ell() in net/sched/sch_netem.c: the packet may
// change the state, but is judged by the one that it found. Random loss is the
// same model without a bad state.
//
// Packets on several CPUs read and write the state without a lock: where they meet,
// one change of state can get lost, and no more.
func (b *BPF) model() asm.Instructions {
	var program asm.Instructions
	if b.ToBad > 0 {
		program = append(program,
			asm.LoadMem(asm.R8, asm.R7, offBad, asm.DWord),
			asm.JNE.Imm(asm.R8, 0, "bad"),
		)
		program = append(program, unless(b.ToBad, "good")...)
		program = append(program, asm.Mov.Imm(asm.R8, 1), asm.StoreMem(asm.R7, offBad, asm.R8, asm.DWord))
	}
	// A jump's target needs an instruction of its own.
	program = append(program, asm.Mov.Imm(asm.R8, 0).WithSymbol("good"))
	program = append(program, unless(b.GoodLoss, "pass")...)
	if b.ToBad > 0 {
		program = append(program, asm.Ja.Label("drop"))
		bad := unless(b.ToGood, "stay")
		bad[0] = bad[0].WithSymbol("bad")
		program = append(program, bad...)
		program = append(program,
			asm.Mov.Imm(asm.R8, 0),
			asm.StoreMem(asm.R7, offBad, asm.R8, asm.DWord),
			asm.Mov.Imm(asm.R8, 0).WithSymbol("stay"),
		)
		program = append(program, unless(b.BadLoss, "pass")...)
	}
	return program
}

// unless jumps to label, except with a chance of threshold in 2³².
func unless(threshold uint64, label string) asm.Instructions {
	return asm.Instructions{
		asm.FnGetPrandomU32.Call(),
		// The helper's number has 32 bits, and the threshold can have 33.
		asm.Mov.Reg32(asm.R0, asm.R0),
		asm.LoadImm(asm.R1, int64(threshold), asm.DWord),
		asm.JGE.Reg(asm.R0, asm.R1, label),
	}
}

// drop makes the packet vanish without a word to the one who sent it.
func drop(hook ebpf.AttachType) asm.Instructions {
	if hook == ebpf.AttachTCXIngress {
		return asm.Instructions{asm.Mov.Imm(asm.R0, tcxDrop), asm.Return()}
	}
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, nowhere),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
	}
}

// networkOrder is a 16-bit number as a program reads it from a field in network
// byte order.
func networkOrder(n uint16) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return int32(binary.NativeEndian.Uint16(b[:]))
}
