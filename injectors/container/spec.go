package container

import (
	"time"

	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

// Spec says what happens to a container. Exactly one of its fields is given.
type Spec struct {
	Kill    Signal `yaml:"kill" doc:"Sends this signal to the container's first process, by name or number. Undo starts the container where that ended it, and sends SIGCONT after a SIGSTOP." example:"SIGKILL"`
	Stop    *Grace `yaml:"stop" doc:"Stops the container: its stop signal, and SIGKILL once this much time has passed. Undo starts it." example:"10s"`
	Pause   bool   `yaml:"pause" doc:"Freezes all its processes. Undo thaws them." example:"true"`
	Restart *Grace `yaml:"restart" doc:"Stops the container as stop does, and starts it. Undo waits until it is up." example:"10s"`
	Remove  bool   `yaml:"remove" doc:"Kills and removes the container. That can't be undone: the fault needs allowIrreversible." example:"true"`
}

// Grace is the time that a container has to end by itself.
type Grace struct {
	Timeout quantity.Duration `yaml:"timeout,shorthand" default:"10s" doc:"The time between the stop signal and SIGKILL, in whole seconds." example:"10s"`
}

// maxGrace bounds how long one step can take to be applied.
const maxGrace = 20 * time.Second

// Check demands exactly one action.
func (s *Spec) Check(at strict.Value) (problems strict.Problems) {
	const hint = "write one of `kill: SIGKILL`, `stop: 10s`, `pause: true`, `restart: 10s` and `remove: true`"
	keys := at.Keys()
	if len(keys) == 0 {
		return strict.Problems{at.Problemf("the fault does not say what happens to the container").WithHint(hint)}
	}
	for _, extra := range keys[1:] {
		problems = append(problems, extra.Problemf("a container fault does one thing, not several").
			WithHint("write a second fault for it"))
	}
	for key, on := range map[string]bool{"pause": s.Pause, "remove": s.Remove} {
		if at.Has(key) && !on {
			problems = append(problems, at.Field(key).Problemf("`%s` can only be true", key).WithHint(hint))
		}
	}
	for key, grace := range map[string]*Grace{"stop": s.Stop, "restart": s.Restart} {
		if grace != nil && grace.Timeout.D() > maxGrace {
			problems = append(problems, at.Field(key).Problemf("%s is longer than the most that a stop may take, %s", grace.Timeout, maxGrace).
				WithHint("write a shorter time"))
		}
	}
	return problems.Sorted()
}
