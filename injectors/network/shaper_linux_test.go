package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/netns"
	"github.com/squallhq/squall/internal/testbed"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The shaper has to pass what netem has to, with the same expected values.
func TestShaperEffects(t *testing.T) {
	requireTCX(t)
	for name := range shapes() {
		t.Run(name, func(t *testing.T) { shaped(t, shaperName, name) })
	}
}

func TestShaperGilbertElliott(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	inject(t, Spec{GilbertElliott: &GilbertElliott{ToBad: 2, ToGood: 20, BadLoss: 100}, Backend: shaperName}, n.target)
	checkBursts(t, n, traffic{packets: 25000, size: 32}, 0.02, 0.2)
}

func TestShaperDelayOfHalfAMillisecond(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	tr := traffic{packets: 500, every: 2 * time.Millisecond}
	plain := quantileOf(measure(t, n.target, n.peer, tr).delays(), 0.5)
	inject(t, Spec{Delay: ms / 2, Backend: shaperName}, n.target)
	statistically(t, func() (bool, string) {
		return near("median of the added delay in ms", quantileOf(measure(t, n.target, n.peer, tr).delays(), 0.5)-plain, 0.5, 0.25)
	})
}

// fact returns one figure of a fault's evidence.
func fact(t *testing.T, status injectors.Status, name string) float64 {
	t.Helper()
	for _, f := range status.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	t.Fatalf("no %q in %+v", name, status.Facts)
	return math.NaN()
}

func TestShaperEvidence(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 20 * ms, Loss: 20, Duplicate: 10, Corrupt: 5, Backend: shaperName}, n.target)
	got := measure(t, n.target, n.peer, traffic{packets: 2000, every: 200 * time.Microsecond, size: 500})
	status := f.expect(registry(), injectors.Present) // any process can read it
	of := func(name string) float64 { return fact(t, status, name) }
	// The target's own IPv6 adds a packet now and then.
	if m := of("matched"); m < 2000 || m > 2050 || status.Touched != uint64(m) {
		t.Errorf("%g packets matched", m)
	}
	if b := of("matched bytes"); b < 2000*542 {
		t.Errorf("%g bytes matched", b)
	}
	if of("sent") != of("matched")-of("dropped")+of("duplicated") || of("held back") != 0 || of("unintended drops") != 0 || of("over limit") != 0 {
		t.Errorf("the books don't balance: %+v", status.Facts)
	}
	if arrived := float64(len(got.arrivals) + got.corrupt); arrived > of("sent") || arrived < of("sent")*0.98 {
		t.Errorf("%g arrived of %g sent", arrived, of("sent"))
	}
	for name, want := range map[string]float64{"duplicated": 0.1 * 0.8 * 2000, "corrupted": 0.05 * 0.88 * 2000} {
		if v := of(name); math.Abs(v-want) > 6*math.Sqrt(want) {
			t.Errorf("%s %g, want about %g", name, v, want)
		}
	}
	if p50, late := of("delay p50"), of("late p50"); p50 < 20 || late <= 0 || math.Abs(p50-20-late) > 0.5 {
		t.Errorf("delay p50 %g ms, late p50 %g ms", p50, late)
	}
	if of("delay p99") < of("delay p50") || of("late max") < of("late p50") {
		t.Errorf("%+v", status.Facts)
	}
}

