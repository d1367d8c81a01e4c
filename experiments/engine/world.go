package engine

import (
	"time"

	"github.com/squallhq/squall/safety/guard"
	"github.com/squallhq/squall/safety/sli"
)

// world is what rules see of a run.
type world struct{ r *Run }

func (r *Run) world() guard.World { return world{r} }

func (w world) Series(name string) *sli.Series { return w.r.series[name] }

func (w world) Phase() string {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	return string(w.r.phase)
}

func (w world) Elapsed() time.Duration {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if w.r.began.IsZero() {
		return 0
	}
	return time.Since(w.r.began)
}

func (w world) FaultActive(name string) bool {
	for _, s := range w.r.steps {
		if s.Fault.Name == name && s.active() {
			return true
		}
	}
	return false
}

func (w world) Targets(name string) []string {
	var names []string
	for _, t := range w.r.plan.selection(name).Picked {
		names = append(names, t.Name)
	}
	return names
}
