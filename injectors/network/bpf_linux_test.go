package network

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/testbed"
	"golang.org/x/sys/unix"
)

// requireTCX fails on a kernel that is new enough for TCX and doesn't have it, so
// that a skip can't hide a fault of ours.
func requireTCX(t *testing.T) {
	t.Helper()
	err := (bpf{}).probe()
	if err == nil {
		return
	}
	var major, minor int
	var name unix.Utsname
	_ = unix.Uname(&name)
	_, _ = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	if os.Geteuid() == 0 && (major > 6 || major == 6 && minor >= 6) {
		t.Fatal(err)
	}
	t.Skip(err)
}

var fast = traffic{packets: 10000, size: 64}

func TestBPFLosesItsShareSilently(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	for _, direction := range []string{egress, ingress} {
		t.Run(direction, func(t *testing.T) {
			f := inject(t, Spec{Loss: 10, Direction: direction, Backend: bpfName}, n.target)
			from, to := n.target, n.peer
			if direction == ingress {
				from, to = to, from
			}
			statistically(t, func() (bool, string) {
				got := measure(t, from, to, fast)
				if got.refused != 0 {
					t.Errorf("the sender was told of %d losses", got.refused)
				}
				low, high, ok := binomial(got.losses(), got.sent, 0.1)
				return ok, fmt.Sprintf("lost %d of %d, interval %.0f to %.0f", got.losses(), got.sent, low, high)
			})
			other := measure(t, to, from, traffic{packets: 1000})
			if other.losses() != 0 {
				t.Errorf("%d of %d were lost in the other direction", other.losses(), other.sent)
			}
			status := f.expect(f.registry, injectors.Present)
			t.Logf("%+v", status)
			if status.Touched < uint64(fast.packets) {
				t.Errorf("%d touched", status.Touched)
			}
			f.revert(f.registry)
			if after := measure(t, from, to, traffic{packets: 1000}); after.losses() != 0 {
				t.Errorf("%d lost after the revert", after.losses())
			}
		})
	}
}

func TestBPFGilbertElliottHasItsBursts(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	inject(t, Spec{GilbertElliott: &GilbertElliott{ToBad: 2, ToGood: 20, BadLoss: 100}, Backend: bpfName}, n.target)
	checkBursts(t, n, traffic{packets: 25000, size: 32}, 0.02, 0.2)
}

// checkBursts measures a Gilbert-Elliott model that loses all in the bad state: the
// share of losses is p/(p+r), the lengths of bursts are geometric with mean 1/r.
func checkBursts(t *testing.T, n net2, tr traffic, p, r float64) {
	t.Helper()
	statistically(t, func() (bool, string) {
		got := measure(t, n.target, n.peer, tr)
		lengths := bursts(got.lost())
		share, length := float64(got.losses())/float64(got.sent), meanOf(lengths)
		// Bursts are independent: a mean of k geometric lengths deviates by
		// √(1-r)/r/√k. The share is their number times their length.
		k := float64(len(lengths))
		lengthError := z999 * math.Sqrt(1-r) / r / math.Sqrt(k)
		shareError := share * (lengthError*r + z999/math.Sqrt(k))
		ok := math.Abs(length-1/r) < lengthError && math.Abs(share-p/(p+r)) < shareError
		return ok, fmt.Sprintf("loss %.4f (want %.4f ± %.4f), mean burst %.2f of %d (want %.2f ± %.2f)",
			share, p/(p+r), shareError, length, len(lengths), 1/r, lengthError)
	})
}

func TestBPFPartitionCutsBothWays(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Partition: partitionDrop}, n.target)
	if f.step.Backend != bpfName || f.step.Tier != injectors.TierKernel {
		t.Errorf("planned as %s, %s", f.step.Backend, f.step.Tier)
	}
	for _, pair := range [][2]int{{0, 1}, {1, 0}} {
		hosts := []*testbed.Host{n.target, n.peer}
		got := measure(t, hosts[pair[0]], hosts[pair[1]], traffic{packets: 200})
		if got.losses() != got.sent || got.refused != 0 {
			t.Errorf("%v: %d of %d lost, %d told", pair, got.losses(), got.sent, got.refused)
		}
	}
	if status := f.expect(registry(), injectors.Present); status.Touched < 200 {
		t.Errorf("touched %+v", status)
	}
	f.revert(f.registry)
	if after := measure(t, n.target, n.peer, traffic{packets: 200}); after.losses() != 0 {
		t.Errorf("%d lost after the revert", after.losses())
	}
}

