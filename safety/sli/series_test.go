package sli

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// spec is an SLI whose timing a test chooses.
type spec struct {
	unit    Unit
	timeout time.Duration
}

func (s spec) Unit() Unit                { return s.unit }
func (s spec) Timeout() time.Duration    { return s.timeout }
func (s spec) Open(Env) (Sampler, error) { return nil, errors.New("a test's SLI has no sampler") }

// naive answers every question by looking at all samples.
type naive struct{ samples []Sample }

func (n naive) in(from, to time.Time, open bool) (in []Sample) {
	for _, s := range n.samples {
		if s.At.After(to) || s.At.Before(from) || open && s.At.Equal(from) {
			continue
		}
		in = append(in, s)
	}
	return in
}

func values(samples []Sample) (values []float64) {
	for _, s := range samples {
		if s.HasValue {
			values = append(values, s.Value)
		}
	}
	return values
}

// compare holds every question about r at now against the samples that are in it.
func compare(t *rapid.T, s *Series, r Range, now time.Time, in []Sample) {
	check := func(what string, want float64, have bool, got float64, err error) {
		if have != (err == nil) || have && math.Abs(want-got) > 1e-9*max(1, math.Abs(want)) {
			t.Fatalf("%s of %v: got %v, %v; want %v, %v", what, r, got, err, want, have)
		}
		if _, missing := errors.AsType[*NoDataError](err); err != nil && !missing {
			t.Fatalf("%s of %v: %v is not a NoDataError", what, r, err)
		}
	}
	vs := values(in)
	sorted := slices.Sorted(slices.Values(vs))
	n := len(vs)
	for _, q := range []float64{0, 0.07, 0.5, 0.9, 0.95, 0.99, 1} {
		want := 0.0
		for i, v := range sorted { // the definition: the least that q of the values don't exceed
			if want = v; float64(i+1) >= q*float64(n)-1e-9 {
				break
			}
		}
		got, err := s.Quantile(q, r, now)
		check("quantile", want, n > 0, got, err)
	}
	sum, least, most := 0.0, math.Inf(1), math.Inf(-1)
	for _, v := range vs {
		sum, least, most = sum+v, min(least, v), max(most, v)
	}
	got, err := s.Mean(r, now)
	check("mean", sum/float64(n), n > 0, got, err)
	got, err = s.Min(r, now)
	check("min", least, n > 0, got, err)
	got, err = s.Max(r, now)
	check("max", most, n > 0, got, err)

	good := 0
	for _, s := range in {
		if s.OK {
			good++
		}
	}
	ratio := float64(good) / float64(len(in))
	got, err = s.Count(r, now)
	check("count", float64(len(in)), len(in) > 0, got, err)
	got, err = s.OKRatio(r, now)
	check("okRatio", ratio, len(in) > 0, got, err)
	got, err = s.Burn(0.9, r, now)
	check("burn", (1-ratio)/(1-0.9), len(in) > 0, got, err)

	increase := 0.0
	for i := 1; i < n; i++ {
		if vs[i] >= vs[i-1] {
			increase += vs[i] - vs[i-1]
		} else {
			increase += vs[i]
		}
	}
	var first, last time.Time
	for _, s := range in {
		if s.HasValue {
			last = s.At
			if first.IsZero() {
				first = s.At
			}
		}
	}
	took := last.Sub(first).Seconds()
	got, err = s.Rate(r, now)
	check("rate", increase/took, n > 1 && took > 0, got, err)
}

// Windows answer as a look at all samples does, however time moves: forward, back a
// little, by leaps that rebuild a window, over phases and with a baseline.
func TestWindowsAgreeWithOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := 100 * time.Millisecond
		s := NewSeries(spec{unit: Number}, every)
		start := s.began
		now := start
		phase := start
		var baseline []Sample
		var baselineEnd time.Time
		oracle := naive{}
		lengths := []time.Duration{200 * time.Millisecond, time.Second, 7 * time.Second, time.Hour}
		value := rapid.OneOf(rapid.SampledFrom([]float64{0, 1, 1, 2}), rapid.Float64Range(-1e6, 1e6))
		t.Repeat(map[string]func(*rapid.T){
			"samples": func(t *rapid.T) {
				n := rapid.SampledFrom([]int{1, 1, 1, 3, 20, 700}).Draw(t, "n")
				v, w := value.Draw(t, "value"), value.Draw(t, "other")
				step := time.Duration(rapid.IntRange(0, 150).Draw(t, "step")) * time.Millisecond
				for i := range n {
					now = now.Add(step)
					sample := Sample{At: now, Value: v, HasValue: i%5 != 4, OK: i%3 != 2}
					if i%2 == 1 {
						sample.Value = w * float64(i)
					}
					s.Add(sample)
					oracle.samples = append(oracle.samples, sample.tidy())
				}
			},
			"phase": func(*rapid.T) {
				s.StartPhase(now)
				phase = now
			},
			"baseline": func(t *rapid.T) {
				from := now.Add(-time.Duration(rapid.IntRange(0, 5000).Draw(t, "length")) * time.Millisecond)
				s.MarkBaseline(from, now)
				baseline, baselineEnd = oracle.in(from, now, false), now
			},
			"": func(t *rapid.T) {
				if len(oracle.samples) == 0 {
					return
				}
				at := now.Add(time.Duration(rapid.IntRange(-200, 250).Draw(t, "at")) * time.Millisecond)
				newest := oracle.samples[len(oracle.samples)-1].At
				if at.Sub(newest) > s.sampling.Staleness() {
					return
				}
				for _, length := range lengths {
					compare(t, s, Range{Length: length}, at, oracle.in(at.Add(-length), at, true))
				}
				compare(t, s, Range{}, at, oracle.in(phase, at, false))
				if !baselineEnd.IsZero() {
					compare(t, s, Range{Baseline: true}, at, baseline)
					compare(t, s, Range{Baseline: true, Length: time.Second}, at, naive{baseline}.in(baselineEnd.Add(-time.Second), baselineEnd, true))
				}
			},
		})
	})
}

