package shaper

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/squallhq/squall/injectors/network/model"
	"github.com/squallhq/squall/internal/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The most memory for frames, per shaper: 50 ms at 20 Gbit/s. It is virtual until
// it is used.
const memory = 128 << 20

// maxWaiting is the most packets that wait, whatever the limit says.
const maxWaiting = 1 << 20

// Config says what a shaper does, and to what.
type Config struct {
	Interface int    // the index of the interface whose packets it takes and sends
	TAP       string // the name of the TAP interface to make
	Mark      uint32 // what packets carry on their way to the shaper and from it
	Seed      uint64
	Params    model.Params
}

// Shaper is an open shaper.
type Shaper struct {
	tapFD, in, out, watch, wake int
	tapIndex                    int

	model  *model.Model
	inLine bool // no packet overtakes another
	downs  bool // the interface was down at least once
	arena  *arena
	queue  *queue
	stats  *Stats
	mem    []byte

	mode    atomic.Int32
	flushed chan struct{}

	base    time.Time // the shaper's clock counts from here
	offset  int64     // of the kernel's time stamps to that clock
	lastDue int64
	slept   int64 // when it last went to sleep
	batch   batch
	message message
}

// The modes of a shaper.
const (
	shaping  = iota
	flushing // what waits leaves at once, and what comes
	stopping
)

// Open makes a shaper's TAP and sockets in the network namespace of the calling
// thread. Nothing is delayed before a program redirects packets to it.
func Open(c Config, stats *Stats) (_ *Shaper, err error) {
	s := &Shaper{tapFD: -1, in: -1, out: -1, watch: -1, wake: -1, stats: stats, flushed: make(chan struct{}), base: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.tapFD, err = tap(c.TAP, Whole(&c.Params)); err != nil {
		return nil, err
	}
	link, err := netlink.LinkByName(c.TAP)
	if err != nil {
		return nil, fmt.Errorf("cannot find the TAP interface %s: %w", c.TAP, err)
	}
	s.tapIndex = link.Attrs().Index
	// Without an address it has nothing to say; a kernel without IPv6 has no mode.
	if err := netlink.LinkSetIP6AddrGenMode(link, addrGenNone); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, fmt.Errorf("cannot keep IPv6 from the TAP interface %s: %w", c.TAP, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("cannot set the TAP interface %s up: %w", c.TAP, err)
	}
	if s.in, err = capture(s.tapIndex, c.Mark); err != nil {
		return nil, err
	}
	if s.out, err = inject(c.Interface, c.Mark); err != nil {
		return nil, err
	}
	if s.watch, err = watch(c.Interface); err != nil {
		return nil, err
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("cannot make an eventfd: %w", err)
	}
	if s.mem, err = unix.Mmap(-1, 0, memory, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE); err != nil {
		return nil, fmt.Errorf("cannot get memory for packets: %w", err)
	}
	most := int(min(c.Params.Limit, maxWaiting))
	// One packet that waits long keeps the slots of those that have left since.
	s.arena, s.queue = newArena(s.mem, 4*most+2*batchSize), newQueue(most)
	s.model = model.New(c.Params, c.Seed)
	s.inLine = c.Params.Jitter == 0
	s.message.init()
	s.batch.init()
	return s, nil
}

// addrGenNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenNone = 1

// Whole says whether the shaper takes TCP packets of up to 64 KB whole, as the
// target's network hands them over, or each packet as it will be on the wire.
// Whole is many times faster; but where chance judges packets, or a rate limits
// them, they should be those that the other end counts.
func Whole(p *model.Params) bool {
	return p.Loss == 0 && p.LossGE == nil && p.LossState == nil && p.Duplicate == 0 && p.Corrupt == 0 && p.Reorder == 0 && p.Rate == 0
}

// TAP is the index of the TAP interface that packets are to be redirected to.
func (s *Shaper) TAP() int { return s.tapIndex }

// Flush sends what waits, in its order, and from now on whatever comes, at once. It
// returns when nothing waits, or after the limit.
func (s *Shaper) Flush(limit time.Duration) {
	s.set(flushing)
	select {
	case <-s.flushed:
	case <-time.After(limit):
	}
}

// Stop makes Run send what it still has, and return.
func (s *Shaper) Stop() { s.set(stopping) }

func (s *Shaper) set(mode int32) {
	s.mode.Store(mode)
	// An eventfd takes 8 bytes in the machine's order, and can't be full.
	one := [8]byte{1, 1, 1, 1, 1, 1, 1, 1}
	_, _ = unix.Write(s.wake, one[:])
}

// Close gives everything back: the TAP interface is gone.
func (s *Shaper) Close() error {
	var failures []error
	for _, fd := range []int{s.in, s.out, s.watch, s.wake, s.tapFD} {
		if fd >= 0 {
			failures = append(failures, unix.Close(fd))
		}
	}
	if s.mem != nil {
		failures = append(failures, unix.Munmap(s.mem))
	}
	return errors.Join(failures...)
}

// Probe says what this host lacks for a shaper, in a namespace that nobody else
// sees.
func Probe() error {
	return netns.Scratch(func() error {
		const loopback = 1 // LOOPBACK_IFINDEX of net/flow.h
		var stats Stats
		s, err := Open(Config{Interface: loopback, TAP: "sq_probe", Mark: 1, Params: model.Params{Limit: 1}}, &stats)
		if err != nil {
			return err
		}
		return s.Close()
	})
}
