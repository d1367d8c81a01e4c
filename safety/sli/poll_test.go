package sli

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type samplerFunc func(ctx context.Context) Sample

func (f samplerFunc) Sample(ctx context.Context) Sample { return f(ctx) }

// poll runs Poll until the test's function returns.
func poll(t *testing.T, sampler Sampler, s *Series, notify func(), during func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Poll(ctx, sampler, s, notify)
	}()
	during()
	cancel()
	<-ended
}

// Attempts are due at multiples of the interval, whatever each takes.
func TestPollKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSeries(spec{unit: Latency}, time.Second)
		start := time.Now()
		var begins []time.Duration
		notified := 0
		sampler := samplerFunc(func(context.Context) Sample {
			begins = append(begins, time.Since(start))
			time.Sleep(time.Duration(len(begins)%3) * 300 * time.Millisecond)
			return Sample{Value: 1, HasValue: true, OK: true}
		})
		poll(t, sampler, s, func() { notified++ }, func() { time.Sleep(9500 * time.Millisecond) })
		for i, at := range begins {
			if at != time.Duration(i)*time.Second {
				t.Errorf("attempt %d began at %v", i, at)
			}
		}
		if len(begins) != 10 || notified != 10 || s.Missed() != 0 {
			t.Errorf("%d attempts, %d notified, %d missed", len(begins), notified, s.Missed())
		}
		if got := s.Recent(1)[0]; got.Took != 300*time.Millisecond || got.At != start.Add(9300*time.Millisecond) {
			t.Errorf("the last sample: %+v", got)
		}
	})
}

// A sampler that ignores its timeout makes attempts missed, never two at once, and
// afterwards keeps the same clock.
func TestPollCountsMissedAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSeries(spec{unit: Latency}, time.Second)
		start := time.Now()
		var running, most atomic.Int32
		var begins []time.Duration
		sampler := samplerFunc(func(context.Context) Sample {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			begins = append(begins, time.Since(start))
			if len(begins) == 2 {
				time.Sleep(3500 * time.Millisecond)
			}
			return Sample{OK: true}
		})
		poll(t, sampler, s, func() {}, func() { time.Sleep(6500 * time.Millisecond) })
		want := []time.Duration{0, time.Second, 5 * time.Second, 6 * time.Second}
		if len(begins) != len(want) || begins[2] != want[2] || begins[3] != want[3] {
			t.Errorf("attempts began at %v, want %v", begins, want)
		}
		if most.Load() != 1 || s.Missed() != 3 {
			t.Errorf("%d at once, %d missed, want 1 and 3", most.Load(), s.Missed())
		}
	})
}

func TestPollSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSeries(spec{unit: Latency}, time.Second)
		sampler := samplerFunc(func(context.Context) Sample { panic("boom\x1b[2J") })
		poll(t, sampler, s, func() {}, func() { time.Sleep(1500 * time.Millisecond) })
		samples := s.Recent(10)
		if len(samples) != 2 || samples[0].OK || !strings.Contains(samples[0].Err, "boom") || strings.Contains(samples[0].Err, "\x1b") {
			t.Errorf("%+v", samples)
		}
	})
}

// closer says when it was closed.
type closer struct {
	Sampler
	closed bool
}

func (c *closer) Close() error {
	c.closed = true
	return nil
}

// An attempt that the end cuts short is no sample, and the sampler is closed.
func TestPollEndsCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSeries(spec{unit: Latency}, time.Minute)
		c := &closer{Sampler: samplerFunc(func(ctx context.Context) Sample {
			<-ctx.Done()
			return failed("cut short")
		})}
		poll(t, c, s, func() { t.Error("notified") }, func() { time.Sleep(time.Second) })
		if len(s.Recent(1)) != 0 || !c.closed {
			t.Errorf("%d samples, closed %v", len(s.Recent(1)), c.closed)
		}
	})
}
