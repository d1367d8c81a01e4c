package guard

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/squallhq/squall/safety/sli"
)

// watched is a Watch over one SLI that a test feeds.
type watched struct {
	*Watch
	w     *world
	start time.Time
}

func newWatched(t *testing.T, expr string, hold time.Duration, policy NoDataPolicy) *watched {
	w := &world{series: map[string]*sli.Series{"errors": sli.NewSeries(spec{unit: sli.Number}, time.Second)}}
	return &watched{Watch: NewWatch(compile(t, expr), hold, policy), w: w, start: time.Now()}
}

func (w *watched) add(value float64) {
	w.w.series["errors"].Add(sli.Sample{At: time.Now(), Value: value, HasValue: true, OK: true})
}

// wait checks at every Next until the rule fires or the time is over, and returns
// when it fired.
func (w *watched) wait(t *testing.T, most time.Duration) (fired time.Duration, verdict Verdict) {
	t.Helper()
	end := time.Now().Add(most)
	for !time.Now().After(end) {
		verdict = w.Check(w.w, time.Now())
		if verdict.Fire {
			return time.Since(w.start), verdict
		}
		if !w.Next().After(time.Now()) || w.Next().After(time.Now().Add(heartbeat)) {
			t.Fatalf("Next is in %v", time.Until(w.Next()))
		}
		time.Sleep(time.Until(w.Next()))
	}
	return -1, verdict
}

func TestWatchFiresAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, "errors.last() > 0.5", 0, "")
		w.add(0.1)
		if v := w.Check(w.w, time.Now()); v.Fire || !v.Since.IsZero() {
			t.Errorf("%+v", v)
		}
		w.add(0.9)
		if v := w.Check(w.w, time.Now()); !v.Fire || !v.Since.Equal(time.Now()) || v.Outcome.Value != "errors.last() = 0.9" {
			t.Errorf("%+v", v)
		}
	})
}

// With a `for`, the rule fires exactly when its time is over, with no sample to
// prompt it, and begins anew when it was false in between.
func TestWatchFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, "errors.last() > 0.5", 1500*time.Millisecond, NoDataAbort)
		w.add(0.9)
		if v := w.Check(w.w, time.Now()); v.Fire {
			t.Errorf("fired at once: %+v", v)
		}
		time.Sleep(time.Second)
		w.add(0.1)
		if v := w.Check(w.w, time.Now()); v.Fire || !v.Since.IsZero() {
			t.Errorf("%+v", v)
		}
		w.add(0.9)
		since := time.Now()
		fired, v := w.wait(t, time.Minute)
		if fired != 2500*time.Millisecond || !v.Since.Equal(since) {
			t.Errorf("fired after %v, true since %v before", fired, time.Since(v.Since))
		}
	})
}

// Samples that stop coming are noticed the moment they are stale.
func TestWatchNoData(t *testing.T) {
	tests := []struct {
		policy NoDataPolicy
		value  float64
		hold   time.Duration
		fires  time.Duration // -1: never
	}{
		{NoDataAbort, 0.1, 0, 3*time.Second + 1},
		{NoDataAbort, 0.1, time.Second, 4*time.Second + 1},
		{NoDataHold, 0.1, 0, -1},
		{NoDataHold, 0.9, 5 * time.Second, 5 * time.Second}, // it was true, and stays so
		{NoDataIgnore, 0.1, 0, -1},
		{NoDataIgnore, 0.9, 5 * time.Second, -1}, // it was true, but that does not count any more
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t, "errors.last() > 0.5", test.hold, test.policy)
			w.add(test.value)
			fired, v := w.wait(t, time.Minute)
			if fired != test.fires {
				t.Errorf("%s, %v, for %v: fired after %v, want %v (%+v)", test.policy, test.value, test.hold, fired, test.fires, v)
			}
		})
	}
}

// A phase that only just began is not missing data; one that stays empty is.
func TestWatchEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, "errors.mean() > 0.5", 0, NoDataAbort)
		time.Sleep(time.Second)
		w.add(0.1)
		w.w.series["errors"].StartPhase(time.Now().Add(time.Nanosecond))
		time.Sleep(time.Nanosecond)
		if v := w.Check(w.w, time.Now()); v.Fire || !v.Outcome.Early || len(v.Outcome.NoData) != 1 {
			t.Errorf("%+v", v)
		}
		if fired, v := w.wait(t, time.Minute); fired != 4*time.Second+1 {
			t.Errorf("fired after %v: %+v", fired, v)
		}
	})
	synctest.Test(t, func(t *testing.T) { // there never was a sample
		w := newWatched(t, "errors.mean() > 0.5", 0, NoDataAbort)
		if fired, v := w.wait(t, time.Minute); fired != 3*time.Second+1 {
			t.Errorf("fired after %v: %+v", fired, v)
		}
	})
}

// A rule about time is checked although no sample comes.
func TestWatchElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, `elapsed >= duration("300ms")`, 0, "")
		clock := &ticking{w.w, time.Now()}
		for !w.Check(clock, time.Now()).Fire {
			time.Sleep(time.Until(w.Next()))
		}
		if late := time.Since(w.start); late != 300*time.Millisecond {
			t.Errorf("fired after %v", late)
		}
	})
}

type ticking struct {
	*world
	start time.Time
}

func (t *ticking) Elapsed() time.Duration { return time.Since(t.start) }

// An error that is not about data aborts like missing data: a rule that can't be
// answered must not be taken for one that is false.
func TestWatchError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, "1.0 / errors.last() > 2.0", 0, NoDataAbort)
		w.add(0)
		if v := w.Check(w.w, time.Now()); !v.Fire || v.Outcome.Err == nil {
			t.Errorf("%+v", v)
		}
	})
}