// tcp sends bytes through a TCP connection and returns how long it took until the
// last of them had arrived, and what arrived.
func tcp(t *testing.T, from, to *testbed.Host, v6 bool, bytes int) (took time.Duration, same bool) {
	t.Helper()
	network, address := "tcp4", to.Addr.String()
	if v6 {
		network, address = "tcp6", to.Addr6.String()
	}
	var listener net.Listener
	if err := to.Do(func() (err error) {
		listener, err = net.Listen(network, net.JoinHostPort(address, "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	pattern := func(i int) byte { return byte(i*7 + i>>8) }
	type result struct {
		n    int
		same bool
	}
	received := make(chan result, 1)
	go func() {
		r := result{same: true}
		conn, err := listener.Accept()
		if err != nil {
			received <- r
			return
		}
		defer conn.Close() //nolint:errcheck // of a test
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			for i, b := range buf[:n] {
				r.same = r.same && b == pattern(r.n+i)
			}
			r.n += n
			if err != nil {
				received <- r
				return
			}
		}
	}()
	var conn net.Conn
	began := time.Now()
	if err := from.Do(func() (err error) {
		conn, err = net.DialTimeout(network, listener.Addr().String(), 20*time.Second)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, bytes)
	for i := range data {
		data[i] = pattern(i)
	}
	_, err := conn.Write(data)
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-received:
		return time.Since(began), r.same && r.n == bytes
	case <-time.After(time.Minute):
		t.Fatal("TCP hangs")
		return 0, false
	}
}

// A packet that waits on egress is charged to its socket, and TCP small queues then
// stop it at 1 Mbit/s; the shaper's wait must not be. 16 MB at 50 ms take half a
// second, and would take two minutes.
func TestShaperDoesNotStarveTCP(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 50 * ms, Backend: shaperName}, n.target)
	families := map[string]bool{"IPv4": false}
	if n.peer.Addr6.IsValid() {
		families["IPv6"] = true
	}
	for name, v6 := range families {
		t.Run(name, func(t *testing.T) {
			took, same := tcp(t, n.target, n.peer, v6, 16<<20)
			t.Logf("%s, %.0f Mbit/s", took, 16*8*1.048576/took.Seconds())
			if !same {
				t.Error("what arrived is not what was sent")
			}
			if took < 100*time.Millisecond || took > 20*time.Second {
				t.Errorf("16 MB took %s", took)
			}
		})
	}
	t.Logf("%+v", f.expect(f.registry, injectors.Present).Facts)
}

// Corrupted TCP packets are found by their checksum, and sent again: had the kernel
// been left to make the checksum after the bit was turned over, they would arrive.
func TestShaperCorruptsUnderTheChecksum(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Corrupt: 2, Backend: shaperName}, n.target)
	if _, same := tcp(t, n.target, n.peer, false, 2<<20); !same {
		t.Error("a corrupted packet was taken for a good one")
	}
	if c := fact(t, f.expect(f.registry, injectors.Present), "corrupted"); c < 5 {
		t.Errorf("%g packets corrupted", c)
	}
}

func TestShaperLimitsTCP(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	inject(t, Spec{Rate: 10_000_000, Backend: shaperName}, n.target)
	took, same := tcp(t, n.target, n.peer, false, 2<<20)
	rate := 2 * 8 * 1.048576 / took.Seconds()
	t.Logf("%.2f Mbit/s", rate)
	// Headers take 5 %, and the start of a connection some more.
	if !same || rate > 10 || rate < 5 {
		t.Errorf("%.2f Mbit/s through 10, whole: %t", rate, same)
	}
}

func TestShaperTouchesIPv6(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	if !n.peer.Addr6.IsValid() {
		t.Skip("this machine has no IPv6")
	}
	inject(t, Spec{Delay: 50 * ms, Backend: shaperName}, n.target)
	statistically(t, func() (bool, string) {
		got := measure(t, n.target, n.peer, traffic{packets: 200, every: 5 * time.Millisecond, v6: true})
		return near("median delay in ms", quantileOf(got.delays(), 0.5), 50, 1)
	})
}

// holderOf returns the process that holds a fault, as its evidence names it.
func holderOf(t testing.TB, f *fault) int {
	t.Helper()
	links, err := linksOf(shaperOf(t, f).Program)
	if err != nil || len(links) == 0 {
		t.Fatalf("%d links, %v", len(links), err)
	}
	defer closeAll(links) //nolint:errcheck // of a test
	stats, err := statsOf(links[0])
	if err != nil {
		t.Fatal(err)
	}
	return int(stats.PID)
}

func shaperOf(t testing.TB, f *fault) *Shaper {
	t.Helper()
	return recordOf(t, f.step.Record).Shaper
}

// healed checks that nothing of a fault is left, and that traffic is what it was.
func healed(t *testing.T, n net2, f *fault) {
	t.Helper()
	// A process is a zombie as soon as its first thread has ended, and lets go with
	// its last.
	eventually(t, "the end of the fault", func() bool {
		status, err := registry().Verify(t.Context(), f.step.Record)
		return err == nil && status.Presence == injectors.Absent
	})
	err := netns.Do(n.target.NetNS, func() error {
		links, err := netns.Dump(netlink.LinkList)
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Name, "sq_") {
				t.Errorf("%s is left", l.Attrs().Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := measure(t, n.target, n.peer, traffic{packets: 100, every: time.Millisecond})
	if d := quantileOf(got.delays(), 0.5); got.losses() != 0 || d > 5 {
		t.Errorf("%d lost and a delay of %g ms after the end", got.losses(), d)
	}
}

// gone waits for the end of a process.
func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the end of process %d", pid), func() bool {
		state, _, err := processStart(pid)
		return err != nil || state == "Z" // whose child it was
	})
}

