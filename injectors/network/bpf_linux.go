package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/netns"
)

// bpf is the backend of loss programs at the TCX hooks. The kernel takes a program
// off its hook when the last descriptor of its link is closed, which happens at the
// latest when the process that applied it ends.
type bpf struct{}

// inProcess holds the links of this process by their programs' name. Descriptors
// belong to a process and not to a part of it: an instance that held them would
// end its faults when the garbage collector finds it.
var inProcess holder

type holder struct {
	mu    sync.Mutex
	links map[string][]link.Link
}

func (h *holder) hold(name string, l link.Link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.links == nil {
		h.links = map[string][]link.Link{}
	}
	h.links[name] = append(h.links[name], l)
}

// release closes the links of one fault.
func (h *holder) release(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	links := h.links[name]
	delete(h.links, name)
	return closeAll(links)
}

var errNoTCX = hint.Wrap(errors.New("this kernel has no TCX hooks for BPF programs"),
	"TCX came with Linux 6.6: boot a newer kernel, with CONFIG_BPF_SYSCALL and CONFIG_NET_XGRESS")

// probe attaches a program that does nothing to the loopback interface of a
// namespace that nobody else sees.
func (bpf) probe() error {
	return netns.Scratch(func() (err error) {
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "sq_probe", Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXEgress, License: "Apache-2.0",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, tcxNext), asm.Return()},
		})
		if err != nil {
			return fmt.Errorf("%w (%w)", errNoTCX, err)
		}
		defer func() { err = errors.Join(err, program.Close()) }()
		const loopback = 1 // LOOPBACK_IFINDEX of net/flow.h
		attached, err := link.AttachTCX(link.TCXOptions{Interface: loopback, Program: program, Attach: ebpf.AttachTCXEgress})
		if err != nil {
			return fmt.Errorf("%w (%w)", errNoTCX, err)
		}
		return attached.Close()
	})
}

func (bpf) plan(spec *Spec, record *Record) error {
	if keys := bpfCannot(spec); keys != "" {
		return fmt.Errorf("the bpf backend has no %s", keys)
	}
	record.BPF = newBPF(spec)
	return nil
}

func (bpf) describe(record *Record, _ *Spec) description {
	b := record.BPF
	d := description{tier: injectors.TierKernel}
	for _, i := range record.Interfaces {
		for _, hook := range b.hooks() {
			d.actions = append(d.actions, fmt.Sprintf("attach the BPF program %s to %s of %s: %s, in %s", b.Program, hookName(hook), show(i.Name), b, record.NetNSID))
		}
	}
	d.undo = fmt.Sprintf("detach the BPF program %s; the kernel does so when squall ends", b.Program)
	d.notes = append(d.notes, "ARP and IPv6 neighbour discovery are spared")
	return d
}

// hooks returns those that the fault sits at.
func (b *BPF) hooks() []ebpf.AttachType {
	var hooks []ebpf.AttachType
	if b.Egress {
		hooks = append(hooks, ebpf.AttachTCXEgress)
	}
	if b.Ingress {
		hooks = append(hooks, ebpf.AttachTCXIngress)
	}
	return hooks
}

func hookName(hook ebpf.AttachType) string {
	if hook == ebpf.AttachTCXIngress {
		return ingress
	}
	return egress
}

func (bpf) apply(ctx context.Context, record *Record) error {
	name := record.BPF.Program
	there, err := record.BPF.links()
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return errors.Join(fmt.Errorf("cannot attach the BPF program %s: it is attached already", name), closeAll(there))
	}
	present, err := record.within(func() error {
		for _, i := range record.Interfaces {
			for _, hook := range record.BPF.hooks() {
				if err := ctx.Err(); err != nil {
					return err
				}
				attached, err := record.BPF.attach(i, hook)
				if err != nil {
					return fmt.Errorf("cannot attach the BPF program %s to %s of %s: %w", name, hookName(hook), show(i.Name), err)
				}
				inProcess.hold(name, attached)
			}
		}
		return nil
	})
	if err == nil && !present {
		err = fmt.Errorf("cannot attach a BPF program: the network namespace %s is gone", record.NetNSID)
	}
	return err
}

// attach loads a program and puts it at a hook, as near to the wire as it gets: the
// programs of others see what the target's own network would let them see.
func (b *BPF) attach(i Interface, hook ebpf.AttachType) (_ link.Link, err error) {
	program, err := b.load(hook)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	anchor := link.Tail()
	if hook == ebpf.AttachTCXIngress {
		anchor = link.Head()
	}
	return link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: program, Attach: hook, Anchor: anchor})
}

