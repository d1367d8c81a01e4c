package sli

import (
	"slices"
	"time"
)

// Summary sums up the samples of a stretch of time. Its values are in the SLI's
// unit: seconds for a latency. They are nil where no sample had a value.
type Summary struct {
	Count   int      `json:"count"`
	OKRatio *float64 `json:"okRatio,omitempty"` // nil without a sample
	Mean    *float64 `json:"mean,omitempty"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	P50     *float64 `json:"p50,omitempty"`
	P90     *float64 `json:"p90,omitempty"`
	P95     *float64 `json:"p95,omitempty"`
	P99     *float64 `json:"p99,omitempty"`
}

// Summary sums up the samples from one instant to another, both included.
func (s *Series) Summary(from, to time.Time) *Summary {
	s.mu.Lock()
	lo := s.live.since(func(at time.Duration) bool { return at >= s.since(from) })
	hi := s.live.since(func(at time.Duration) bool { return at > s.since(to) })
	var held []point
	if lo < hi {
		held = slices.Clone(s.live.held[lo-s.live.first : hi-s.live.first])
	}
	s.mu.Unlock()

	summary := &Summary{Count: len(held)}
	var values []float64
	ok := 0
	for _, p := range held {
		if p.ok {
			ok++
		}
		if p.has() {
			values = append(values, p.value)
		}
	}
	if len(held) > 0 {
		summary.OKRatio = new(float64(ok) / float64(len(held)))
	}
	if len(values) == 0 {
		return summary
	}
	slices.Sort(values)
	summary.Mean = new(mean(values))
	summary.Min, summary.Max = new(values[0]), new(values[len(values)-1])
	summary.P50, summary.P90 = new(nearestRank(values, 0.50)), new(nearestRank(values, 0.90))
	summary.P95, summary.P99 = new(nearestRank(values, 0.95)), new(nearestRank(values, 0.99))
	return summary
}
