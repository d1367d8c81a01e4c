package engine

import (
	"context"
	"sync"
	"time"

	"github.com/squallhq/squall/safety/sli"
)

// PreviewGuards samples every SLI once and asks every rule with that one sample. It
// is what plan shows: whether the SLIs can be sampled at all, and if not why, and
// whether the rules are anywhere near the truth. It changes nothing.
func PreviewGuards(ctx context.Context, host Host, plan *Plan) (results []GuardResult, notes []string) {
	r := NewRun(host, plan, nil)
	samplers, err := r.openSLIs()
	if err != nil {
		results = r.guards.results()
		for i := range results {
			results[i].Result, results[i].Value = "error", err.Error()
		}
		return results, nil
	}
	r.start()
	var sampling sync.WaitGroup
	for name, sampler := range samplers {
		sampling.Go(func() {
			once, stop := context.WithCancel(ctx)
			defer stop()
			sli.Poll(once, sampler, r.series[name], stop)
		})
	}
	sampling.Wait()
	now := time.Now()
	for _, series := range r.series {
		series.MarkBaseline(r.started, now)
	}
	for _, ruling := range r.guards.rules {
		r.guards.record(ruling, ruling.rule.Eval(r.world(), now))
	}
	r.noteFailures()
	return r.guards.results(), r.notes
}
