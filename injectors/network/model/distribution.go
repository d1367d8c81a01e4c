package model

import "math"

// The kernel draws a netem delay from a table of the inverse cumulative
// distribution function: it takes a random entry t and delays by
//
//	latency + jitter × t / NETEM_DIST_SCALE
//
// (tabledist in net/sched/sch_netem.c). A table whose entries are the quantiles of
// a distribution with mean 0 and standard deviation 1, times the scale, therefore
// makes latency the mean of the delay and jitter its standard deviation.
const (
	// Scale is the number of a table that stands for one deviation:
	// NETEM_DIST_SCALE of linux/pkt_sched.h.
	Scale    = 8192
	distSize = 4096 // entries; NETEM_DIST_MAX is 16384
)

// The names of the distributions. The uniform one has no table: the kernel computes
// it by itself, and so does Model.
const (
	Normal       = "normal"
	Pareto       = "pareto"
	ParetoNormal = "paretonormal"
)

// paretoShape is the tail index α of the Pareto distribution. At 3 the mean and the
// variance are finite and the tail is as heavy as that allows.
const paretoShape = 3.0

// normalQuantile is the inverse of the normal distribution Φ. From
// Φ(x) = (1 + erf(x/√2)) / 2 follows Φ⁻¹(u) = √2 · erf⁻¹(2u - 1).
func normalQuantile(u float64) float64 { return math.Sqrt2 * math.Erfinv(2*u-1) }

// paretoQuantile is the inverse of the Pareto distribution F(x) = 1 - x^-α, x ≥ 1:
// F⁻¹(u) = (1-u)^(-1/α), moved and scaled by its mean α/(α-1) and its variance
// α / ((α-1)² (α-2)).
func paretoQuantile(u float64) float64 {
	const a = paretoShape
	mean := a / (a - 1)
	deviation := math.Sqrt(a / ((a - 1) * (a - 1) * (a - 2)))
	return (math.Pow(1-u, -1/a) - mean) / deviation
}

// paretonormalQuantile mixes them as iproute2's table of that name does, a quarter
// normal and three quarters Pareto at the same quantile: a bell with a heavy tail
// to the right.
func paretonormalQuantile(u float64) float64 {
	return 0.25*normalQuantile(u) + 0.75*paretoQuantile(u)
}

// Table returns the table of a distribution, nil for a name without one.
func Table(name string) []int16 {
	switch name {
	case Normal:
		return quantileTable(normalQuantile)
	case Pareto:
		return quantileTable(paretoQuantile)
	case ParetoNormal:
		return quantileTable(paretonormalQuantile)
	}
	return nil
}

// quantileTable samples a quantile function in the middle of distSize equal
// intervals. An entry is a 16-bit number, which ends at 4 deviations: a heavy tail
// is cut there, and would leave less than the mean and the deviation that were
// asked for. So the function is moved and stretched until the table as a whole,
// cut, has mean 0 and deviation 1. Each round corrects what the last one left.
func quantileTable(quantile func(u float64) float64) []int16 {
	const last = float64(math.MaxInt16) / Scale
	values := make([]float64, distSize)
	shift, stretch := 0.0, 1.0
	for range 60 {
		var sum, squares float64
		for i := range values {
			u := (float64(i) + 0.5) / distSize
			values[i] = min(max(stretch*(quantile(u)+shift), -last), last)
			sum += values[i]
			squares += values[i] * values[i]
		}
		mean := sum / distSize
		deviation := math.Sqrt(squares/distSize - mean*mean)
		shift -= mean / stretch
		stretch /= deviation
	}
	table := make([]int16, distSize)
	for i, v := range values {
		table[i] = int16(math.Round(v * Scale))
	}
	return table
}