func TestBPFLossOfEverythingSparesNeighbours(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	inject(t, Spec{Loss: 100, Direction: both, Backend: bpfName}, n.target)
	if got := measure(t, n.target, n.peer, traffic{packets: 50}); got.losses() != got.sent {
		t.Errorf("%d of %d lost", got.losses(), got.sent)
	}
	for _, address := range []string{n.peer.Addr.String(), n.peer.Addr6.String()} {
		if address == "invalid IP" {
			continue
		}
		// A first packet asks who has the address; the answer shows in the table.
		_ = n.target.Start(exec.Command("ping", "-c", "1", "-W", "1", address))
		eventually(t, "a neighbour entry for "+address, func() bool {
			var out []byte
			_ = n.target.Do(func() error {
				out, _ = exec.Command("ip", "neigh", "show", "to", address).CombinedOutput()
				return nil
			})
			return strings.Contains(string(out), "lladdr")
		})
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Errorf("%s: not within 20 s", what)
}

// holdElsewhere starts a process that applies a planned fault and keeps it in.
func holdElsewhere(t *testing.T, step injectors.Step) *exec.Cmd {
	t.Helper()
	record, err := json.Marshal(step.Record)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdVariable+"="+string(record))
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	return cmd
}

func TestBPFIsRevertedByAnotherProcessWhileItsHolderHangs(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	step, err := plan(t, Spec{Partition: partitionDrop}, targetOf(t, n.target))
	if err != nil {
		t.Fatal(err)
	}
	process := holdElsewhere(t, step)
	if err := process.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f := &fault{t: t, registry: registry(), step: step}
	f.expect(f.registry, injectors.Present)
	if got := measure(t, n.target, n.peer, traffic{packets: 50}); got.losses() != 50 {
		t.Errorf("%d of 50 lost while it is held", got.losses())
	}
	f.revert(f.registry)
	f.revert(f.registry)
	if got := measure(t, n.target, n.peer, traffic{packets: 50}); got.losses() != 0 {
		t.Errorf("%d of 50 lost after the revert", got.losses())
	}
}

func TestBPFEndsWithTheKillOfItsHolder(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	step, err := plan(t, Spec{Loss: 100, Direction: both, Backend: bpfName}, targetOf(t, n.target))
	if err != nil {
		t.Fatal(err)
	}
	process := holdElsewhere(t, step)
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	f := &fault{t: t, registry: registry(), step: step}
	f.expect(f.registry, injectors.Absent)
	if got := measure(t, n.target, n.peer, traffic{packets: 50}); got.losses() != 0 {
		t.Errorf("%d of 50 lost after the kill", got.losses())
	}
	f.revert(f.registry)
}

func TestBPFApplyIsExclusive(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	f := inject(t, Spec{Loss: 1, Backend: bpfName}, n.target)
	if err := registry().Apply(t.Context(), f.step.Record); err == nil {
		t.Error("a second Apply succeeded")
	}
	f.expect(f.registry, injectors.Present)
}

func TestAutoChoosesWhatThisKernelHas(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	target := targetOf(t, n.target)
	noNetem := (netem{}).probe() != nil
	step, err := plan(t, Spec{Loss: 5}, target)
	if err != nil || (step.Backend == bpfName) != noNetem || step.Reason == "" || len(step.Actions) != 1 {
		t.Errorf("loss: %+v, %v", step.Planned, err)
	}
	step, err = plan(t, Spec{Loss: 5, Direction: both}, target)
	if err != nil || step.Backend != bpfName || len(step.Actions) != 2 {
		t.Errorf("loss of both directions: %+v, %v", step.Planned, err)
	}
	_, err = plan(t, Spec{Delay: quantity.Duration(time.Second), Direction: ingress}, target)
	if reason := wantRefusal(t, err); !strings.Contains(reason, "egress only") || !strings.Contains(reason, "direction: egress it would work") {
		t.Errorf("delay of ingress: %s", reason)
	}
	step, err = plan(t, Spec{Delay: quantity.Duration(time.Second)}, target)
	if err != nil || (step.Backend == shaperName) != noNetem || noNetem && !strings.Contains(step.Reason, "no sch_netem") {
		t.Errorf("delay: %+v, %v", step.Planned, err)
	}
	if noNetem {
		_, err = Injector().Plan(t.Context(), &Spec{Delay: quantity.Duration(time.Second)}, target)
		if reason := wantRefusal(t, err); !strings.Contains(reason, "no sch_netem") || !strings.Contains(reason, "partition would work") {
			t.Errorf("delay without netem and without a shaper: %s", reason)
		}
	}
	if before, after := dump(t, n.target), dump(t, n.target); !slices.Equal(before, after) {
		t.Error("planning changed the qdiscs")
	}
}
