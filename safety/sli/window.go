package sli

import (
	"math"
	"slices"
	"sort"
	"time"
)

// point is a Sample as a Series keeps it for windows: 24 bytes.
type point struct {
	at    time.Duration // since the Series began
	value float64       // NaN where there is none
	ok    bool
}

func (p point) has() bool { return !math.IsNaN(p.value) }

// points is a run of samples in the order of time, with the windows over them.
// Samples are numbered from 0; the oldest that is still held is number first.
type points struct {
	held  []point
	first int
	// start bounds every window: nothing older belongs to a window without a length.
	start   time.Duration
	windows map[time.Duration]*window
}

// window keeps the order statistics of the samples numbered from lo up to, not
// including, hi.
//
// It is a sorted slice. A sample that comes in or falls out is found by binary
// search, and the values behind it are moved by one copy: for 10,000 samples that
// is 40 KB on average, about a microsecond, where a balanced tree would chase
// fourteen cache misses and need 400 KB. Every quantile is then one look-up, and it
// is exact. What samples cost is paid once for each sample, however often guards
// ask.
type window struct {
	lo, hi int
	sorted []float64
	ok     int

	mean, rate cached
}

// cached is a figure that is computed when it is first asked for after a change.
type cached struct {
	value float64
	known bool
}

// rebuildFrom is the number of changes from which sorting anew is cheaper than
// moving samples in and out one by one.
const rebuildFrom = 512

func (p *points) at(number int) point { return p.held[number-p.first] }

// since returns the number of the first sample for which after holds, which must
// be monotone in time.
func (p *points) since(after func(time.Duration) bool) int {
	return p.first + sort.Search(len(p.held), func(i int) bool { return after(p.held[i].at) })
}

// window returns the window of that length that ends at now, the last included;
// with length 0 the one that begins at start.
func (p *points) window(length, now time.Duration) *window {
	w := p.windows[length]
	if w == nil {
		if p.windows == nil {
			p.windows = map[time.Duration]*window{}
		}
		w = &window{lo: p.first, hi: p.first}
		p.windows[length] = w
	}
	lo := p.since(func(at time.Duration) bool { return at >= p.start })
	if length > 0 {
		lo = p.since(func(at time.Duration) bool { return at > now-length })
	}
	hi := p.since(func(at time.Duration) bool { return at > now })
	w.slide(p, lo, max(lo, hi))
	return w
}

// add appends a sample, and forgets the oldest beyond the limit now and then.
func (p *points) add(sample point) {
	p.held = append(p.held, sample)
	if len(p.held) < MaxSamples+MaxSamples/8 {
		return
	}
	surplus := len(p.held) - MaxSamples
	p.held = slices.Clone(p.held[surplus:])
	p.first += surplus
	for _, w := range p.windows {
		if w.lo < p.first { // its oldest samples can't be taken out any more
			*w = window{lo: p.first, hi: p.first, sorted: w.sorted[:0]}
		}
	}
}

// slide makes w the window of the samples numbered lo up to hi.
func (w *window) slide(p *points, lo, hi int) {
	if lo == w.lo && hi == w.hi {
		return
	}
	w.mean, w.rate = cached{}, cached{}
	if distance(w.lo, lo)+distance(w.hi, hi) >= rebuildFrom || lo >= w.hi || hi <= w.lo {
		w.rebuild(p, lo, hi)
		return
	}
	for ; w.lo > lo; w.lo-- {
		w.insert(p.at(w.lo - 1))
	}
	for ; w.hi < hi; w.hi++ {
		w.insert(p.at(w.hi))
	}
	for ; w.lo < lo; w.lo++ {
		w.remove(p.at(w.lo))
	}
	for ; w.hi > hi; w.hi-- {
		w.remove(p.at(w.hi - 1))
	}
}

func (w *window) rebuild(p *points, lo, hi int) {
	*w = window{lo: lo, hi: hi, sorted: w.sorted[:0]}
	for number := lo; number < hi; number++ {
		sample := p.at(number)
		if sample.ok {
			w.ok++
		}
		if sample.has() {
			w.sorted = append(w.sorted, sample.value)
		}
	}
	slices.Sort(w.sorted)
}

func (w *window) insert(sample point) {
	if sample.ok {
		w.ok++
	}
	if sample.has() {
		i, _ := slices.BinarySearch(w.sorted, sample.value)
		w.sorted = slices.Insert(w.sorted, i, sample.value)
	}
}

func (w *window) remove(sample point) {
	if sample.ok {
		w.ok--
	}
	if sample.has() {
		i, _ := slices.BinarySearch(w.sorted, sample.value)
		w.sorted = slices.Delete(w.sorted, i, i+1)
	}
}

func (w *window) count() int { return w.hi - w.lo }

// quantile is the nearest-rank quantile: the least value that at least the share q
// of the values does not exceed. It is always a value that was measured. There must
// be one.
func (w *window) quantile(q float64) float64 { return nearestRank(w.sorted, q) }

func nearestRank(sorted []float64, q float64) float64 {
	n := len(sorted)
	// The small term undoes the rounding of q*n, as in 0.07*100 > 7.
	rank := int(math.Ceil(q*float64(n) - 1e-9))
	return sorted[min(max(rank, 1), n)-1]
}

// average is the mean of the values, summed in ascending order, so that it does not
// depend on the samples that were there before. There must be one.
func (w *window) average() float64 {
	if !w.mean.known {
		w.mean = cached{mean(w.sorted), true}
	}
	return w.mean.value
}

// mean divides before it sums where a sum could overflow.
func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	if !math.IsInf(sum, 0) {
		return sum / float64(len(values))
	}
	sum = 0
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}

// perSecond is the increase per second of a counter between the first value and
// the last. Where a value is less than the one before it, the counter began anew at
// zero, as Prometheus' rate() has it. ok is false with fewer than two values.
func (w *window) perSecond(p *points) (rate float64, ok bool) {
	if w.rate.known {
		return w.rate.value, !math.IsNaN(w.rate.value)
	}
	var first, last point
	increase, values := 0.0, 0
	for number := w.lo; number < w.hi; number++ {
		sample := p.at(number)
		switch {
		case !sample.has():
			continue
		case values == 0:
			first = sample
		case sample.value >= last.value:
			increase += sample.value - last.value
		default:
			increase += sample.value
		}
		last = sample
		values++
	}
	rate = math.NaN()
	if took := (last.at - first.at).Seconds(); values >= 2 && took > 0 {
		rate = increase / took
	}
	w.rate = cached{rate, true}
	return rate, !math.IsNaN(rate)
}

func distance(a, b int) int { return max(a-b, b-a) }
