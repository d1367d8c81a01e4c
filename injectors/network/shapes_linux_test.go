package network

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/network/model"
)

// shape is a fault, traffic to measure it by, and what the other end must see.
type shape struct {
	spec  Spec
	tr    traffic
	check func(t *testing.T, got flow) (bool, string)
}

// shapes are the same for every backend that can do them.
func shapes() map[string]shape {
	// Four states. Bursts begin with 2 % and end with 25 %; in between nothing gets through, and
	// 3 % are lost on their own. State 4 always goes back to 1, so with π₁ the share
	// of state 1: π₃ = π₁ p13/p31, π₄ = π₁ p14, and the loss is π₃ + π₄.
	const p13, p31, p14 = 0.02, 0.25, 0.03
	p1 := 1 / (1 + p13/p31 + p14)
	want := p1 * (p13/p31 + p14)
	return map[string]shape{
		"delay": {Spec{Delay: 50 * ms}, traffic{packets: 200, every: 5 * time.Millisecond}, func(_ *testing.T, got flow) (bool, string) {
			if got.losses() != 0 {
				return false, fmt.Sprintf("%d lost", got.losses())
			}
			return near("median delay in ms", quantileOf(got.delays(), 0.5), 50, 1)
		}},
		"uniform jitter": {Spec{Delay: 50 * ms, Jitter: 20 * ms}, timed, func(t *testing.T, got flow) (bool, string) {
			d := got.delays()
			// A uniform distribution of ±20 has a deviation of 20/√3.
			return all(
				func() (bool, string) { return near("mean", meanOf(d), 50, 1.5) },
				func() (bool, string) { return near("deviation", deviationOf(d), 20/math.Sqrt(3), 1) },
				func() (bool, string) { return near("least", quantileOf(d, 0), 30, 1) },
				func() (bool, string) { return near("99 % point", quantileOf(d, 0.99), 69.6, 2) },
			)
		}},
		"normal distribution": {Spec{Delay: 50 * ms, Jitter: 10 * ms, Distribution: model.Normal}, timed, func(t *testing.T, got flow) (bool, string) {
			d := got.delays()
			inside := 0
			for _, v := range d {
				if math.Abs(v-50) < 10 {
					inside++
				}
			}
			return all(
				func() (bool, string) { return near("mean", meanOf(d), 50, 1.2) },
				func() (bool, string) { return near("deviation", deviationOf(d), 10, 0.7) },
				func() (bool, string) {
					return near("share within a deviation", float64(inside)/float64(len(d)), 0.6827, 0.045)
				},
			)
		}},
		"pareto":       {Spec{Delay: 50 * ms, Jitter: 10 * ms, Distribution: model.Pareto}, timed, skewed},
		"paretonormal": {Spec{Delay: 50 * ms, Jitter: 10 * ms, Distribution: model.ParetoNormal}, timed, skewed},
		"loss": {Spec{Loss: 10}, traffic{packets: 10000}, func(t *testing.T, got flow) (bool, string) {
			if got.refused != 0 {
				t.Errorf("the sender was told of %d losses", got.refused)
			}
			low, high, ok := binomial(got.losses(), got.sent, 0.1)
			return ok, fmt.Sprintf("lost %d of %d, interval %.0f to %.0f", got.losses(), got.sent, low, high)
		}},
		"four states": {Spec{FourState: &FourState{P13: 100 * p13, P31: 100 * p31, P23: 100, P14: 100 * p14}}, traffic{packets: 25000, size: 32}, func(_ *testing.T, got flow) (bool, string) {
			lengths := bursts(got.lost())
			// Runs of losses are bursts, or a single packet.
			length := (p13/p31 + p14) / (p13 + p14)
			return all(
				func() (bool, string) { return near("loss", float64(got.losses())/float64(got.sent), want, 0.012) },
				func() (bool, string) { return near("mean run of losses", meanOf(lengths), length, 0.25) },
			)
		}},
		"duplicate": {Spec{Duplicate: 5}, traffic{packets: 10000}, func(_ *testing.T, got flow) (bool, string) {
			if got.losses() != 0 {
				return false, fmt.Sprintf("%d lost", got.losses())
			}
			low, high, ok := binomial(got.duplicates(), got.sent, 0.05)
			return ok, fmt.Sprintf("%d of %d came twice, interval %.0f to %.0f", got.duplicates(), got.sent, low, high)
		}},
		// The bit is anywhere in the frame: where it is in a header, the packet gets lost.
		"corrupt": {Spec{Corrupt: 10}, traffic{packets: 10000, size: 1000}, func(_ *testing.T, got flow) (bool, string) {
			hit := got.losses()
			low, high, ok := binomial(hit, got.sent, 0.1)
			return ok && got.corrupt > hit*8/10, fmt.Sprintf("%d of %d damaged, interval %.0f to %.0f; %d arrived so", hit, got.sent, low, high, got.corrupt)
		}},
		// A quarter leaves at once, and overtakes the packets of the last 20 ms.
		"reorder": {Spec{Delay: 20 * ms, Reorder: &Reorder{Percent: 25, Gap: 1}}, traffic{packets: 2000, every: 2 * time.Millisecond}, func(_ *testing.T, got flow) (bool, string) {
			// An early packet arrives when it is sent: only that moment must be a good one,
			// for the others too, or they would be left out more often.
			early, delays := 0, got.delaysOf(func(a arrival) bool { return !got.stalledAt(a.at - a.delay) })
			for _, d := range delays {
				if d < 10 {
					early++
				}
			}
			low, high, ok := binomial(early, len(delays), 0.25)
			return ok && got.overtaken() > got.sent/2, fmt.Sprintf("%d of %d came early, interval %.0f to %.0f; %d were overtaken", early, len(delays), low, high, got.overtaken())
		}},
		// 400 packets of 1042 bytes on the wire at 4 Mbit/s take 0.83 s.
		"rate": {Spec{Rate: 4_000_000}, traffic{packets: 400, size: 1000}, func(_ *testing.T, got flow) (bool, string) {
			if got.losses() != 0 {
				return false, fmt.Sprintf("%d lost", got.losses())
			}
			first, last := got.arrivals[0], got.arrivals[len(got.arrivals)-1]
			bits := float64(len(got.arrivals)-1) * 1042 * 8
			return near("Mbit/s", bits/(last.at-first.at).Seconds()/1e6, 4, 0.15)
		}},
		"all together": {Spec{Delay: 30 * ms, Jitter: 5 * ms, Correlation: 20, Loss: 5, LossCorrelation: 1, Duplicate: 2, Corrupt: 1, Distribution: model.Normal}, traffic{packets: 2000, every: time.Millisecond, size: 500}, func(_ *testing.T, got flow) (bool, string) {
			return all(
				func() (bool, string) { return near("mean delay", meanOf(got.delays()), 30, 2) },
				func() (bool, string) { return near("losses and damages", float64(got.losses()), 120, 60) },
				func() (bool, string) { return near("duplicates", float64(got.duplicates()), 40, 30) },
			)
		}},
	}
}

