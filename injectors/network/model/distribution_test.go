package model

import (
	"math"
	"slices"
	"testing"
)

// moments of a table, in units of the deviation that it stands for.
func moments(table []int16) (mean, deviation float64) {
	var sum, squares float64
	for _, v := range table {
		x := float64(v) / Scale
		sum += x
		squares += x * x
	}
	mean = sum / float64(len(table))
	return mean, math.Sqrt(squares/float64(len(table)) - mean*mean)
}

func TestTablesHaveTheMomentsThatWereAskedFor(t *testing.T) {
	for _, name := range []string{Normal, Pareto, ParetoNormal} {
		table := Table(name)
		mean, deviation := moments(table)
		if len(table) != distSize || math.Abs(mean) > 1e-4 || math.Abs(deviation-1) > 1e-4 {
			t.Errorf("%s: %d entries, mean %g, deviation %g", name, len(table), mean, deviation)
		}
		if !slices.IsSorted(table) {
			t.Errorf("%s is no quantile function", name)
		}
	}
	if Table("uniform") != nil || Table("") != nil {
		t.Error("the uniform distribution has a table")
	}
}

// The distribution function of the normal distribution, Φ(x) = erfc(-x/√2)/2, takes
// every entry back to the place it has in the table.
func TestNormalTableInvertsTheDistributionFunction(t *testing.T) {
	for i, v := range Table(Normal) {
		u := math.Erfc(-float64(v)/Scale/math.Sqrt2) / 2
		if want := (float64(i) + 0.5) / distSize; math.Abs(u-want) > 2e-4 {
			t.Fatalf("entry %d: Φ = %g, want %g", i, u, want)
		}
	}
}

// A distribution that is only moved and stretched keeps the ratios of distances
// between its quantiles.
func keepsRatios(t *testing.T, name string, quantile func(u float64) float64) {
	t.Helper()
	table := Table(name)
	x := func(i int) float64 { return quantile((float64(i) + 0.5) / distSize) }
	const a, b = 100, 3000
	for i := range 4000 { // what comes after is cut
		got := (float64(table[i]) - float64(table[a])) / (float64(table[b]) - float64(table[a]))
		if want := (x(i) - x(a)) / (x(b) - x(a)); math.Abs(got-want) > 2e-3 {
			t.Fatalf("entry %d: %g, want %g", i, got, want)
		}
	}
}

func TestParetoTableKeepsTheRatiosOfItsQuantiles(t *testing.T) {
	keepsRatios(t, Pareto, func(u float64) float64 { return math.Cbrt(1 / (1 - u)) })
}

// With the tail index 3 the Pareto distribution has the mean 3/2 and the variance
// 3/4.
func TestParetoNormalTableIsAQuarterNormal(t *testing.T) {
	keepsRatios(t, ParetoNormal, func(u float64) float64 {
		return math.Sqrt2*math.Erfinv(2*u-1)/4 + 3*(math.Cbrt(1/(1-u))-1.5)/math.Sqrt(0.75)/4
	})
}

func TestQuantilesAreStandardised(t *testing.T) {
	// ∫₀¹ Q = 0 and ∫₀¹ Q² = 1, by the midpoint rule. The Pareto tail converges like
	// n^(-1/3), hence the tolerance of its square.
	const n = 4_000_000
	for name, q := range map[string]struct {
		quantile  func(float64) float64
		tolerance float64
	}{"normal": {normalQuantile, 1e-4}, "pareto": {paretoQuantile, 0.02}} {
		var sum, squares float64
		for i := range n {
			v := q.quantile((float64(i) + 0.5) / n)
			sum += v / n
			squares += v * v / n
		}
		if math.Abs(sum) > 1e-3 || math.Abs(squares-1) > q.tolerance {
			t.Errorf("%s: mean %g, square %g", name, sum, squares)
		}
	}
}
