package model

import (
	"math"
	"slices"
	"testing"

	"github.com/squallhq/squall/internal/quantity"
)

const (
	ms      = int64(1_000_000)
	packets = 200_000
)

// fates are those of n packets of 100 bytes, a millisecond apart.
func fates(p Params, seed uint64, n int) []Fate {
	m := New(p, seed)
	list := make([]Fate, n)
	for i := range list {
		list[i] = m.Next(int64(i)*ms, 100)
	}
	return list
}

// near fails where k of n is outside of what a chance p allows in 9999 of 10000
// cases. The seeds are fixed: a test that passes once passes always.
func near(t *testing.T, what string, k, n int, p float64) {
	t.Helper()
	if mean, half := float64(n)*p, 3.89*math.Sqrt(float64(n)*p*(1-p))+0.5; math.Abs(float64(k)-mean) > half {
		t.Errorf("%s: %d of %d, want %.1f ± %.1f", what, k, n, mean, half)
	}
}

func count(list []Fate, is func(Fate) bool) (n int) {
	for _, f := range list {
		if is(f) {
			n++
		}
	}
	return n
}

func lost(f Fate) bool { return f.Copies == 0 }

// bursts returns the lengths of the runs of lost packets.
func bursts(list []Fate) (lengths []int) {
	run := 0
	for _, f := range list {
		if lost(f) {
			run++
		} else if run > 0 {
			lengths = append(lengths, run)
			run = 0
		}
	}
	return lengths
}

func share(percent float64) uint32 { return Share(quantity.Percent(percent)) }

func TestSameSeedSameFate(t *testing.T) {
	p := Params{
		Latency: 50 * ms, Jitter: 10 * ms, Distribution: Normal, DelayCorr: share(25), Loss: share(5), LossCorr: share(10),
		Duplicate: share(3), Corrupt: share(2), Reorder: share(25), ReorderCorr: share(50), Gap: 5, Rate: 1_000_000,
	}
	one, same, other := fates(p, 7, 10_000), fates(p, 7, 10_000), fates(p, 8, 10_000)
	if !slices.Equal(one, same) {
		t.Error("the same seed gave another fate")
	}
	if slices.Equal(one, other) {
		t.Error("another seed gave the same fate")
	}
}

