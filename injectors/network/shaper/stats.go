package shaper

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// Stats are a shaper's figures. They lie in memory that several processes share,
// so that whoever verifies a fault can read them; one writes each. Times are in
// nanoseconds.
type Stats struct {
	Matched, MatchedBytes uint64 // written by the program that redirects

	PID, StartTime uint64 // who runs the shaper, with field 22 of /proc/PID/stat
	RealTime       uint64 // 1 where the kernel granted it a real-time priority

	Captured   uint64
	Delayed    uint64 // packets that were to wait
	Dropped    uint64 // by the model
	Duplicated uint64
	Corrupted  uint64
	Reordered  uint64 // packets that were to overtake
	Sent       uint64
	SentBytes  uint64
	Held       uint64 // packets that wait now

	OverLimit uint64 // dropped because as many waited as may
	NoRoom    uint64 // dropped for lack of memory
	Missed    uint64 // dropped before the shaper got to them
	Unsent    uint64 // refused by the interface

	LateMax uint64
	Late    fine   // how much later than due packets were sent
	Delay   finest // how much later than captured
}

// StatsSize is the size of Stats in bytes.
const StatsSize = int(unsafe.Sizeof(Stats{}))

// StatsAt returns the Stats at the start of mem, which must be StatsSize long and
// lie at an address that 8 divides.
func StatsAt(mem []byte) *Stats { return (*Stats)(unsafe.Pointer(unsafe.SliceData(mem[:StatsSize]))) }

// Bytes are the memory that s lies in.
func (s *Stats) Bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(s)), StatsSize) }

// Add adds the figures of another shaper.
func (s *Stats) Add(o *Stats) {
	late := max(s.LateMax, o.LateMax)
	sum, other := s.words(), o.words()
	for i := range sum {
		sum[i] += other[i]
	}
	s.LateMax = late
}

func (s *Stats) words() []uint64 { return unsafe.Slice((*uint64)(unsafe.Pointer(s)), StatsSize/8) }

// UnintendedDrops are those that nobody asked for.
func (s *Stats) UnintendedDrops() uint64 { return s.NoRoom + s.Missed + s.Unsent }

// LateAt and DelayAt return the quantile q of the figure of their name.
func (s *Stats) LateAt(q float64) float64 { return quantile(s.Late[:], fineBits, q) }

// DelayAt is described at LateAt.
func (s *Stats) DelayAt(q float64) float64 { return quantile(s.Delay[:], finestBits, q) }

// A histogram counts in classes whose width doubles with each octave: 2^bits of
// them, so that a value is known to 2^-bits of itself. See HdrHistogram (Tene).
const (
	fineBits, finestBits = 5, 8
	octaves              = 30 // above 2^bits: to 34 s, and 275 s
)

type (
	fine   [(octaves + 1) << fineBits]uint64
	finest [(octaves + 1) << finestBits]uint64
)

func class(v uint64, precision int) int {
	octave := max(bits.Len64(v)-1-precision, 0)
	if octave == 0 && v < 1<<precision {
		return int(v)
	}
	return min(octave+1, octaves)<<precision + int(v>>octave)&(1<<precision-1)
}

// middle is the middle of a class.
func middle(class, precision int) float64 {
	octave := class>>precision - 1
	if octave < 0 {
		return float64(class)
	}
	low := uint64(class&(1<<precision-1)|1<<precision) << octave
	return float64(low) + float64(uint64(1)<<octave)/2
}

func count(histogram []uint64, precision int, v int64) {
	atomic.AddUint64(&histogram[class(uint64(max(v, 0)), precision)], 1)
}

// quantile is 0 where nothing was counted.
func quantile(histogram []uint64, precision int, q float64) float64 {
	var n uint64
	for _, k := range histogram {
		n += k
	}
	if n == 0 {
		return 0
	}
	rank, seen := uint64(q*float64(n-1)), uint64(0)
	for i, k := range histogram {
		if seen += k; seen > rank {
			return middle(i, precision)
		}
	}
	return middle(len(histogram)-1, precision)
}
