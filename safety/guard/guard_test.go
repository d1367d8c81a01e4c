package guard

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/strict"
	"github.com/squallhq/squall/safety/sli"
)

// spec is an SLI whose samples a test makes itself.
type spec struct {
	unit    sli.Unit
	timeout time.Duration
}

func (s spec) Unit() sli.Unit         { return s.unit }
func (s spec) Timeout() time.Duration { return s.timeout }
func (s spec) Open(sli.Env) (sli.Sampler, error) {
	return nil, fmt.Errorf("a test's SLI has no sampler")
}

// world is a run as a test wants it.
type world struct {
	series  map[string]*sli.Series
	elapsed time.Duration
	phase   string
	active  map[string]bool
	targets map[string][]string
}

func (w *world) Series(name string) *sli.Series { return w.series[name] }
func (w *world) Elapsed() time.Duration         { return w.elapsed }
func (w *world) Phase() string                  { return w.phase }
func (w *world) FaultActive(name string) bool   { return w.active[name] }
func (w *world) Targets(name string) []string   { return w.targets[name] }

var known = Env{
	SLIs:    map[string]sli.Unit{"checkout": sli.Latency, "errors": sli.Number, "orders": sli.Number, "quiet": sli.Latency, "my-sli": sli.Number},
	Faults:  []string{"slow", "kill"},
	Targets: []string{"payments", "db"},
	Sampling: map[string]sli.Sampling{
		"checkout": {Every: time.Second, Timeout: time.Second},
	},
}

// text is a rule as it stands in a document.
func text(t testing.TB, expr string) strict.Text {
	t.Helper()
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(expr)
	documents, problems := strict.Parse("rules.yaml", fmt.Appendf(nil, "if: \"%s\"\n", quoted))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	at := documents[0].Field("if")
	value, _ := at.Scalar()
	return strict.Text{Value: value, At: at}
}

func compile(t testing.TB, expr string) *Rule {
	t.Helper()
	rule, problems := NewCompiler(known).Compile(text(t, expr))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return rule
}

// newWorld is a run 20 s into its second phase, sampled each second: checkout's
// latency is i ms in the phase and 100 ms in the baseline before it, errors is i/100,
// orders counts 5 a second, and every fourth sample of the phase isn't ok.
func newWorld() (w *world, now time.Time) {
	w = &world{
		series:  map[string]*sli.Series{},
		elapsed: 20 * time.Second,
		phase:   "faults",
		active:  map[string]bool{"slow": true},
		targets: map[string][]string{"payments": {"payments-1", "payments-2"}},
	}
	for name, unit := range known.SLIs {
		w.series[name] = sli.NewSeries(spec{unit: unit}, time.Second)
	}
	start := time.Now()
	add := func(at time.Time, latency, errors, orders float64, ok bool) {
		w.series["checkout"].Add(sli.Sample{At: at, Value: latency, HasValue: true, OK: ok})
		w.series["errors"].Add(sli.Sample{At: at, Value: errors, HasValue: true, OK: ok})
		w.series["orders"].Add(sli.Sample{At: at, Value: orders, HasValue: true, OK: ok})
	}
	for i := range 10 {
		add(start.Add(time.Duration(i)*time.Second), 0.1, 0, float64(i), true)
	}
	begin := start.Add(9500 * time.Millisecond)
	for _, s := range w.series {
		s.MarkBaseline(start, begin)
		s.StartPhase(begin)
	}
	for i := 1; i <= 20; i++ {
		now = start.Add(time.Duration(9+i) * time.Second)
		add(now, float64(i)/1000, float64(i)/100, float64(9+5*i), i%4 != 0)
	}
	return w, now
}