func TestShaperEndsWithItsProcess(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 200 * ms, Backend: shaperName}, n.target)
	pid := holderOf(t, f)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	healed(t, n, f)
	f.revert(f.registry)
}

// The process that applied the fault is killed; the one that holds it ends with it.
func TestShaperEndsWithSquall(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	step, err := plan(t, Spec{Delay: 200 * ms, Backend: shaperName}, targetOf(t, n.target))
	if err != nil {
		t.Fatal(err)
	}
	process := holdElsewhere(t, step)
	f := &fault{t: t, registry: registry(), step: step}
	f.expect(f.registry, injectors.Present)
	pid := holderOf(t, f)
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	gone(t, pid)
	healed(t, n, f)
}

func TestShaperIsRevertedByAnotherProcess(t *testing.T) {
	requireTCX(t)
	for _, name := range []string{"which holds on", "which hangs"} {
		t.Run(name, func(t *testing.T) {
			n := newNet(t)
			step, err := plan(t, Spec{Delay: 200 * ms, Backend: shaperName}, targetOf(t, n.target))
			if err != nil {
				t.Fatal(err)
			}
			holdElsewhere(t, step)
			f := &fault{t: t, registry: registry(), step: step}
			f.expect(f.registry, injectors.Present)
			pid := holderOf(t, f)
			if name == "which hangs" {
				if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			f.revert(f.registry)
			gone(t, pid)
			healed(t, n, f)
		})
	}
}

// What the shaper holds when its time is up is not lost.
func TestShaperLeavesNoPacketBehind(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 500 * ms, Backend: shaperName}, n.target)
	reverted := make(chan error, 1)
	go func() {
		time.Sleep(700 * time.Millisecond)
		reverted <- f.registry.Revert(context.WithoutCancel(t.Context()), f.step.Record)
	}()
	got := measure(t, n.target, n.peer, traffic{packets: 1500, every: time.Millisecond, quiet: time.Second})
	if err := <-reverted; err != nil {
		t.Fatal(err)
	}
	if got.losses() != 0 {
		t.Errorf("%d of %d were lost by leaving", got.losses(), got.sent)
	}
	d := got.delays()
	if slices.Max(d) < 490 || slices.Min(d) > 20 {
		t.Errorf("the delays are between %g and %g ms: was the fault in, and did it end?", slices.Min(d), slices.Max(d))
	}
	f.expect(f.registry, injectors.Absent)
}

// The interface is pulled away under it, and the process must not stay.
func TestShaperEndsWithItsInterface(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 20 * ms, Backend: shaperName}, n.target)
	pid := holderOf(t, f)
	if err := netns.Do(n.target.NetNS, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(eth0)
	}); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	f.revert(f.registry)
}

// Memory is bounded, and what does not fit is counted.
func TestShaperCountsWhatItCannotHold(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 500 * ms, Limit: 100, Backend: shaperName}, n.target)
	got := measure(t, n.target, n.peer, traffic{packets: 1000, quiet: time.Second})
	over := fact(t, f.expect(f.registry, injectors.Present), "over limit")
	if got.losses() == 0 || math.Abs(over-float64(got.losses())) > 20 {
		t.Errorf("%d lost, %g counted", got.losses(), over)
	}
}

// Many packets, and the process's memory stays what it was.
func TestShaperAllocatesNothingPerPacket(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Delay: 2 * ms, Jitter: ms, Backend: shaperName}, n.target)
	pid := holderOf(t, f)
	measure(t, n.target, n.peer, traffic{packets: 20000, size: 64})
	before := anonymous(t, pid)
	for range 5 {
		measure(t, n.target, n.peer, traffic{packets: 20000, size: 64})
	}
	// 100 000 packets of any kept byte each would be seen: the collector is off.
	if after := anonymous(t, pid); after > before+(8<<10) {
		t.Errorf("its memory grew from %d to %d KB", before, after)
	}
}

// anonymous is the anonymous memory of a process in KB.
func anonymous(t *testing.T, pid int) int {
	t.Helper()
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	kb := 0
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}
