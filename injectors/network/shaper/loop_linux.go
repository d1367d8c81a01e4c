package shaper

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many packets are taken, and how many are sent, before the other
// is looked at again.
const batchSize = 64

// message is what recvmsg(2) needs, made once.
type message struct {
	header  unix.Msghdr
	iovec   unix.Iovec
	control [64]byte
}

func (m *message) init() {
	m.header.Iov, m.header.Iovlen = &m.iovec, 1
}

// batch is what sendmmsg(2) needs, made once.
type batch struct {
	headers [batchSize]mmsghdr
	iovecs  [batchSize]unix.Iovec
	frames  [batchSize]waiting
}

// mmsghdr is struct mmsghdr of sys/socket.h.
type mmsghdr struct {
	header unix.Msghdr
	sent   uint32
	_      [4]byte
}

func (b *batch) init() {
	for i := range b.headers {
		b.headers[i].header.Iov, b.headers[i].header.Iovlen = &b.iovecs[i], 1
	}
}

// realTimePriority is the lowest of SCHED_FIFO: above all ordinary work, and below
// whoever else asked for one.
const realTimePriority = 1

// A shaper that has more to do than it can must not keep the processor from whoever
// is to end the fault: after busyLimit without sleep it sleeps for breath.
const (
	busyLimit = 50 * time.Millisecond
	breath    = 500 * time.Microsecond
)

// Run shapes until Stop, on a thread of its own. It returns an error when the
// interface or the TAP is gone.
func (s *Shaper) Run() error {
	runtime.LockOSThread() // and never unlocked: the priority ends with the thread
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: realTimePriority}
	if err := unix.SchedSetAttr(0, &attr, 0); err == nil {
		atomic.StoreUint64(&s.stats.RealTime, 1)
	} else {
		// A nanosecond instead of 50 µs: sleep no longer than asked.
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	}
	s.synchronise()
	s.slept = s.now()
	flushed := false
	for {
		mode := s.mode.Load()
		received, err := s.receive(mode)
		if err != nil {
			return err
		}
		err = s.transmit(mode)
		if err != nil {
			return err
		}
		atomic.StoreUint64(&s.stats.Held, uint64(len(s.queue.list)))
		if now := s.now(); now-s.slept > int64(busyLimit) {
			s.slept = now
			s.missed()
			time.Sleep(breath)
		}
		if received == batchSize {
			continue
		}
		if mode != shaping && len(s.queue.list) == 0 && received == 0 {
			if !flushed {
				flushed = true
				close(s.flushed)
			}
			if mode == stopping {
				return nil
			}
		}
		if received == 0 {
			if err := s.wait(); err != nil {
				return err
			}
		}
	}
}

// now is the shaper's clock, which does not run backwards.
func (s *Shaper) now() int64 { return int64(time.Since(s.base)) }

// synchronise learns how far the kernel's time stamps, which are of the wall clock,
// are from the shaper's clock. The two are read one after the other: what comes in
// between makes the difference smaller, and a small change no change.
func (s *Shaper) synchronise() {
	const step = int64(100 * time.Microsecond)
	var offset int64
	for try := range 3 {
		t := time.Now()
		seen := t.UnixNano() - int64(t.Sub(s.base))
		if try == 0 || seen > offset {
			offset = seen
		}
		if d := offset - s.offset; d < step && d > -step {
			return
		}
	}
	s.offset = offset
}

// receive takes up to batchSize frames and decides their fate.
func (s *Shaper) receive(mode int32) (n int, err error) {
	for n < batchSize {
		room := s.arena.reserve(maxFrame)
		full := room == nil
		if full {
			room = s.batch.scratch()
		}
		size, stamp, err := s.read(room)
		if errors.Is(err, unix.EAGAIN) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n++
		atomic.AddUint64(&s.stats.Captured, 1)
		if full || size <= vnetHeader {
			atomic.AddUint64(&s.stats.NoRoom, 1)
			continue
		}
		if n == 1 {
			s.synchronise()
		}
		now := s.now()
		captured := now
		if stamp != 0 {
			captured = min(stamp-s.offset, now)
		}
		s.decide(captured, size, mode)
	}
	return n, nil
}