func TestEval(t *testing.T) {
	w, now := newWorld()
	tests := []struct {
		expr  string
		want  bool
		value string
	}{
		{`checkout.last() == duration("20ms")`, true, "checkout.last() = 20ms"},
		{`checkout.p99("5s") > duration("19ms")`, true, "checkout.p99(5s) = 20ms"},
		{`checkout.p50(duration("10s")) == duration("15ms")`, true, "checkout.p50(10s) = 15ms"},
		{`checkout.p90() == duration("18ms")`, true, "checkout.p90() = 18ms"},
		{`checkout.p95() == duration("19ms") && checkout.min() == duration("1ms")`, true, "checkout.p95() = 19ms, checkout.min() = 1ms"},
		{`checkout.max("25s") == duration("100ms")`, true, "checkout.max(25s) = 100ms"}, // literally 25 s, back into the baseline
		{`checkout.mean() == duration("10.5ms")`, true, "checkout.mean() = 10.5ms"},
		{`checkout.quantile(0.25) == duration("5ms")`, true, "checkout.quantile(0.25) = 5ms"},
		{`checkout.quantile(1.0, "3s") == duration("20ms")`, true, "checkout.quantile(1, 3s) = 20ms"},
		{`checkout.count("4s") == 4.0 && checkout.count("4s") > 3`, true, "checkout.count(4s) = 4"},
		{`checkout.count() == 20.0`, true, "checkout.count() = 20"},
		{`checkout.okRatio("4s") == 0.75`, true, "checkout.okRatio(4s) = 0.75"},
		{`checkout.burn(0.75) == 1.0`, true, "checkout.burn(0.75) = 1"},
		{`checkout.age() == duration("0s")`, true, "checkout.age() = 0s"},
		{`errors.last() > 0.05`, true, "errors.last() = 0.2"},
		{`errors.last() > 1`, false, "errors.last() = 0.2"},
		{`orders.rate("10s") == 5.0`, true, "orders.rate(10s) = 5"},
		{`orders.baseline().rate() == 1.0`, true, "orders.baseline().rate() = 1"},
		{`checkout.baseline().p99() == duration("100ms")`, true, "checkout.baseline().p99() = 100ms"},
		{`checkout.baseline().count("3s") == 3.0`, true, "checkout.baseline().count(3s) = 3"},
		{`checkout.p99() < 2.0 * checkout.baseline().p99()`, true, "checkout.p99() = 20ms, checkout.baseline().p99() = 100ms"},
		{`checkout.p99() * 10 == 2 * checkout.baseline().p99()`, true, "checkout.p99() = 20ms, checkout.baseline().p99() = 100ms"},
		{`checkout.baseline().p99() / checkout.p99() == 5.0`, true, "checkout.baseline().p99() = 100ms, checkout.p99() = 20ms"},
		{`checkout.p99() / 2 + checkout.p99() / 2.0 - duration("20ms") == duration("0s")`, true, "checkout.p99() = 20ms"},
		{`elapsed > duration("10s") && phase == "faults"`, true, ""},
		{`fault("slow").active() && !fault("kill").active()`, true, ""},
		{`targets.payments.size() == 2 && targets.payments.exists(t, t.endsWith("-2")) && size(targets["db"]) == 0`, true, ""},
		{`2 * 3 == 6 && 7 / 2 == 3 && 1.5 * 2.0 == 3.0 && 2u * 3u == 6u`, true, ""},
		{`checkout.last() > duration("500ms") && errors.last() > 0.0`, false, "checkout.last() = 20ms"}, // && needs no more
	}
	for _, test := range tests {
		got := compile(t, test.expr).Eval(w, now)
		if got.True != test.want || !got.Known() || got.Value != test.value {
			t.Errorf("%s: %+v; want %v, %q", test.expr, got, test.want, test.value)
		}
	}
}

