package guard

import (
	"testing"
	"time"

	"github.com/squallhq/squall/internal/strict"
)

// Whatever a rule is, compiling it yields a rule or problems, and a rule can be
// evaluated.
func FuzzCompile(f *testing.F) {
	for _, rule := range rules {
		f.Add(rule)
	}
	for _, rule := range []string{
		`targets.payments.exists(t, t.endsWith("-2"))`, `[1, 2].all(x, errors.count("10s") > x)`,
		`elapsed > duration("1s") ? phase == "faults" : !fault("slow").active()`,
		`checkout.p99("5s"`, `checkout.p99("5s") > 5%`, `my-sli.last() > 1`, `{"a": errors}["a"].last() > 1.0`,
		`dyn(errors).last() > 1`, `errors.quantile(dyn(1)) > 1.0`, `type(errors) == type(orders)`, `duration(phase) > elapsed`,
		`fault(fault("slow")).active()`, `has(targets.db) && size(targets) > 1`, "\"\"\"\n\n\"\"\" == phase",
	} {
		f.Add(rule)
	}
	w, now := newWorld()
	c := NewCompiler(known)
	f.Fuzz(func(t *testing.T, expr string) {
		// A rule that hangs hangs the run that it guards: the limit is far above what
		// any rule needs.
		limit := time.AfterFunc(20*time.Second, func() { panic("the rule takes too long: " + expr) })
		defer limit.Stop()
		rule, problems := c.Compile(strict.Text{Value: expr})
		if (rule == nil) != (len(problems) > 0) {
			t.Fatalf("a rule %v, problems %v", rule, problems)
		}
		for _, p := range problems {
			if p.Message == "" {
				t.Error("a problem without words")
			}
		}
		if rule == nil {
			return
		}
		outcome := rule.Eval(w, now)
		if outcome.True && !outcome.Known() {
			t.Errorf("true and unknown at once: %+v", outcome)
		}
	})
}