// scratch is where a frame is read to that there is no room for, to be forgotten.
func (b *batch) scratch() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&b.frames)), unsafe.Sizeof(b.frames))
}

// decide asks the model about the frame that lies where the arena's head is.
func (s *Shaper) decide(captured int64, size int, mode int32) {
	fate := s.model.Next(captured, size-vnetHeader)
	if fate.Copies == 0 {
		atomic.AddUint64(&s.stats.Dropped, 1)
		return
	}
	slot := s.arena.commit(size)
	for i, c := range fate.Copy[:fate.Copies] {
		if i == 1 {
			atomic.AddUint64(&s.stats.Duplicated, 1)
			room := s.arena.reserve(size)
			if room == nil {
				atomic.AddUint64(&s.stats.NoRoom, 1)
				return
			}
			// Each has its own memory: one can be corrupted, and one can leave first.
			copy(room, s.arena.frame(slot, size))
			slot = s.arena.commit(size)
		}
		w := waiting{due: c.Due, captured: captured, slot: slot, size: uint32(size), bit: c.Bit, corrupt: c.Corrupt, overtake: c.Overtakes}
		if s.inLine && !w.overtake {
			// Two processors can stamp packets in another order than they hand them over.
			w.due = max(w.due, s.lastDue)
			s.lastDue = w.due
		}
		if !s.queue.push(w) {
			s.arena.release(slot)
			atomic.AddUint64(&s.stats.OverLimit, 1)
			continue
		}
		switch {
		case w.overtake:
			atomic.AddUint64(&s.stats.Reordered, 1)
		case w.due > captured && mode == shaping:
			atomic.AddUint64(&s.stats.Delayed, 1)
		}
	}
}

// read receives one frame, and the wall clock's time at which it was captured.
func (s *Shaper) read(room []byte) (size int, stamp int64, err error) {
	m := &s.message
	m.iovec.Base = unsafe.SliceData(room)
	m.iovec.SetLen(len(room))
	m.header.Control = &m.control[0]
	m.header.SetControllen(len(m.control))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s.in), uintptr(unsafe.Pointer(&m.header)), unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return 0, 0, unix.EAGAIN
	default:
		return 0, 0, fmt.Errorf("cannot capture packets: %w", errno)
	}
	if int(n) > len(room) {
		n = 0 // longer than any frame can be, or there was no room for it
	}
	// struct cmsghdr is 16 bytes here, struct timespec follows.
	if m.header.Controllen >= 32 {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&m.control))
		if c.Level == unix.SOL_SOCKET && c.Type == unix.SO_TIMESTAMPNS {
			t := (*unix.Timespec)(unsafe.Pointer(&m.control[unix.SizeofCmsghdr]))
			stamp = t.Nano()
		}
	}
	return int(n), stamp, nil
}

// transmit sends what is due.
func (s *Shaper) transmit(mode int32) error {
	b := &s.batch
	for {
		n, now := 0, s.now()
		for n < batchSize && len(s.queue.list) > 0 && (s.queue.list[0].due <= now || mode != shaping) {
			w := s.queue.pop()
			frame := s.arena.frame(w.slot, int(w.size))
			if w.corrupt {
				bit := w.bit % (8 * (w.size - vnetHeader))
				frame[vnetHeader+bit/8] ^= 1 << (bit % 8)
				atomic.AddUint64(&s.stats.Corrupted, 1)
			}
			b.frames[n] = w
			b.iovecs[n].Base = unsafe.SliceData(frame)
			b.iovecs[n].SetLen(len(frame))
			n++
		}
		if n == 0 {
			return nil
		}
		if err := s.send(n, mode); err != nil {
			return err
		}
		for _, w := range b.frames[:n] {
			s.arena.release(w.slot)
		}
		if n < batchSize {
			return nil
		}
	}
}

// send sends the batch's first n frames.
func (s *Shaper) send(n int, mode int32) error {
	b := &s.batch
	for done, full := 0, 0; done < n; {
		before := s.now()
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.out), uintptr(unsafe.Pointer(&b.headers[done])), uintptr(n-done), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			after := s.now()
			s.account(b.frames[done:done+int(r)], before, after, mode)
			done += int(r)
			full = 0
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && full < 10:
			full++ // the interface has not yet taken what it was given
			fds := [1]unix.PollFd{{Fd: int32(s.out), Events: unix.POLLOUT}}
			_, _ = unix.Poll(fds[:], 1)
		case errno == unix.ENXIO || errno == unix.ENODEV:
			return fmt.Errorf("cannot send packets: %w", errno)
		default:
			// The interface is down, or its queue is full: this packet is lost.
			atomic.AddUint64(&s.stats.Unsent, 1)
			done++
		}
	}
	return nil
}

