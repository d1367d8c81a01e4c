package network

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/testbed"
	"golang.org/x/sys/unix"
)

// A packet of the tests: a sequence number, the time it was sent, a checksum over
// the rest, and filling.
const packetHeader = 16

// start is what sending and receiving times count from. They are the wall clock's,
// because the kernel stamps arriving packets with that.
var start = time.Now().UnixNano()

func clock() time.Duration { return time.Duration(time.Now().UnixNano() - start) }

// arrival is one packet at the receiver.
type arrival struct {
	seq   uint32
	delay time.Duration
	at    time.Duration
}

// flow is what became of the packets of one measurement.
type flow struct {
	sent     int
	arrivals []arrival
	corrupt  int // arrived with a wrong checksum
	refused  int // that the sender was told of
	stalls   []stall
}

// stall is a time in which this machine ran nobody who could see it pass.
type stall struct{ from, to time.Duration }

// watchStalls looks at the clock every millisecond, until stop is closed, and
// reports when it did not get to. What a machine that others keep busy does to a
// packet on such an occasion is not netem's doing.
func watchStalls(stop <-chan struct{}) []stall {
	var stalls []stall
	for last := clock(); ; {
		select {
		case <-stop:
			return stalls
		case <-time.After(time.Millisecond):
		}
		now := clock()
		if now-last > 3*time.Millisecond {
			stalls = append(stalls, stall{last, now})
		}
		last = now
	}
}

// traffic is how a measurement sends.
type traffic struct {
	packets int
	every   time.Duration
	size    int           // of the UDP payload
	quiet   time.Duration // the receiver gives up after this long without a packet
	v6      bool          // IPv6
}

// measure sends UDP packets from one host to another and records what arrives.
func measure(t testing.TB, from, to *testbed.Host, tr traffic) flow {
	t.Helper()
	receiver, sender := listen(t, to, tr.v6), listen(t, from, tr.v6)
	defer func() { _ = errors.Join(receiver.Close(), sender.Close()) }()
	f := flow{sent: tr.packets}
	done := make(chan struct{})
	if tr.quiet == 0 {
		tr.quiet = 500 * time.Millisecond
	}
	sending, watched := make(chan struct{}), make(chan []stall)
	go func() { watched <- watchStalls(done) }()
	go func() {
		defer close(done)
		buf, control := make([]byte, 65536), make([]byte, 256)
		for empty := 0; ; {
			_ = receiver.SetReadDeadline(time.Now().Add(tr.quiet))
			n, stamps, _, _, err := receiver.ReadMsgUDPAddrPort(buf, control)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				select {
				case <-sending:
					// A deadline can pass while packets wait and nobody runs; the next read
					// begins with a look at what is there.
					if empty++; empty == 2 {
						return
					}
				default:
				}
				continue
			}
			empty = 0
			if err != nil {
				return
			}
			if n < packetHeader || crc(buf[:n]) != binary.BigEndian.Uint32(buf[12:]) {
				f.corrupt++
				continue
			}
			now := stamp(t, control[:stamps])
			sent := time.Duration(binary.BigEndian.Uint64(buf[4:]))
			f.arrivals = append(f.arrivals, arrival{seq: binary.BigEndian.Uint32(buf), delay: now - sent, at: now})
		}
	}()
	peer := to.Addr
	if tr.v6 {
		peer = to.Addr6
	}
	address := netip.AddrPortFrom(peer, uint16(receiver.LocalAddr().(*net.UDPAddr).Port))
	packet := make([]byte, max(tr.size, packetHeader))
	next := time.Now()
	for seq := range tr.packets {
		binary.BigEndian.PutUint32(packet, uint32(seq))
		binary.BigEndian.PutUint64(packet[4:], uint64(clock()))
		binary.BigEndian.PutUint32(packet[12:], crc(packet))
		if _, err := sender.WriteToUDPAddrPort(packet, address); err != nil {
			f.refused++
		}
		if tr.every > 0 {
			next = next.Add(tr.every)
			time.Sleep(time.Until(next))
		}
	}
	close(sending)
	<-done
	f.stalls = <-watched
	return f
}