// A Series forgets its oldest samples and stays right about the others.
func TestMemoryIsBounded(t *testing.T) {
	s := NewSeries(spec{unit: Number}, MinEvery)
	now := s.began
	total := 2*MaxSamples + 1000
	for i := range total {
		now = now.Add(MinEvery)
		s.Add(Sample{At: now, Value: float64(i), HasValue: true, OK: true})
		if i%50_000 == 0 {
			if _, err := s.Quantile(0.5, Range{}, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if held := len(s.live.held); held < MaxSamples || held > MaxSamples+MaxSamples/8 {
		t.Errorf("%d samples are held", held)
	}
	if n := len(s.Recent(1 << 30)); n != maxRecent {
		t.Errorf("Recent keeps %d samples", n)
	}
	newest := s.Recent(3)
	if newest[2].Value != float64(total-1) || newest[0].Value != float64(total-3) {
		t.Errorf("the newest three are %v", newest)
	}
	got, err := s.Min(Range{Length: 1000 * MinEvery}, now)
	if want := float64(total - 1000); err != nil || got != want {
		t.Errorf("min of the last 1000 = %v, %v; want %v", got, err, want)
	}
	whole, err := s.Count(Range{}, now)
	if err != nil || int(whole) != len(s.live.held) {
		t.Errorf("count = %v, %v; want what is held, %d", whole, err, len(s.live.held))
	}
}

func TestMissingData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSeries(spec{unit: Latency, timeout: 500 * time.Millisecond}, time.Second)
		ask := func(r Range) (string, bool) {
			_, err := s.Quantile(0.99, r, time.Now())
			missing, ok := errors.AsType[*NoDataError](err)
			if !ok {
				t.Fatalf("got %v, want a NoDataError", err)
			}
			return missing.Reason, missing.Early
		}
		expect := func(r Range, text string, early bool) {
			t.Helper()
			if reason, isEarly := ask(r); !strings.Contains(reason, text) || isEarly != early {
				t.Errorf("%v: %q, early %v; want %q, early %v", r, reason, isEarly, text, early)
			}
		}
		fiveSeconds := Range{Length: 5 * time.Second}
		expect(fiveSeconds, "no sample yet", true)
		expect(Range{Baseline: true}, "no baseline yet", false)
		time.Sleep(s.sampling.Staleness() + 1)
		expect(fiveSeconds, "no sample yet", false)

		s.Add(Sample{At: time.Now(), Err: "connection refused"})
		expect(fiveSeconds, "none has a value: connection refused", false)
		if _, err := s.Last(Range{}, time.Now()); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Last of a sample without a value: %v", err)
		}
		if ratio, err := s.OKRatio(fiveSeconds, time.Now()); err != nil || ratio != 0 {
			t.Errorf("okRatio of a failed sample: %v, %v", ratio, err)
		}

		s.Add(Sample{At: time.Now(), Value: 0.1, HasValue: true, OK: true})
		time.Sleep(time.Second)
		s.StartPhase(time.Now())
		expect(Range{}, "no sample in this phase", true)
		if _, err := s.Quantile(0.99, fiveSeconds, time.Now()); err != nil {
			t.Errorf("a window with a length reaches back over the phase: %v", err)
		}
		time.Sleep(1500 * time.Millisecond) // 2.5 s after the sample: still fresh
		if _, err := s.Quantile(0.99, fiveSeconds, time.Now()); err != nil {
			t.Errorf("at the staleness limit: %v", err)
		}
		time.Sleep(time.Nanosecond)
		expect(fiveSeconds, "is stale", false)
		if age, err := s.Age(time.Now()); err != nil || age != 2500*time.Millisecond+1 {
			t.Errorf("age = %v, %v", age, err)
		}
		if at := s.StaleAt(); time.Since(at) != 1 {
			t.Errorf("StaleAt was %v ago", time.Since(at))
		}
	})
}

