package sli

import (
	"fmt"
	"time"
)

// Last returns the newest sample's value, whatever its phase, or the baseline's
// newest. A newest sample without a value is no data, whatever the one before it had.
func (s *Series) Last(r Range, now time.Time) (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, at, err := s.source(r, now)
	if err != nil {
		return 0, err
	}
	newest := p.since(func(taken time.Duration) bool { return taken > at }) - 1
	switch {
	case newest < p.first:
		return 0, &NoDataError{Reason: "no sample in " + r.String()}
	case !p.at(newest).has():
		return 0, s.noValue("the newest sample has no value", r)
	}
	return p.at(newest).value, nil
}

// Quantile returns the nearest-rank quantile of the values, 0 <= q <= 1: the least
// value that at least the share q of them does not exceed. It is exact.
func (s *Series) Quantile(q float64, r Range, now time.Time) (float64, error) {
	return s.askValues(r, now, func(w *window) float64 { return w.quantile(q) })
}

// Mean returns the mean of the values.
func (s *Series) Mean(r Range, now time.Time) (float64, error) {
	return s.askValues(r, now, (*window).average)
}

// Min returns the least value.
func (s *Series) Min(r Range, now time.Time) (float64, error) {
	return s.askValues(r, now, func(w *window) float64 { return w.sorted[0] })
}

// Max returns the greatest value.
func (s *Series) Max(r Range, now time.Time) (float64, error) {
	return s.askValues(r, now, func(w *window) float64 { return w.sorted[len(w.sorted)-1] })
}

// Rate returns the increase of a counter per second: between the window's first
// value and its last, with a value that falls taken for a counter that began anew at
// zero, as Prometheus' rate() has it.
func (s *Series) Rate(r Range, now time.Time) (float64, error) {
	return s.ask(r, now, func(p *points, w *window) (float64, error) {
		rate, ok := w.perSecond(p)
		if !ok {
			return 0, s.noValue(fmt.Sprintf("a rate needs two values, and %s has %d", r, len(w.sorted)), r)
		}
		return rate, nil
	})
}

// Count returns the number of samples, with and without a value.
func (s *Series) Count(r Range, now time.Time) (float64, error) {
	return s.ask(r, now, func(_ *points, w *window) (float64, error) { return float64(w.count()), nil })
}

// OKRatio returns the share of the samples that were ok, between 0 and 1.
func (s *Series) OKRatio(r Range, now time.Time) (float64, error) {
	return s.ask(r, now, func(_ *points, w *window) (float64, error) {
		return float64(w.ok) / float64(w.count()), nil
	})
}

// Burn returns the burn rate of the error budget for an objective below 1, such as
// 0.999: the share of samples that were not ok over the share that the objective
// allows. At 1 the budget lasts exactly as long as the objective's period (the SRE
// Workbook, chapter 5).
func (s *Series) Burn(objective float64, r Range, now time.Time) (float64, error) {
	return s.ask(r, now, func(_ *points, w *window) (float64, error) {
		return (1 - float64(w.ok)/float64(w.count())) / (1 - objective), nil
	})
}

// Age returns how long ago the newest sample came. It is the one question that a
// stale SLI still answers.
func (s *Series) Age(now time.Time) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sampled {
		return 0, s.never(now)
	}
	return max(0, now.Sub(s.newest.At)), nil
}

// askValues answers from a window that holds a value at least.
func (s *Series) askValues(r Range, now time.Time, answer func(*window) float64) (float64, error) {
	return s.ask(r, now, func(_ *points, w *window) (float64, error) {
		if len(w.sorted) == 0 {
			return 0, s.noValue(fmt.Sprintf("%d samples in %s, and none has a value", w.count(), r), r)
		}
		return answer(w), nil
	})
}

// ask answers from a window that holds a sample at least, of an SLI that is not
// stale.
func (s *Series) ask(r Range, now time.Time, answer func(*points, *window) (float64, error)) (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, at, err := s.source(r, now)
	if err != nil {
		return 0, err
	}
	w := p.window(r.Length, at)
	if w.count() == 0 {
		return 0, &NoDataError{
			Reason: "no sample in " + r.String(),
			Early:  r == Range{} && at-s.live.start <= s.sampling.Staleness(),
		}
	}
	return answer(p, w)
}

// source returns the samples that a question is about, and the instant that its
// windows end. It is no data where there are none, or the newest is stale.
func (s *Series) source(r Range, now time.Time) (p *points, at time.Duration, err error) {
	at = s.since(now)
	switch {
	case r.Baseline && s.baseline == nil:
		return nil, 0, &NoDataError{Reason: "there is no baseline yet"}
	case r.Baseline:
		return s.baseline, s.ended, nil
	case !s.sampled:
		return nil, 0, s.never(now)
	case at-s.lastSign() > s.sampling.Staleness():
		return nil, 0, &NoDataError{Reason: fmt.Sprintf("the newest sample is %s old, and more than %s is stale",
			(at - s.lastSign()).Round(time.Millisecond), s.sampling.Staleness())}
	}
	return &s.live, at, nil
}

// never says that there was no sample at all.
func (s *Series) never(now time.Time) *NoDataError {
	return &NoDataError{Reason: "no sample yet", Early: s.since(now) <= s.sampling.Staleness()}
}

// noValue adds the newest error to a reason, where it can explain it.
func (s *Series) noValue(reason string, r Range) *NoDataError {
	if !r.Baseline && s.newest.Err != "" {
		reason += ": " + s.newest.Err
	}
	return &NoDataError{Reason: reason}
}
