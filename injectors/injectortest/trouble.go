package injectortest

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
)

// interrupted reverts after applies whose context ended at several moments, the
// first of them before apply began.
func interrupted(t *testing.T, first *trial) {
	for i, after := range []time.Duration{0, 200 * time.Microsecond, 2 * time.Millisecond, 20 * time.Millisecond} {
		f := first
		if i > 0 {
			f = begin(t, first.Suite)
		}
		ctx, cancel := context.WithTimeout(t.Context(), after)
		f.in = true
		err := f.registry().Apply(ctx, f.step.Record) // it may as well have been in time
		cancel()
		f.revert(t)
		if f.Irreversible {
			continue
		}
		f.gone(t, "after an apply that was cut short at "+after.String())
		// What a dead request still does in the background is to be found by now.
		time.Sleep(100 * time.Millisecond)
		f.gone(t, "a moment after an apply that was cut short at "+after.String())
		if err != nil {
			t.Logf("cut short at %s: %v", after, err)
		}
	}
}

func revertTogether(t *testing.T, f *trial) {
	f.apply(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var together sync.WaitGroup
	for range 8 {
		together.Go(func() {
			if err := f.registry().Revert(ctx, f.step.Record); err != nil {
				t.Errorf("revert beside others: %v", err)
			}
		})
	}
	together.Wait()
	f.gone(t, "after eight reverts at once")
}

func goneBefore(t *testing.T, f *trial) {
	f.Destroy(t, f.target)
	if err := f.tryApply(t); err == nil {
		t.Error("apply succeeded without a target")
	}
	f.revert(t)
	f.absent(t)
}

func goneAfter(t *testing.T, f *trial) {
	f.apply(t)
	f.Destroy(t, f.target)
	f.revert(t)
	f.absent(t)
	f.revert(t)
}

// absent checks that verify does not see the effect on a target that is gone. That
// it can't look is a fair answer too.
func (f *trial) absent(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if status, err := f.registry().Verify(ctx, f.step.Record); err == nil && status.Presence == injectors.Present {
		t.Errorf("the target is gone, but the effect is there: %s", status.Detail)
	}
}

// foreign checks that neither verb touches what squall did not make.
func foreign(t *testing.T, f *trial) {
	f.Foreign(t, f.target)
	before := f.Observe(t, f.target)
	if err := f.tryApply(t); err == nil {
		t.Error("apply succeeded where something foreign was")
	}
	if status := f.verify(t); status.Presence == injectors.Present {
		t.Errorf("what is foreign was taken for ours: %s", status.Detail)
	}
	f.revert(t)
	if now := f.Observe(t, f.target); now != before {
		t.Errorf("what is foreign was touched.\nbefore: %s\nnow:    %s", before, now)
	}
}

// leaks checks that goroutines and file descriptors don't grow with the number of
// faults.
func leaks(t *testing.T, f *trial) {
	cycle := func(f *trial) {
		f.apply(t)
		f.verify(t)
		f.revert(t)
	}
	cycle(f) // connections and caches may stay
	const cycles = 4
	trials := make([]*trial, cycles)
	for i := range trials {
		trials[i] = begin(t, f.Suite)
	}
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for _, f := range trials {
		cycle(f)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		moreGoroutines, moreDescriptors := runtime.NumGoroutine()-goroutines, openDescriptors(t)-descriptors
		switch {
		case moreGoroutines < cycles && moreDescriptors < cycles:
			return
		case time.Now().After(end):
			t.Fatalf("after %d faults there are %d goroutines and %d file descriptors more than before", cycles, moreGoroutines, moreDescriptors)
		}
	}
}

// openDescriptors counts this process's open files, 0 where that can't be seen.
func openDescriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
