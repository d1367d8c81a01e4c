package sli

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// maxRecent is how many samples a Series keeps whole, with their errors.
const maxRecent = 1024

// Range says which samples a question is about.
type Range struct {
	// Length is the window's length back from now, or from the end of the baseline;
	// 0 means all of the present phase, or all of the baseline. A window with a
	// length is literal: it can reach back into the phase before.
	Length time.Duration
	// Baseline asks about the baseline instead of now.
	Baseline bool
}

func (r Range) String() string {
	switch {
	case r.Baseline && r.Length > 0:
		return fmt.Sprintf("the last %s of the baseline", r.Length)
	case r.Baseline:
		return "the baseline"
	case r.Length > 0:
		return fmt.Sprintf("the last %s", r.Length)
	}
	return "this phase"
}

// NoDataError says why a question has no answer.
type NoDataError struct {
	// Reason is for people: "no sample in the last 5s".
	Reason string
	// Early says that it is too soon to call the data missing: the phase, or the
	// sampling, began less than the staleness limit ago.
	Early bool
}

func (e *NoDataError) Error() string { return e.Reason }

// Series keeps the samples of one SLI and answers questions about windows of them.
// All methods may be called from any goroutine. Memory is bounded: see MaxSamples.
//
// Where no unit is named, values are in the SLI's unit: seconds for a latency.
type Series struct {
	unit     Unit
	sampling Sampling

	mu       sync.Mutex
	began    time.Time
	live     points
	baseline *points       // nil until MarkBaseline
	ended    time.Duration // the end of the baseline
	missed   int
	recent   []Sample // a ring
	next     int      // where the next one goes in it
	newest   Sample
	sampled  bool
}

// NewSeries returns an empty Series for an SLI that is sampled every so often.
func NewSeries(spec Spec, every time.Duration) *Series {
	sampling, _ := SamplingOf(spec, every) // where it is an error, a document that was refused
	return &Series{unit: spec.Unit(), sampling: sampling, began: time.Now()}
}

// Unit is the unit of the values.
func (s *Series) Unit() Unit { return s.unit }

// Sampling is the clock that fills the Series.
func (s *Series) Sampling() Sampling { return s.sampling }

// Register prepares a window, so that the first question about it costs no more
// than the others. It is an error where the window can't be answered from samples
// taken this often.
func (s *Series) Register(r Range) error {
	if err := s.sampling.Check(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.Baseline {
		s.live.window(r.Length, time.Since(s.began))
	}
	return nil
}

// Add adds a sample. One that is older than the newest counts as just as new.
func (s *Series) Add(sample Sample) {
	sample = sample.tidy()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sampled && sample.At.Before(s.newest.At) {
		sample.At = s.newest.At
	}
	p := point{at: s.since(sample.At), value: math.NaN(), ok: sample.OK}
	if sample.HasValue {
		p.value = sample.Value
	}
	s.live.add(p)
	s.newest, s.sampled = sample, true
	if len(s.recent) < maxRecent {
		s.recent = append(s.recent, sample)
		return
	}
	s.recent[s.next] = sample
	s.next = (s.next + 1) % maxRecent
}

// MarkBaseline keeps the samples from start to end as the baseline, whatever comes
// after.
func (s *Series) MarkBaseline(start, end time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to := s.since(start), s.since(end)
	baseline := &points{start: from}
	for _, p := range s.live.held {
		if p.at >= from && p.at <= to {
			baseline.held = append(baseline.held, p)
		}
	}
	s.baseline, s.ended = baseline, to
}

// StartPhase begins a phase at now: windows without a length begin here.
func (s *Series) StartPhase(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live.start = s.since(now)
}

// Recent returns up to n of the newest samples, oldest first. A Series keeps the
// last 1024.
func (s *Series) Recent(n int) []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(max(n, 0), len(s.recent))
	samples := make([]Sample, 0, n)
	for i := len(s.recent) - n; i < len(s.recent); i++ {
		samples = append(samples, s.recent[(s.next+i)%len(s.recent)])
	}
	return samples
}

// Missed is the number of attempts that were due while the one before still went
// on.
func (s *Series) Missed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missed
}

// StaleAt returns when the newest sample will stop to count as data, if no other
// comes.
func (s *Series) StaleAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began.Add(s.lastSign()).Add(s.sampling.Staleness())
}

// EarlyUntil returns when an empty window of the present phase stops to be merely
// early.
func (s *Series) EarlyUntil() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began.Add(s.live.start).Add(s.sampling.Staleness())
}

func (s *Series) addMissed(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed += n
}

// since is t on the Series' own clock. Go's monotonic clock makes it immune to
// changes of the wall clock.
func (s *Series) since(t time.Time) time.Duration { return t.Sub(s.began) }

// lastSign is when the newest sample came, or when sampling began.
func (s *Series) lastSign() time.Duration {
	if s.sampled {
		return s.since(s.newest.At)
	}
	return 0
}
