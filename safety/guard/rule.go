package guard

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"

	"github.com/squallhq/squall/safety/sli"
)

// Rule is a compiled rule. It holds no state, and may be evaluated from any
// goroutine.
type Rule struct {
	text       string
	compiler   *Compiler
	program    cel.Program
	slis       []string
	windows    []Window
	thresholds []Threshold
	timed      bool // its answer can change with nothing but time
}

// Window is a window that a rule reads.
type Window struct {
	SLI   string
	Range sli.Range
}

// Threshold is a bound that a rule sets to one figure of an SLI, for a picture.
type Threshold struct {
	SLI string
	// Call is the figure as the rule writes it: "checkout.p99(5s)".
	Call string
	// Operator stands between the figure and the bound: <, <=, > or >=.
	Operator string
	// Bound is in the figure's unit: seconds for a duration.
	Bound float64
	// OfValues says that the figure is one of the SLI's values (or their mean), so
	// that the bound can be drawn among them. A ratio or a count is not.
	OfValues bool
}

// Expr is the rule as it was written.
func (r *Rule) Expr() string { return r.text }

// SLIs are the names of the SLIs that the rule reads, sorted.
func (r *Rule) SLIs() []string { return slices.Clone(r.slis) }

// Windows are the windows that the rule reads, each once.
func (r *Rule) Windows() []Window { return slices.Clone(r.windows) }

// Thresholds are the constant bounds that the rule sets to figures of SLIs, in the
// order of the text.
func (r *Rule) Thresholds() []Threshold { return slices.Clone(r.thresholds) }

// Register prepares the windows that the rule reads, in the series of its SLIs. It
// is an error where a window does not suit an SLI's sampling.
func (r *Rule) Register(series map[string]*sli.Series) error {
	var errs []error
	for _, w := range r.windows {
		s := series[w.SLI]
		if s == nil {
			errs = append(errs, fmt.Errorf("cannot prepare a window of %q: it is not sampled", w.SLI))
			continue
		}
		if err := s.Register(w.Range); err != nil {
			errs = append(errs, fmt.Errorf("cannot use %q in %s: %w", w.SLI, r.text, err))
		}
	}
	return errors.Join(errs...)
}
