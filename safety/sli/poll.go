package sli

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Poll samples until ctx is done, and adds each sample to series; notify is called
// after each, and must return at once. Attempts are due at whole multiples of the
// interval after the first, however long each takes, and there is never more than
// one at a time: those that were due meanwhile are counted as missed. An attempt
// that ctx cuts short is no sample. Poll closes a Sampler that is an io.Closer, and
// leaves no goroutine behind.
func Poll(ctx context.Context, sampler Sampler, series *Series, notify func()) {
	if closer, ok := sampler.(io.Closer); ok {
		defer func() { _ = closer.Close() }() // only frees connections: nothing to do about it
	}
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for tick := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		sample := attempt(ctx, sampler, series.sampling.Timeout)
		if ctx.Err() != nil {
			return
		}
		series.Add(sample)
		notify()
		next := int(time.Since(start)/series.sampling.Every) + 1
		series.addMissed(next - tick - 1)
		tick = next
		timer.Reset(time.Until(start.Add(time.Duration(tick) * series.sampling.Every)))
	}
}

// attempt takes one sample. A Sampler that panics has failed.
func attempt(ctx context.Context, sampler Sampler, timeout time.Duration) (sample Sample) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	defer func() {
		if problem := recover(); problem != nil {
			sample = failed("the sampler panicked: %s", fmt.Sprint(problem))
		}
		sample.At = time.Now()
		sample.Took = sample.At.Sub(start)
	}()
	return sampler.Sample(ctx)
}

// timedOut is the sample of a latency SLI whose attempt began at start and ran into
// its deadline: the service took at least that long.
func timedOut(ctx context.Context, start time.Time) Sample {
	took := time.Since(start)
	if deadline, ok := ctx.Deadline(); ok {
		// Rounded, because start was read a little after the deadline was set: what
		// counts is the timeout as the document has it.
		took = deadline.Sub(start).Round(time.Millisecond)
	}
	return Sample{
		Value:    took.Seconds(),
		HasValue: true,
		Err:      fmt.Sprintf("no answer within %s", took),
	}
}