// shaped measures an effect of a backend, and checks that the qdiscs afterwards are
// byte for byte what they were.
func shaped(t *testing.T, backend, name string) {
	t.Helper()
	if backend == netemName {
		requireNetem(t)
	}
	e := shapes()[name]
	n := newNet(t)
	before := dump(t, n.target)
	e.spec.Backend = backend
	f := inject(t, e.spec, n.target)
	t.Log(strings.Join(f.step.Actions, "; "))
	statistically(t, func() (bool, string) { return e.check(t, measure(t, n.target, n.peer, e.tr)) })
	status := f.expect(f.registry, injectors.Present)
	t.Logf("evidence %+v", status.Facts)
	if status.Touched < uint64(e.tr.packets) {
		t.Errorf("%d packets touched, of %d that were sent", status.Touched, e.tr.packets)
	}
	f.revert(registry())
	if after := dump(t, n.target); !slices.Equal(before, after) {
		t.Errorf("the qdiscs were\n%q and are\n%q", before, after)
	}
}

// near compares a measured value with the one that was asked for.
func near(name string, got, want, tolerance float64) (bool, string) {
	return math.Abs(got-want) <= tolerance, fmt.Sprintf("%s %.3f, want %.3f ± %.3f", name, got, want, tolerance)
}

func all(checks ...func() (bool, string)) (bool, string) {
	ok, what := true, ""
	for _, check := range checks {
		good, text := check()
		ok = ok && good
		what += text + "; "
	}
	return ok, what
}

// timed leaves a slow machine room between packets.
var timed = traffic{packets: 1500, every: 3 * time.Millisecond}

// skewed has the mean and the deviation that were asked for, and a tail to the
// right that pulls the mean over the median.
func skewed(_ *testing.T, got flow) (bool, string) {
	d := got.delays()
	return all(
		func() (bool, string) { return near("mean", meanOf(d), 50, 1.2) },
		func() (bool, string) { return near("deviation", deviationOf(d), 10, 1.5) },
		func() (bool, string) {
			median := quantileOf(d, 0.5)
			return median < meanOf(d)-1, fmt.Sprintf("median %.2f", median)
		},
		func() (bool, string) {
			last := quantileOf(d, 0.999)
			return last > 80, fmt.Sprintf("99.9 %% point %.2f", last)
		},
	)
}