func TestNaNAndInfinityAreMissing(t *testing.T) {
	for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s := NewSeries(spec{unit: Number}, time.Second)
		s.Add(Sample{At: time.Now(), Value: value, HasValue: true, OK: true})
		_, err := s.Last(Range{}, time.Now())
		if _, missing := errors.AsType[*NoDataError](err); !missing {
			t.Errorf("Last of %v: %v", value, err)
		}
		if kept := s.Recent(1)[0]; kept.HasValue || kept.OK || kept.Err == "" {
			t.Errorf("%v was kept as %+v", value, kept)
		}
	}
}

// A mean is right where the sum of the values overflows.
func TestMeanOfHugeValues(t *testing.T) {
	if got := mean([]float64{math.MaxFloat64, math.MaxFloat64}); got != math.MaxFloat64 {
		t.Errorf("mean = %v", got)
	}
}

func TestErrorsCannotSteerATerminal(t *testing.T) {
	sample := Sample{Err: "\x1b[2Jgone\r\n\u202eevil\u0000" + strings.Repeat("é", 10_000)}.tidy()
	if strings.ContainsAny(sample.Err, "\x1b\r\n\x00\u202e") || len([]rune(sample.Err)) > maxErr {
		t.Errorf("%q", sample.Err)
	}
}

func TestSampling(t *testing.T) {
	tests := []struct {
		timeout, every time.Duration
		want           time.Duration
		err            string
	}{
		{0, time.Second, time.Second, ""},
		{0, time.Minute, 5 * time.Second, ""},
		{time.Second, time.Second, time.Second, ""},
		{10 * time.Second, time.Minute, 10 * time.Second, ""},
		{2 * time.Second, 200 * time.Millisecond, 200 * time.Millisecond, "longer than the sampling interval"},
		{0, time.Millisecond, MinEvery, "shorter than the shortest"},
	}
	for _, test := range tests {
		got, err := SamplingOf(spec{timeout: test.timeout}, test.every)
		if got.Timeout != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("SamplingOf(%v, %v) = %v, %v", test.timeout, test.every, got, err)
		}
	}
	sampling := Sampling{Every: time.Second, Timeout: 500 * time.Millisecond}
	for length, good := range map[time.Duration]bool{
		0: true, time.Second: false, 1500 * time.Millisecond: true, MaxSamples * time.Second: true, (MaxSamples + 1) * time.Second: false,
	} {
		if err := sampling.Check(Range{Length: length}); (err == nil) != good {
			t.Errorf("window of %v: %v", length, err)
		}
	}
}

func TestSummary(t *testing.T) {
	s := NewSeries(spec{unit: Number}, time.Second)
	start := s.began
	for i := range 100 {
		s.Add(Sample{At: start.Add(time.Duration(i) * time.Second), Value: float64(i + 1), HasValue: i != 0, OK: i%4 != 0})
	}
	got := s.Summary(start, start.Add(99*time.Second))
	if got.Count != 100 || *got.OKRatio != 0.75 || *got.Min != 2 || *got.Max != 100 || *got.P50 != 51 || *got.P99 != 100 || *got.Mean != 51 {
		t.Errorf("summary: %+v", got)
	}
	if none := s.Summary(start.Add(-time.Hour), start.Add(-time.Minute)); none.Count != 0 || none.OKRatio != nil || none.P99 != nil {
		t.Errorf("summary of nothing: %+v", none)
	}
	if failed := s.Summary(start, start); failed.Count != 1 || failed.Mean != nil {
		t.Errorf("summary of a sample without a value: %+v", failed)
	}
}

// BenchmarkAdd is what one sample costs with three full windows of 10,000.
func BenchmarkAdd(b *testing.B) {
	s := NewSeries(spec{unit: Latency}, 10*time.Millisecond)
	now := s.began
	add := func(i int) {
		now = now.Add(10 * time.Millisecond)
		s.Add(Sample{At: now, Value: float64(i*7919%100_003) / 1e5, HasValue: true, OK: true})
	}
	for i := range 20_000 {
		add(i)
	}
	ranges := []Range{{Length: 100 * time.Second}, {Length: 90 * time.Second}, {Length: 80 * time.Second}}
	for i := 0; b.Loop(); i++ {
		add(i)
		for _, r := range ranges {
			if _, err := s.Quantile(0.99, r, now); err != nil {
				b.Fatal(err)
			}
		}
	}
}
