package report

import (
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/safety/sli"
)

// window is an SLI over one phase; its Summary is nil where there was none.
type window struct {
	Name string
	*sli.Summary
}

func windows(s engine.SLIResult) []window {
	return []window{{"baseline", s.Baseline}, {"fault", s.Fault}, {"recovery", s.Recovery}}
}