// Missing data is an answer of its own, and && and || pass it on as CEL has it.
func TestMissingData(t *testing.T) {
	w, now := newWorld()
	now = now.Add(2 * time.Second) // within the staleness limit
	w.series["my-sli"] = nil
	noData := func(o Outcome) bool { return len(o.NoData) == 1 && !o.True && o.Err == nil }
	isTrue := func(o Outcome) bool { return o.Known() && o.True }
	isFalse := func(o Outcome) bool { return o.Known() && !o.True }
	quiet := `quiet.p99("10s") > duration("1s")`
	tests := []struct {
		expr string
		is   func(Outcome) bool
	}{
		{quiet, noData},
		{`!(` + quiet + `)`, noData},
		{quiet + ` || errors.last() > 0.0`, isTrue},
		{`errors.last() > 0.0 || ` + quiet, isTrue},
		{quiet + ` || errors.last() > 1.0`, noData},
		{quiet + ` && errors.last() > 1.0`, isFalse},
		{quiet + ` && errors.last() > 0.0`, noData},
		{quiet + ` ? true : false`, noData},
		{`[1, 2].all(x, quiet.count("10s") > x)`, noData},
		{`quiet.age() > duration("1h")`, noData},
		{`quiet.baseline().p99() > duration("1h")`, noData},
		{`quiet.rate() > 1.0 || true`, nil}, // refused: a latency has no rate
		{`errors.last() / errors.baseline().mean() > 2.0`, func(o Outcome) bool { return o.Err != nil && strings.Contains(o.Err.Error(), "division by zero") }},
		{`checkout.quantile(errors.last() * 100.0) > duration("1s")`, func(o Outcome) bool { return o.Err != nil && strings.Contains(o.Err.Error(), "quantile 20 is not") }},
		{`errors.last() * 1e308 * 1e308 > 1.0`, func(o Outcome) bool { return o.Err != nil }},
		{`checkout.last() * 1e300 > duration("1s")`, func(o Outcome) bool { return o.Err != nil }},
		{`errors.last() / 0.0 > 1.0`, func(o Outcome) bool { return o.Err != nil }},
	}
	for _, test := range tests {
		rule, problems := NewCompiler(known).Compile(text(t, test.expr))
		if test.is == nil {
			if len(problems) == 0 {
				t.Errorf("%s: compiled", test.expr)
			}
			continue
		}
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		if got := rule.Eval(w, now); !test.is(got) {
			t.Errorf("%s: %+v", test.expr, got)
		}
	}

	stale := now.Add(time.Minute)
	for _, expr := range []string{`checkout.count("1h") > 0`, `errors.last() >= 0.0`, `checkout.p99() > duration("0s")`} {
		if got := compile(t, expr).Eval(w, stale); len(got.NoData) != 1 || !strings.Contains(got.NoData[0], "stale") || got.Early {
			t.Errorf("stale, %s: %+v", expr, got)
		}
	}
	if got := compile(t, `checkout.age() > duration("30s")`).Eval(w, stale); !got.True {
		t.Errorf("a stale SLI has an age: %+v", got)
	}
	w.series["errors"].Add(sli.Sample{At: now, Value: math.NaN(), HasValue: true, OK: true})
	if got := compile(t, `errors.last() < 1.0`).Eval(w, now); len(got.NoData) != 1 || !strings.Contains(got.NoData[0], "NaN") {
		t.Errorf("NaN: %+v", got)
	}
	w.series["errors"] = nil
	if got := compile(t, `errors.last() < 1.0`).Eval(w, now); len(got.NoData) != 1 {
		t.Errorf("no series: %+v", got)
	}
}