func TestNothingAskedNothingDone(t *testing.T) {
	for i, f := range fates(Params{}, 1, 1000) {
		if f != (Fate{Copies: 1, Copy: [2]Copy{{Due: int64(i) * ms}}}) {
			t.Fatalf("%+v", f)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	m := New(Params{Latency: 50 * ms, Jitter: 10 * ms, Distribution: Pareto, LossGE: &GilbertElliott{P: 1 << 28, R: 1 << 30}, Duplicate: 1 << 30, Corrupt: 1 << 30}, 1)
	if n := testing.AllocsPerRun(1000, func() { m.Next(0, 100) }); n != 0 {
		t.Errorf("%g allocations a packet", n)
	}
}

func TestLossIsBernoulli(t *testing.T) {
	for _, percent := range []float64{0.1, 1, 5, 50, 99} {
		list := fates(Params{Loss: share(percent)}, 2, packets)
		near(t, "lost", count(list, lost), packets, percent/100)
		// Independence: a packet after a lost one is as likely lost as any.
		after, both := 0, 0
		for i := range packets - 1 {
			if lost(list[i]) {
				after++
				if lost(list[i+1]) {
					both++
				}
			}
		}
		near(t, "lost after a loss", both, after, percent/100)
	}
	if n := count(fates(Params{Loss: share(100)}, 2, packets), lost); n != packets {
		t.Errorf("a loss of 100%% lost %d of %d", n, packets)
	}
}

// xᵢ = (1-ρ)uᵢ + ρxᵢ₋₁ has the autocorrelation ρ at lag 1, and a variance of
// (1-ρ)/(1+ρ) of that of u, which is 1/12.
func TestCorrelationIsAnAutoregression(t *testing.T) {
	for _, rho := range []float64{0.1, 0.25, 0.75} {
		m := New(Params{}, 3)
		c := correlated{rho: share(rho * 100)}
		x := make([]float64, packets)
		for i := range x {
			x[i] = float64(m.correlate(&c)) / (1 << 32)
		}
		var mean, variance, covariance float64
		for _, v := range x {
			mean += v / packets
		}
		for i, v := range x {
			variance += (v - mean) * (v - mean) / packets
			if i > 0 {
				covariance += (v - mean) * (x[i-1] - mean) / packets
			}
		}
		if math.Abs(covariance/variance-rho) > 0.01 || math.Abs(variance*12/((1-rho)/(1+rho))-1) > 0.02 || math.Abs(mean-0.5) > 0.01 {
			t.Errorf("ρ = %g: mean %g, variance %g/12, autocorrelation %g", rho, mean, variance*12, covariance/variance)
		}
	}
}

// geometric fails where the lengths of bursts don't follow the geometric
// distribution with a chance to end of r, by a χ² test.
func geometric(t *testing.T, lengths []int, r float64) {
	t.Helper()
	const classes = 12 // 1 to 11, and more
	var seen [classes]float64
	for _, length := range lengths {
		seen[min(length, classes)-1]++
	}
	n, chi2, rest := float64(len(lengths)), 0.0, 1.0
	for i := range classes {
		p := rest * r
		if i == classes-1 {
			p = rest
		}
		rest -= p
		chi2 += (seen[i] - n*p) * (seen[i] - n*p) / (n * p)
	}
	const most = 37.37 // the 99.99 % point of χ² with 11 degrees of freedom
	if chi2 > most {
		t.Errorf("bursts: χ² = %.1f, more than %.1f: %v", chi2, most, seen)
	}
}

func TestGilbertElliott(t *testing.T) {
	// Every parameter is another one, and none is another's complement, so that no
	// two can be swapped unseen.
	const p, r, badLoss, goodLoss = 0.03, 0.2, 0.9, 0.01
	list := fates(Params{LossGE: &GilbertElliott{P: share(100 * p), R: share(100 * r), H: share(100 * (1 - badLoss)), K1: share(100 * goodLoss)}}, 4, packets)
	bad := p / (p + r)
	// The losses of a chain depend on each other: the variance is larger than
	// Bernoulli's by (1+λ)/(1-λ) at most, λ = 1-p-r; a twelfth as many count.
	const fewer = 12
	near(t, "lost", count(list, lost)/fewer, packets/fewer, bad*badLoss+(1-bad)*goodLoss)
}

// With h = 0 and k1 = 0 the bursts of losses are the visits to the bad state: their
// lengths are geometric with r, and the runs between them with p.
func TestGilbertElliottBursts(t *testing.T) {
	const p, r = 0.1, 0.25
	list := fates(Params{LossGE: &GilbertElliott{P: share(100 * p), R: share(100 * r)}}, 5, packets)
	geometric(t, bursts(list), r)
	for i := range list {
		list[i].Copies = 1 - list[i].Copies
	}
	geometric(t, bursts(list), p)
}

// A packet is judged by the state that it found: in a chain that always changes
// its state, the first packet gets through and the second doesn't.
func TestGilbertElliottJudgesByTheStateThatAPacketFound(t *testing.T) {
	list := fates(Params{LossGE: &GilbertElliott{P: math.MaxUint32, R: math.MaxUint32}}, 6, 1000)
	for i, f := range list {
		if lost(f) != (i%2 == 1) {
			t.Fatalf("packet %d: %+v", i, f)
		}
	}
}

func TestFourState(t *testing.T) {
	const p13, p31, p32, p14, p23 = 0.02, 0.15, 0.1, 0.03, 0.6
	list := fates(Params{LossState: &FourState{P13: share(100 * p13), P31: share(100 * p31), P32: share(100 * p32), P14: share(100 * p14), P23: share(100 * p23)}}, 7, packets)
	// The stationary distribution: flow in is flow out of 2, 4 and {2, 3}.
	pi1 := 1 / (1 + p13/p31*(1+p32/p23) + p14)
	pi3, pi4 := pi1*p13/p31, pi1*p14
	const fewer = 20
	near(t, "lost", count(list, lost)/fewer, packets/fewer, pi3+pi4)
	// What single losses are: a gap of one, and state 3 left at once.
	single := 0
	all := bursts(list)
	for _, length := range all {
		if length == 1 {
			single++
		}
	}
	// Bursts begin in state 4 (from 1), or in 3 (from 1, or again from 2). Of those in
	// 3 the share p31+p32 ends after one loss.
	four, three := pi1*p14, pi1*p13+pi3*p32
	near(t, "single", single, len(all), (four+three*(p31+p32))/(four+three))
}

// Of the transitions of a chain that has only sure ones, the order of losses is
// known.
func TestFourStateWalksItsStates(t *testing.T) {
	const sure = math.MaxUint32
	for name, test := range map[string]struct {
		states FourState
		want   []bool // repeated
	}{
		"1 and 4":    {FourState{P14: sure}, []bool{true, false}},
		"1 and 3":    {FourState{P13: sure, P31: sure}, []bool{true, false}},
		"3 and 2":    {FourState{P13: sure, P32: sure, P23: sure}, []bool{true, false}},
		"3 for ever": {FourState{P13: sure}, []bool{true}},
		"2 for ever": {FourState{P13: sure, P32: sure}, []bool{false}},
	} {
		for i, f := range fates(Params{LossState: &test.states}, 8, 100)[2:] {
			if lost(f) != test.want[i%len(test.want)] {
				t.Errorf("%s: packet %d: %+v", name, i+2, f)
				break
			}
		}
	}
}

func delays(list []Fate) (ms []float64) {
	for i, f := range list {
		for _, c := range f.Copy[:f.Copies] {
			ms = append(ms, float64(c.Due-int64(i)*1_000_000)/1e6)
		}
	}
	return ms
}

// kolmogorov fails where a sample does not follow a distribution function, by the
// test of Kolmogorov and Smirnov at 99.99 %.
func kolmogorov(t *testing.T, sample []float64, cdf func(float64) float64) {
	t.Helper()
	slices.Sort(sample)
	n, worst := float64(len(sample)), 0.0
	for i, x := range sample {
		u := cdf(x)
		worst = max(worst, math.Abs(u-float64(i)/n), math.Abs(u-float64(i+1)/n))
	}
	if most := 2.23 / math.Sqrt(n); worst > most {
		t.Errorf("the sample is %.4f off its distribution, more than %.4f", worst, most)
	}
}

func TestDelaysFollowTheirDistribution(t *testing.T) {
	const n = 100_000 // a table of 4096 entries is a distribution that is that exact
	for name, cdf := range map[string]func(float64) float64{
		"":     func(x float64) float64 { return min(max((x-40)/20, 0), 1) },
		Normal: func(x float64) float64 { return math.Erfc(-(x-50)/10/math.Sqrt2) / 2 },
	} {
		kolmogorov(t, delays(fates(Params{Latency: 50 * ms, Jitter: 10 * ms, Distribution: name}, 9, n)), cdf)
	}
	for _, name := range []string{Normal, Pareto, ParetoNormal} {
		sample := delays(fates(Params{Latency: 100 * ms, Jitter: 10 * ms, Distribution: name}, 10, n))
		mean, squares := 0.0, 0.0
		for _, x := range sample {
			mean += x / n
			squares += x * x / n
		}
		deviation := math.Sqrt(squares - mean*mean)
		if math.Abs(mean-100) > 0.15 || math.Abs(deviation-10) > 0.2 {
			t.Errorf("%s: mean %g, deviation %g", name, mean, deviation)
		}
		// The median tells the skewed from the symmetric: Q(1/2) of the table.
		slices.Sort(sample)
		if got, want := sample[n/2], 100+10*float64(Table(name)[distSize/2])/Scale; math.Abs(got-want) > 0.15 {
			t.Errorf("%s: median %g, want %g", name, got, want)
		}
	}
}

// Jitter below and above the scale of the tables, which is reckoned in two parts.
func TestEveryJitterHasItsDeviation(t *testing.T) {
	for _, jitter := range []int64{100, 5000, Scale, Scale + 4096, 3*Scale + 7000} {
		sample := delays(fates(Params{Latency: ms, Jitter: jitter, Distribution: Normal}, 17, packets))
		squares := 0.0
		for _, x := range sample {
			squares += (x - 1) * (x - 1) / packets
		}
		if got := math.Sqrt(squares) * 1e6; math.Abs(got/float64(jitter)-1) > 0.02 {
			t.Errorf("a jitter of %d ns has a deviation of %g", jitter, got)
		}
	}
}

func TestDuplicateAndCorrupt(t *testing.T) {
	list := fates(Params{Duplicate: share(4), Corrupt: share(7)}, 11, packets)
	near(t, "duplicated", count(list, func(f Fate) bool { return f.Copies == 2 }), packets, 0.04)
	near(t, "corrupted", count(list, func(f Fate) bool { return f.Copy[f.Copies-1].Corrupt }), packets, 0.07)
	// A duplicate that is lost as well leaves one: 1 - d·l² - (1-d)·l get through.
	list = fates(Params{Duplicate: share(50), Loss: share(50)}, 12, packets)
	// Of 2: the copy survives while the original does: none lost of both.
	near(t, "none", count(list, lost), packets, 0.25)
	near(t, "two", count(list, func(f Fate) bool { return f.Copies == 2 }), packets, 0.125)
}

func TestCorruptChoosesEveryBitAlike(t *testing.T) {
	const bits = 64
	var seen [bits]float64
	list := fates(Params{Corrupt: share(100)}, 13, packets)
	for _, f := range list {
		seen[f.Copy[0].Bit%bits]++
	}
	chi2 := 0.0
	for _, k := range seen {
		chi2 += (k - packets/bits) * (k - packets/bits) / (packets / bits)
	}
	if chi2 > 112.7 { // the 99.99 % point with 63 degrees of freedom
		t.Errorf("χ² = %.1f: %v", chi2, seen)
	}
}

func TestReorderKeepsTheGap(t *testing.T) {
	p := Params{Latency: 10 * ms, Reorder: share(100), Gap: 5}
	for i, f := range fates(p, 14, 1000) {
		if c := f.Copy[0]; c.Overtakes != (i%5 == 4) || c.Overtakes != (c.Due == int64(i)*ms) {
			t.Fatalf("packet %d: %+v", i, f)
		}
	}
	p.Gap, p.Reorder = 1, share(25)
	near(t, "overtaking", count(fates(p, 15, packets), func(f Fate) bool { return f.Copy[0].Overtakes }), packets, 0.25)
}

func TestRate(t *testing.T) {
	// 100 bytes at 50 kB/s take 2 ms, and one comes each ms.
	for i, f := range fates(Params{Rate: 50_000}, 16, 1000) {
		if want := int64(i+1) * 2 * ms; f.Copy[0].Due != want {
			t.Fatalf("packet %d is due at %d, want %d", i, f.Copy[0].Due, want)
		}
	}
	// The wait for the line counts as delay: 10 ms of it are over after ten packets.
	list := fates(Params{Rate: 50_000, Latency: 10 * ms}, 16, 1000)
	for _, i := range []int{0, 1, 500} {
		if want := 10*ms + int64(i+1)*2*ms; i > 0 && list[i].Copy[0].Due-list[i-1].Copy[0].Due != 2*ms || i == 0 && list[i].Copy[0].Due != want {
			t.Errorf("packet %d is due at %d", i, list[i].Copy[0].Due)
		}
	}
	// A line that was free owes nothing: packets slower than the rate take their time.
	for i, f := range fates(Params{Rate: 400_000}, 16, 1000) {
		if f.Copy[0].Due != int64(i)*ms+ms/4 {
			t.Fatalf("packet %d: %+v", i, f)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	m := New(Params{Latency: 50 * ms, Jitter: 10 * ms, Distribution: Normal, LossGE: &GilbertElliott{P: share(1), R: share(20)}}, 1)
	for i := range b.N {
		m.Next(int64(i), 1000)
	}
}