// stamp reads the time at which the kernel took a packet in.
func stamp(t testing.TB, control []byte) time.Duration {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 || messages[0].Header.Type != unix.SO_TIMESTAMPNS {
		t.Errorf("a packet without a time stamp: %v, %v", messages, err)
		return clock()
	}
	seconds := binary.NativeEndian.Uint64(messages[0].Data)
	return time.Duration(int64(seconds)*1e9 + int64(binary.NativeEndian.Uint64(messages[0].Data[8:])) - start)
}

func crc(packet []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(packet[:12]), crc32.IEEETable, packet[packetHeader:])
}

// listen opens a UDP socket inside a host, with room for bursts and no checksums
// of its own: corrupted packets shall arrive.
func listen(t testing.TB, host *testbed.Host, v6 bool) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := host.Do(func() error {
		var err error
		network, address := "udp4", host.Addr
		if v6 {
			network, address = "udp6", host.Addr6
		}
		if conn, err = net.ListenUDP(network, &net.UDPAddr{IP: address.AsSlice()}); err != nil {
			return err
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			return err
		}
		var options error
		err = raw.Control(func(fd uintptr) {
			options = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1))
		})
		return errors.Join(err, options)
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// delays returns the delays in milliseconds, without the packets that were sent or
// arrived while the machine stalled.
func (f flow) delays() []float64 {
	return f.delaysOf(func(a arrival) bool { return !f.stalledAt(a.at-a.delay) && !f.stalledAt(a.at) })
}

func (f flow) delaysOf(which func(arrival) bool) []float64 {
	var list []float64
	for _, a := range f.arrivals {
		if which(a) {
			list = append(list, a.delay.Seconds()*1000)
		}
	}
	return list
}

func (f flow) stalledAt(at time.Duration) bool {
	return slices.ContainsFunc(f.stalls, func(s stall) bool { return at >= s.from && at <= s.to+time.Millisecond })
}

// lost returns which packets never arrived, in the order they were sent.
func (f flow) lost() []bool {
	lost := slices.Repeat([]bool{true}, f.sent)
	for _, a := range f.arrivals {
		lost[a.seq] = false
	}
	return lost
}

func (f flow) losses() int { return count(f.lost()) }

func count(list []bool) (n int) {
	for _, is := range list {
		if is {
			n++
		}
	}
	return n
}

// bursts returns the lengths of the runs of lost packets.
func bursts(lost []bool) []float64 {
	var lengths []float64
	run := 0
	for _, is := range append(slices.Clone(lost), false) {
		switch {
		case is:
			run++
		case run > 0:
			lengths = append(lengths, float64(run))
			run = 0
		}
	}
	return lengths
}

// duplicates returns how many arrivals came for a packet that had arrived.
func (f flow) duplicates() int { return len(f.arrivals) - (f.sent - f.losses()) }

// overtaken returns how many packets arrived after one that was sent later.
func (f flow) overtaken() (n int) {
	latest := -1
	for _, a := range f.arrivals {
		if int(a.seq) < latest {
			n++
		}
		latest = max(latest, int(a.seq))
	}
	return n
}

func meanOf(list []float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}

func deviationOf(list []float64) float64 {
	mean, sum := meanOf(list), 0.0
	for _, v := range list {
		sum += (v - mean) * (v - mean)
	}
	return math.Sqrt(sum / float64(len(list)))
}

func quantileOf(list []float64, q float64) float64 {
	if len(list) == 0 {
		return math.NaN() // which is near nothing
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(q*float64(len(sorted)-1))]
}

// z999 holds 99.9 % of a normal distribution on both sides of its mean.
const z999 = 3.2905

// binomial says whether k hits of n are inside the 99.9 % interval of a chance p,
// by the normal approximation with its correction of a half.
func binomial(k, n int, p float64) (low, high float64, inside bool) {
	mean, half := float64(n)*p, z999*math.Sqrt(float64(n)*p*(1-p))+0.5
	return mean - half, mean + half, math.Abs(float64(k)-mean) <= half
}

// statistically runs a measurement that is right 999 times in 1000, on a machine
// that has time for it, up to five times: wrong each time is no accident.
func statistically(t *testing.T, attempt func() (ok bool, what string)) {
	t.Helper()
	for try := range 5 {
		ok, what := attempt()
		t.Log(what)
		if ok {
			return
		}
		if try == 4 {
			t.Errorf("always outside of what chance allows: %s", what)
		}
	}
}