func (bpf) verify(_ context.Context, record *Record) (_ injectors.Status, err error) {
	status := injectors.Status{Presence: injectors.Absent, Unit: "packets"}
	links, err := record.BPF.links()
	if err != nil {
		return status, err
	}
	defer func() { err = errors.Join(err, closeAll(links)) }()
	if len(links) == 0 {
		status.Detail = fmt.Sprintf("no BPF program %s is attached", record.BPF.Program)
		return status, nil
	}
	var sum counters
	for _, l := range links {
		c, err := readCounters(l)
		if err != nil {
			return status, err
		}
		sum.matched += c.matched
		sum.dropped += c.dropped
		sum.bytes += c.bytes
	}
	status.Presence = injectors.Present
	status.Detail = fmt.Sprintf("the BPF program %s is attached (%d of %d hooks)", record.BPF.Program, len(links), len(record.Interfaces)*len(record.BPF.hooks()))
	status.Touched = sum.matched
	status.Facts = []injectors.Fact{
		{Name: "matched", Value: float64(sum.matched), Unit: "packets"},
		{Name: "matched bytes", Value: float64(sum.bytes), Unit: "B"},
		{Name: "dropped", Value: float64(sum.dropped), Unit: "packets"},
	}
	return status, nil
}

func (bpf) revert(_ context.Context, record *Record) error {
	name := record.BPF.Program
	// Closing is enough, unless somebody else holds the link too; detaching what is
	// left covers that, and the links of a process that lives on without being able
	// to let go.
	failures := []error{inProcess.release(name)}
	links, err := record.BPF.links()
	failures = append(failures, err)
	for _, l := range links {
		if err := l.Detach(); err != nil && !errors.Is(err, os.ErrNotExist) {
			failures = append(failures, fmt.Errorf("cannot detach the BPF program %s: %w", name, err))
		}
	}
	return errors.Join(append(failures, closeAll(links))...)
}

// links returns the attached links of b's programs. They are the caller's to close.
// The name, 40 random bits that Plan wrote down before the
// program existed, is the proof that they are ours.
func (b *BPF) links() ([]link.Link, error) { return linksOf(b.Program) }

// linksOf returns the attached links whose program has that name. They are the
// caller's to close.
func linksOf(program string) (found []link.Link, err error) {
	for range listAttempts {
		found, err = listLinks(program)
		if !errors.Is(err, unix.EAGAIN) {
			break
		}
		time.Sleep(listPause)
	}
	return found, err
}

// A link that somebody is just attaching has an id already, and can't be opened yet:
// the kernel answers EAGAIN for it (bpf_link_by_id). That takes microseconds.
const (
	listAttempts = 200
	listPause    = time.Millisecond
)

func listLinks(program string) (found []link.Link, err error) {
	var all link.Iterator
	defer all.Close()
	for all.Next() {
		ours, err := owns(all.Link, program)
		if err != nil {
			return nil, errors.Join(err, closeAll(found))
		}
		if ours {
			found = append(found, all.Take())
		}
	}
	if err := all.Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot list the BPF links: %w", err), closeAll(found))
	}
	return found, nil
}

func owns(l link.Link, name string) (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("cannot look at a BPF link: %w", err)
	}
	if info.Type != link.TCXType {
		return false, nil
	}
	// A link that was detached, or whose interface is gone, lives on at index 0 for
	// as long as somebody holds it.
	if tcx := info.TCX(); tcx == nil || tcx.Ifindex == 0 {
		return false, nil
	}
	program, err := ebpf.NewProgramFromID(info.Program)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot open the program of a BPF link: %w", err)
	}
	defer func() { _ = program.Close() }()
	programInfo, err := program.Info()
	if err != nil {
		return false, fmt.Errorf("cannot look at the program of a BPF link: %w", err)
	}
	return programInfo.Name == name, nil
}

type counters struct{ matched, dropped, bytes uint64 }

// readCounters reads the map of a link's program.
func readCounters(l link.Link) (c counters, err error) {
	value := make([]byte, valueSize)
	if err := lookup(l, value); err != nil {
		return c, fmt.Errorf("cannot read the counters of a BPF program: %w", err)
	}
	native := binary.NativeEndian
	c.matched, c.dropped, c.bytes = native.Uint64(value[offMatched:]), native.Uint64(value[offDropped:]), native.Uint64(value[offBytes:])
	return c, nil
}

func lookup(l link.Link, value []byte) error {
	info, err := l.Info()
	if err != nil {
		return err
	}
	program, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return err
	}
	defer func() { _ = program.Close() }()
	programInfo, err := program.Info()
	if err != nil {
		return err
	}
	ids, _ := programInfo.MapIDs()
	if len(ids) != 1 {
		return fmt.Errorf("it has %d maps", len(ids))
	}
	m, err := ebpf.NewMapFromID(ids[0])
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	return m.Lookup(uint32(0), value)
}

func closeAll(links []link.Link) error {
	var failures []error
	for _, l := range links {
		failures = append(failures, l.Close())
	}
	return errors.Join(failures...)
}
