package network

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/squallhq/squall/injectors/network/shaper"
	"golang.org/x/sys/unix"
)

// Offsets in struct __sk_buff of linux/bpf.h.
const (
	skbMark        = 8
	skbVLANPresent = 20
)

// newStats makes the map that holds a shaper's figures, and maps it into memory.
func newStats(name string) (m *ebpf.Map, mem []byte, err error) {
	m, err = ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(shaper.StatsSize), MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a BPF map: %w", err)
	}
	mem, err = unix.Mmap(m.FD(), 0, shaper.StatsSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot map a BPF map into memory: %w", err), m.Close())
	}
	return m, mem, nil
}

// attach puts the program at the interface's egress hook. From then on its packets
// go to the TAP interface of that index.
func (s *Shaper) attach(i Interface, tap int, figures *ebpf.Map) (_ link.Link, err error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: s.Program, Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXEgress, License: "Apache-2.0",
		Instructions: s.instructions(tap, figures.FD()),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot load a BPF program: %w", err)
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	return link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: program, Attach: ebpf.AttachTCXEgress, Anchor: link.Tail()})
}

// instructions assembles the program: R6 is the packet, R7 the map's value. The
// shaper's own packets pass, and lose their mark. So do ARP, neighbour discovery,
// and what belongs to a VLAN: its tag lies outside of the packet and would get
// lost on the way.
func (s *Shaper) instructions(tap, figures int) asm.Instructions {
	const offMatched, offBytes = 0, 8 // of shaper.Stats
	program := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMapValue(asm.R7, figures, 0),
		asm.LoadMem(asm.R1, asm.R6, skbMark, asm.Word),
		asm.LoadImm(asm.R8, int64(s.Mark), asm.DWord),
		asm.JNE.Reg(asm.R1, asm.R8, "foreign"),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R6, skbMark, asm.R1, asm.Word),
		asm.Ja.Label("pass"),
		asm.LoadMem(asm.R1, asm.R6, skbVLANPresent, asm.Word).WithSymbol("foreign"),
		asm.JNE.Imm(asm.R1, 0, "pass"),
	}
	program = append(program, exemptNeighbours()...)
	return append(program,
		asm.Mov.Imm(asm.R1, 1).WithSymbol("judge"),
		asm.AddAtomic.Mem(asm.R7, asm.R1, asm.DWord, offMatched),
		asm.LoadMem(asm.R1, asm.R6, skbLen, asm.Word),
		asm.AddAtomic.Mem(asm.R7, asm.R1, asm.DWord, offBytes),
		asm.StoreMem(asm.R6, skbMark, asm.R8, asm.Word),
		asm.Mov.Imm(asm.R1, int32(tap)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("pass"),
		asm.Return(),
	)
}
