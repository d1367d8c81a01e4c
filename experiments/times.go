package experiments

import "time"

// FaultWindow returns when a fault of s starts and ends, counted from the end of
// the baseline. A fault without For ends with the last of those that have one.
func (s *Spec) FaultWindow(f Fault) (start, end time.Duration) {
	if f.For > 0 {
		return f.At.D(), f.At.D() + f.For.D()
	}
	return f.At.D(), s.FaultsDuration()
}

// Duration returns how long the whole run takes where nothing stops it: the
// baseline, the faults and the recovery.
func (s *Spec) Duration() time.Duration {
	return s.Baseline.D() + s.FaultsDuration() + s.Recovery.D()
}

// FaultsDuration returns when the last fault ends, counted from the end of the baseline.
func (s *Spec) FaultsDuration() (last time.Duration) {
	for _, f := range s.Faults {
		if f.For > 0 {
			last = max(last, f.At.D()+f.For.D())
		}
	}
	return last
}