// account counts what was sent between two points of time, evenly spread.
func (s *Shaper) account(sent []waiting, before, after int64, mode int32) {
	atomic.AddUint64(&s.stats.Sent, uint64(len(sent)))
	bytes := uint64(0)
	for i := range sent {
		w := &sent[i]
		bytes += uint64(w.size - vnetHeader)
		if mode != shaping {
			continue
		}
		at := before + (after-before)*int64(i+1)/int64(len(sent))
		late := at - w.due
		count(s.stats.Late[:], fineBits, late)
		if !w.overtake {
			count(s.stats.Delay[:], finestBits, at-w.captured)
		}
		if late > int64(atomic.LoadUint64(&s.stats.LateMax)) {
			atomic.StoreUint64(&s.stats.LateMax, uint64(late))
		}
	}
	atomic.AddUint64(&s.stats.SentBytes, bytes)
}

// early is how much before its time a packet wakes the shaper: about as long as it
// takes a thread to wake up, so that little is left to spin.
const early = 50 * time.Microsecond

// wait sleeps until a packet comes, one is due, or the mode changes.
func (s *Shaper) wait() error {
	fds := [3]unix.PollFd{{Fd: int32(s.in), Events: unix.POLLIN}, {Fd: int32(s.wake), Events: unix.POLLIN}, {Fd: int32(s.watch)}}
	left := int64(math.MaxInt64)
	if len(s.queue.list) > 0 {
		left = s.queue.list[0].due - s.now()
		if left -= int64(early); left <= 0 {
			return nil
		}
	}
	if s.downs {
		left = min(left, int64(lookAgain))
	}
	var timeout *unix.Timespec
	if left < math.MaxInt64 {
		t := unix.NsecToTimespec(left)
		timeout = &t
	}
	s.missed()
	_, err := unix.Ppoll(fds[:], timeout, nil)
	s.slept = s.now()
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("cannot wait for packets: %w", err)
	}
	if fds[1].Revents != 0 {
		var buf [8]byte
		_, _ = unix.Read(s.wake, buf[:])
	}
	if fds[0].Revents&unix.POLLERR != 0 {
		return s.cause("the TAP interface is gone", s.in)
	}
	s.downs = s.downs || fds[2].Revents&unix.POLLERR != 0
	if !s.downs {
		return nil
	}
	// An interface goes down before it goes away, and can come up again. The kernel
	// tells of the first only, and the socket is bound to none after the second.
	address, err := unix.Getsockname(s.watch)
	if err != nil {
		return fmt.Errorf("cannot read a socket's interface: %w", err)
	}
	if at, ok := address.(*unix.SockaddrLinklayer); ok && at.Ifindex <= 0 {
		return s.cause("the interface is gone", s.watch)
	}
	_, err = unix.GetsockoptInt(s.watch, unix.SOL_SOCKET, unix.SO_ERROR) // reading clears it
	return err
}

// cause is an error with that of a socket.
func (s *Shaper) cause(what string, fd int) error {
	number, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && number != 0 {
		err = unix.Errno(number)
	}
	return errors.Join(errors.New(what), err)
}

// lookAgain is how often a shaper looks whether its interface, that was down, is
// there.
const lookAgain = 100 * time.Millisecond

// missed counts the packets that the kernel had no room for until the shaper came.
func (s *Shaper) missed() {
	var stats unix.TpacketStats
	size := uint32(unsafe.Sizeof(stats))
	// Reading the figures sets them to zero.
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(s.in), unix.SOL_PACKET, unix.PACKET_STATISTICS, uintptr(unsafe.Pointer(&stats)), uintptr(unsafe.Pointer(&size)), 0)
	if errno == 0 && stats.Drops > 0 {
		atomic.AddUint64(&s.stats.Missed, uint64(stats.Drops))
	}
}
