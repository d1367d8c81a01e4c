package sli

import (
	"fmt"
	"time"

	"github.com/squallhq/squall/internal/hint"
)

const (
	// MinEvery is the shortest sampling interval.
	MinEvery = 10 * time.Millisecond
	// maxDefaultTimeout bounds the timeout of an SLI that names none.
	maxDefaultTimeout = 5 * time.Second
	minStaleness      = time.Second
	// MaxSamples is how many samples of an SLI windows reach back over. It bounds a
	// Series to 4 MB, and each of its windows to 1 MB. At one sample a second it is a
	// day and a half.
	MaxSamples = 1 << 17
)

// Sampling is the clock of one SLI.
type Sampling struct {
	Every   time.Duration // the interval
	Timeout time.Duration // the longest that one attempt may take
}

// SamplingOf returns the clock of an SLI that is sampled every so often. Its timeout
// is the one that the document names, else the interval, at most five seconds. It is
// an error where the timeout is longer than the interval, because there is never
// more than one attempt at a time; what it returns then can still be used.
func SamplingOf(spec Spec, every time.Duration) (Sampling, error) {
	sampling := Sampling{Every: max(every, MinEvery)}
	sampling.Timeout = min(sampling.Every, maxDefaultTimeout)
	timeout := spec.Timeout()
	switch {
	case every < MinEvery:
		return sampling, fmt.Errorf("the sampling interval %s is shorter than the shortest, %s", every, MinEvery)
	case timeout > every:
		return sampling, hint.Wrap(
			fmt.Errorf("the timeout %s is longer than the sampling interval %s", timeout, every),
			"write `every: %s`, or a timeout of at most %s", timeout, every)
	case timeout > 0:
		sampling.Timeout = timeout
	}
	return sampling, nil
}

// Staleness is the age at which the newest sample stops to count as data: two
// intervals and a timeout, and a second at least. A service that does not answer gives
// samples that are not ok long before; what is left is a sampler that is held up, and a
// busy host does that for a few hundred milliseconds without anything being wrong.
func (s Sampling) Staleness() time.Duration { return max(2*s.Every+s.Timeout, minStaleness) }

// Check says why a window can't be answered from samples taken this often: it is too
// short to hold one each time, or too long to be kept.
func (s Sampling) Check(r Range) error {
	least := s.Every + s.Timeout
	most := s.Every * MaxSamples
	switch {
	case r.Length > 0 && r.Length < least:
		return hint.Wrap(
			fmt.Errorf("a window of %s can be empty although all is well: with one attempt every %s, each given %s, samples can be %s apart", r.Length, s.Every, s.Timeout, least),
			"write a window of at least %s, or sample more often", least)
	case r.Length > most:
		return hint.Wrap(
			fmt.Errorf("a window of %s at one sample every %s is more than the %d samples that are kept", r.Length, s.Every, MaxSamples),
			"write a window of at most %s, or sample less often", most)
	}
	return nil
}

// Staleness is the Staleness of an SLI that is sampled every so often.
func Staleness(every time.Duration, spec Spec) time.Duration {
	sampling, _ := SamplingOf(spec, every) // where it is an error, a document that was refused
	return sampling.Staleness()
}