// Each mistake is explained where it stands.
func TestBrokenRules(t *testing.T) {
	tests := []struct {
		expr          string
		column        int // in the expression, from 1
		message, hint string
	}{
		{``, 1, "the rule is empty", ""},
		{`errors.last()`, 1, "must yield true or false, and this yields a number", "compare it"},
		{`chekout.p99("5s") > duration("1s")`, 1, "unknown name `chekout`", "did you mean `checkout`?"},
		{`true && chekout.p99("5s") > duration("1s")`, 9, "unknown name `chekout`", "checkout"},
		{`my-sli.last() > 1`, 1, "unknown name `my`", `"my-sli" can't stand in a rule`},
		{`nothing > 1`, 1, "unknown name `nothing`", "the SLIs are"},
		{`checkout.p98("5s") > duration("1s")`, 10, "unknown name `p98`", `quantile(0.98, "5s")`},
		{`checkout.avg("5s") > duration("1s")`, 10, "unknown name `avg`", ""},
		{`p99("5s") > duration("1s")`, 1, "`p99` can't be called with a text", "is a method"},
		{`checkout.p99("5s") > 0.8`, 20, "between a duration and a number", `duration("800ms")`},
		{`checkout.p99("5s") > 1`, 20, "between a duration and a whole number", `duration("800ms")`},
		{`checkout.p99("5s") == "1s"`, 20, "between a duration and a text", `duration("800ms")`},
		{`errors.last() * 2 > 1.0`, 15, "between a number and a whole number", "with a point"},
		{`checkout > duration("1s")`, 10, "between a latency SLI and a duration", "ask for one of them"},
		{`errors.last() || true`, 8, "", ""},
		{`checkout.p99(5) > duration("1s")`, 10, "with a whole number", `write p99("5s")`},
		{`checkout.p99("5") > duration("1s")`, 14, "has no unit", ""},
		{`checkout.p99("0s") > duration("1s")`, 14, "longer than nothing", ""},
		{`checkout.p99("-5s") > duration("1s")`, 14, "negative", ""},
		{`checkout.p99(elapsed) > duration("1s")`, 14, "must be written out", `p99("5s")`},
		{`checkout.p99(phase) > duration("1s")`, 14, "must be written out", ""},
		{`checkout.p99("5" + "s") > duration("1s")`, 18, "must be written out", ""},
		{`checkout.p99("1s") > duration("800ms")`, 14, "can be empty although all is well", "at least 2s"},
		{`checkout.p99("5s") > duration("1s")`, 22, "can't be above 1s", "longer timeout"},
		{`duration("1s") <= checkout.max()`, 0, "", ""}, // a timeout reaches it exactly
		{`checkout.max("5s") <= duration("2s")`, 23, "can't be above 2s", ""},
		{`checkout.p99("5s") > duration("800mss")`, 31, "is not a duration", ""},
		{`checkout.quantile(99.0) > duration("1s")`, 19, "between 0 and 1", "0.999"},
		{`checkout.quantile(1) > duration("1s")`, 10, "with a whole number", "quantile(0.99"},
		{`checkout.burn(1.0, "5s") > 1.0`, 15, "between 0 and 1", ""},
		{`checkout.rate("5s") > 1.0`, 10, "`rate` can't be asked of a latency SLI", "counters"},
		{`checkout.baseline().age() > duration("1s")`, 21, "age", "a baseline has no age"},
		{`checkout.baseline().baseline().p99() > duration("1s")`, 21, "baseline", ""},
		{`[checkout, quiet].exists(s, s.p99() > duration("1s"))`, 29, "must be called on the name of an SLI", ""},
		{`(true ? checkout : quiet).p99() > duration("1s")`, 7, "must be called on the name of an SLI", ""},
		{`["a"].exists(checkout, checkout == "a")`, 0, "hides what the name means", "another name"},
		{`fault("slwo").active()`, 7, "there is no fault `slwo`", "did you mean `slow`?"},
		{`fault(phase).active()`, 7, "must be written out", ""},
		{`fault("slow")`, 0, "must yield true or false", ""},
		{`targets.paments.size() > 0`, 8, "there is no target `paments`", "did you mean `payments`?"},
		{`targets["x"].size() > 0`, 9, "there is no target `x`", ""},
		{`errors.last() > 5%`, 19, "something is still missing", "1 % is 0.01"},
		{`errors.last() > > 1`, 17, "this is not CEL", ""},
		{`checkout.okRatio(10s) > 0.99`, 20, "this is not CEL", `okRatio("10s")`},
		{`"abc".matches("(") && errors.last() >`, 0, "", ""},
		{strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), 0, "nested too deeply", "several rules"},
		{strings.Repeat("true && ", 1000) + "true", 0, "longer than 4096 characters", "several rules"},
		{`targets.db.map(a, targets.db.map(b, targets.db.map(c, a + b + c))).size() > 1`, 1, "too long to evaluate", "several rules"},
	}
	for _, test := range tests {
		rule, problems := NewCompiler(known).Compile(text(t, test.expr))
		if test.expr == `duration("1s") <= checkout.max()` {
			if rule == nil {
				t.Errorf("%s: %v", test.expr, problems)
			}
			continue
		}
		if rule != nil || len(problems) == 0 {
			t.Errorf("%s: compiled", test.expr)
			continue
		}
		p := problems[0]
		if !strings.Contains(p.Message, test.message) || !strings.Contains(p.Hint, test.hint) || test.column > 0 && p.Position.Column != columnInFile(test.expr, test.column) {
			t.Errorf("%s: column %d, want %d; want %q, %q:\n%v", test.expr, p.Position.Column, columnInFile(test.expr, test.column), test.message, test.hint, p)
		}
	}
}

