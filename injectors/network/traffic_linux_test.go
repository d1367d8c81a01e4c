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

// start is what sending and receiving times count from.
var start = time.Now()

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
}

// traffic is how a measurement sends.
type traffic struct {
	packets int
	every   time.Duration
	size    int           // of the UDP payload
	quiet   time.Duration // the receiver gives up after this long without a packet
}

// measure sends UDP packets from one host to another and records what arrives.
func measure(t *testing.T, from, to *testbed.Host, tr traffic) flow {
	t.Helper()
	receiver, sender := listen(t, to), listen(t, from)
	defer func() { _ = errors.Join(receiver.Close(), sender.Close()) }()
	f := flow{sent: tr.packets}
	done := make(chan struct{})
	if tr.quiet == 0 {
		tr.quiet = 500 * time.Millisecond
	}
	sending := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			_ = receiver.SetReadDeadline(time.Now().Add(tr.quiet))
			n, _, err := receiver.ReadFromUDPAddrPort(buf)
			now := time.Since(start)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				select {
				case <-sending:
					return
				default:
					continue
				}
			}
			if err != nil {
				return
			}
			if n < packetHeader || crc(buf[:n]) != binary.BigEndian.Uint32(buf[12:]) {
				f.corrupt++
				continue
			}
			sent := time.Duration(binary.BigEndian.Uint64(buf[4:]))
			f.arrivals = append(f.arrivals, arrival{seq: binary.BigEndian.Uint32(buf), delay: now - sent, at: now})
		}
	}()
	address := netip.AddrPortFrom(to.Addr, uint16(receiver.LocalAddr().(*net.UDPAddr).Port))
	packet := make([]byte, max(tr.size, packetHeader))
	next := time.Now()
	for seq := range tr.packets {
		binary.BigEndian.PutUint32(packet, uint32(seq))
		binary.BigEndian.PutUint64(packet[4:], uint64(time.Since(start)))
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
	return f
}

func crc(packet []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(packet[:12]), crc32.IEEETable, packet[packetHeader:])
}

// listen opens a UDP socket inside a host, with room for bursts and no checksums
// of its own: corrupted packets shall arrive.
func listen(t *testing.T, host *testbed.Host) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := host.Do(func() error {
		var err error
		if conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: host.Addr.AsSlice()}); err != nil {
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
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1))
		})
		return errors.Join(err, options)
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (f flow) delays() []float64 {
	var list []float64
	for _, a := range f.arrivals {
		list = append(list, a.delay.Seconds()*1000)
	}
	return list
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

// statistically runs a measurement that is right 999 times in 1000, once more where
// it was wrong: twice in a row is no accident.
func statistically(t *testing.T, attempt func() (ok bool, what string)) {
	t.Helper()
	for try := range 2 {
		ok, what := attempt()
		t.Log(what)
		if ok {
			return
		}
		if try == 1 {
			t.Errorf("twice outside of what chance allows: %s", what)
		}
	}
}