// columnInFile is where a column of a rule stands in the test's document, in which
// each quotation mark takes two characters.
func columnInFile(expr string, column int) int {
	before := expr[:min(column-1, len(expr))]
	const lead = len(`if: "`)
	return lead + len(before) + strings.Count(before, `"`) + 1
}

func TestRuleReads(t *testing.T) {
	rule := compile(t, `checkout.p99("5s") > duration("800ms") && 0.05 < errors.mean("10s") && checkout.baseline().p99() > duration("1ms") && checkout.p99("5s") < duration("2s") * 0.1 && errors.last() > 1 && errors.okRatio() >= 0.99`)
	if got := fmt.Sprint(rule.SLIs()); got != "[checkout errors]" {
		t.Errorf("SLIs: %s", got)
	}
	want := "[{checkout the last 5s} {errors the last 10s} {checkout the baseline} {errors this phase}]"
	if got := fmt.Sprint(rule.Windows()); got != want {
		t.Errorf("windows: %s", got)
	}
	want = "[{checkout checkout.p99(5s) > 0.8 true} {errors errors.mean(10s) > 0.05 true} {checkout checkout.baseline().p99() > 0.001 true} {errors errors.last() > 1 true} {errors errors.okRatio() >= 0.99 false}]"
	if got := fmt.Sprint(rule.Thresholds()); len(rule.Thresholds()) != 5 || !strings.Contains(got, "errors.mean(10s) > 0.05") {
		t.Errorf("thresholds: %s, want %s in any order", got, want)
	}
	series := map[string]*sli.Series{
		"checkout": sli.NewSeries(spec{unit: sli.Latency}, time.Second),
		"errors":   sli.NewSeries(spec{unit: sli.Number}, time.Second),
	}
	if err := rule.Register(series); err != nil {
		t.Error(err)
	}
	series["errors"] = sli.NewSeries(spec{unit: sli.Number}, time.Minute)
	if err := rule.Register(series); err == nil || !strings.Contains(err.Error(), "can be empty") {
		t.Errorf("a window of 10s at one sample a minute: %v", err)
	}
	if err := rule.Register(nil); err == nil {
		t.Error("registered windows of SLIs that are not sampled")
	}
}

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{
		"checkout": true, "p99": true, "_a1": true, "a_b": true,
		"": false, "my-sli": false, "1a": false, "phase": false, "duration": false, "in": false, "täst": false, "a b": false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
		if !good {
			continue
		}
		rule, problems := NewCompiler(Env{SLIs: map[string]sli.Unit{name: sli.Number}}).Compile(text(t, name+".last() > 0.0"))
		if rule == nil {
			t.Errorf("%s is a good name, but: %v", name, problems)
		}
	}
}

// Whatever CEL reserves, CheckName refuses.
func TestReservedNames(t *testing.T) {
	for _, name := range reserved {
		if CheckName(name) == nil {
			t.Errorf("%s is allowed", name)
		}
		// A document may still have such an SLI: rules about others must compile.
		if _, problems := NewCompiler(Env{SLIs: map[string]sli.Unit{name: sli.Number, "a": sli.Number}}).Compile(text(t, "a.last() > 0.0")); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
