package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"html"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/safety/sli"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2026, 3, 9, 14, 30, 0, 0, time.UTC)

func after(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func instant(seconds float64) *time.Time { t := after(seconds); return &t }

func ptr(v float64) *float64 { return &v }

func summary(count int, ok, p50, p95, p99, most float64) *sli.Summary {
	return &sli.Summary{Count: count, OKRatio: ptr(ok), P50: ptr(p50), P95: ptr(p95), P99: ptr(p99), Max: ptr(most)}
}

// aborted is a run in which a partition made a guard fire.
func aborted() *engine.Result {
	r := &engine.Result{
		Verdict: engine.Breached, Reason: `abort rule fired: checkout.okRatio("1s") < 0.9 (it was 0.72)`,
		Rollback: engine.Clean, Run: "20260309-143000-1f2e3d4c", Experiment: "payments-cut-off",
		Hypothesis: "Checkout keeps serving while payments is cut off.",
		File:       "payments-cut-off.yaml", Digest: strings.Repeat("ab", 32),
		Started: start, Ended: after(12.4),
		Phases: []engine.PhaseStart{
			{Phase: engine.PhaseBaseline, At: start}, {Phase: engine.PhaseFaults, At: after(5)},
			{Phase: engine.PhaseRollback, At: after(7.51)}, {Phase: engine.PhaseRecovery, At: after(7.55)},
			{Phase: engine.PhaseDone, At: after(12.4)},
		},
		Faults: []engine.FaultResult{{
			Name: "cut", Injector: "network", Target: "payments", Backend: "bpf", Tier: injectors.TierKernel,
			Applied: instant(6.01), Reverted: instant(7.548),
			Evidence: engine.Evidence{Touched: 1432, Unit: "packets", Detail: "every packet of eth0 is dropped",
				Facts: []injectors.Fact{{Name: "dropped", Value: 100, Unit: "%"}}},
		}},
		Guards: []engine.GuardResult{
			{Kind: "admit", Expr: `checkout.okRatio("3s") > 0.99`, Result: "true", Value: `checkout.okRatio("3s") = 1`},
			{Kind: "abort", Expr: `checkout.okRatio("1s") < 0.9`, Result: "true", Value: `checkout.okRatio("1s") = 0.72`},
			{Kind: "pass", Expr: `checkout.p99() < duration("400ms")`, Result: "not evaluated"},
			{Kind: "recovery", Expr: `checkout.okRatio("3s") > 0.99`, Result: "true", Value: `checkout.okRatio("3s") = 1`},
		},
		SLIs: map[string]engine.SLIResult{
			"checkout": {Unit: sli.Latency, Baseline: summary(100, 1, .0041, .0062, .0081, .0093),
				Fault: summary(31, .7097, .0044, .4012, .4019, .4020), Recovery: summary(97, .9897, .0042, .0066, .0089, .0101)},
			"queue": {Unit: sli.Number, Baseline: summary(5, 1, 3, 4, 4, 4), Fault: &sli.Summary{Count: 2, OKRatio: ptr(0)}},
		},
		Reaction: &engine.Reaction{Breach: after(6.42), Detected: after(7.5), AbortIssued: after(7.503), Clean: after(7.548), Total: 1.128},
		Recovery: &engine.Recovery{Recovered: true, Seconds: 3.2},
		Notes:    []string{"this kernel has no netem: the partition is a BPF program"},
	}
	checkout, queue := r.SLIs["checkout"], r.SLIs["queue"]
	for i := range 248 {
		t := float64(i) * .05
		p := engine.Point{At: t, Value: ptr(.0045 + .002*math.Sin(t*7)), OK: true}
		if t > 6.4 && t < 7.6 {
			p.Value, p.OK = ptr(.401), false
		}
		checkout.Points = append(checkout.Points, p)
		if i%20 == 0 {
			q := engine.Point{At: t, OK: t <= 6 || t >= 8}
			if q.OK {
				q.Value = ptr(3 + math.Mod(t, 2))
			}
			queue.Points = append(queue.Points, q)
		}
	}
	r.SLIs["checkout"], r.SLIs["queue"] = checkout, queue
	return r
}

func held() *engine.Result {
	r := aborted()
	r.Verdict, r.Reason, r.Reaction, r.Notes = engine.Held, "every pass rule is true, and the faults provably took effect", nil, nil
	r.Experiment, r.Hypothesis = "lossy-payments", "Checkout keeps serving while payments loses packets."
	r.Guards = r.Guards[:1]
	return r
}

func incomplete() *engine.Result {
	r := aborted()
	r.Rollback, r.Left = engine.Incomplete, []string{"fault cut on payments: cannot open the network namespace"}
	r.Faults[0].Reverted, r.Faults[0].Error = nil, "cannot open the network namespace"
	return r
}

func refusal() *engine.Result {
	return &engine.Result{
		Verdict: engine.Refused, Reason: "not steady to begin with", Rollback: engine.Clean,
		Run: "20260309-143000-00000000", Experiment: "early", Started: start, Ended: start,
		Faults: []engine.FaultResult{{Name: "cut", Target: "payments", Injector: "network"}},
		SLIs:   map[string]engine.SLIResult{"silent": {Unit: sli.Number}},
	}
}

var forms = map[string]func(io.Writer, *engine.Result) error{
	"json": JSON, "html": HTML, "md": Markdown, "xml": JUnit, "txt": Text,
}

func render(t *testing.T, form string, r *engine.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := forms[form](&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, r := range map[string]*engine.Result{"aborted": aborted(), "held": held(), "incomplete": incomplete(), "refused": refusal()} {
		for form := range forms {
			t.Run(name+"."+form, func(t *testing.T) {
				file := filepath.Join("testdata", name+"."+form)
				got := render(t, form, r)
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s differs from what is written now; look, and run the test with -update:\n%s", file, got)
				}
			})
		}
	}
}

func TestJSONIsOneLineAndReadsBack(t *testing.T) {
	r := aborted()
	r.Reason = "line\nbreak \u009b31m \u2028 \x1b[2J"
	got := render(t, "json", r)
	if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
		t.Errorf("not one line: %q", got)
	}
	for _, c := range strings.TrimSuffix(got, "\n") {
		if !unicode.IsPrint(c) {
			t.Errorf("it holds %q", c)
		}
	}
	var back engine.Result
	if err := json.Unmarshal([]byte(got), &back); err != nil || back.Reason != r.Reason {
		t.Errorf("read back: %q, %v", back.Reason, err)
	}
}

func TestTheVerdictsInJUnit(t *testing.T) {
	for verdict, want := range map[engine.Verdict]string{
		engine.Held: "0 0 0", engine.Breached: "1 0 0", engine.Inconclusive: "0 1 0",
		engine.Refused: "0 0 1", engine.Stopped: "0 0 1",
	} {
		r := &engine.Result{Verdict: verdict, Rollback: engine.Clean, Experiment: "e", Started: start, Ended: start}
		var back struct {
			Failures string `xml:"failures,attr"`
			Errors   string `xml:"errors,attr"`
			Skipped  string `xml:"skipped,attr"`
		}
		if err := xml.Unmarshal([]byte(render(t, "xml", r)), &back); err != nil {
			t.Fatal(err)
		}
		if got := back.Failures + " " + back.Errors + " " + back.Skipped; got != want {
			t.Errorf("%s: failures, errors, skipped = %s, want %s", verdict, got, want)
		}
	}
	if got := render(t, "xml", incomplete()); !strings.Contains(got, `<error message="rollback incomplete`) {
		t.Errorf("an incomplete rollback is no error:\n%s", got)
	}
}

func TestThePageAllowsItsOwnStyleAndNothingElse(t *testing.T) {
	got := render(t, "html", aborted())
	inner := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(got)
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(got)
	if inner == nil || policy == nil {
		t.Fatal("no style or no policy")
	}
	sum := sha256.Sum256([]byte(inner[1]))
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(html.UnescapeString(policy[1]), want) {
		t.Errorf("the policy %q does not name the style's %s", policy[1], want)
	}
	for _, foreign := range []string{"http:", "https:", "//", "<script", "<link", "<img", "@import", "url(", "style="} {
		if strings.Contains(strings.ToLower(got), foreign) {
			t.Errorf("the page contains %q", foreign)
		}
	}
	if strings.Contains(got, "ZgotmplZ") || strings.Contains(got, "NaN") {
		t.Error("the template refused a value")
	}
}

// hostile fills a result with a string, everywhere.
func hostile(s string, v float64) *engine.Result {
	r := incomplete()
	r.Verdict, r.Rollback = engine.Verdict(s), engine.Incomplete
	r.Reason, r.Run, r.Experiment, r.Hypothesis, r.File, r.Digest = s, s, s, s, s, s
	r.Left, r.Notes = []string{s}, []string{s}
	f := &r.Faults[0]
	f.Name, f.Injector, f.Target, f.Backend, f.Tier, f.Error = s, s, s, s, injectors.Tier(s), s
	f.Evidence = engine.Evidence{Unit: s, Detail: s, Facts: []injectors.Fact{{Name: s, Value: v, Unit: s}}, Lost: instant(v)}
	r.Guards[0] = engine.GuardResult{Kind: s, Expr: s, Result: s, Value: s}
	r.Phases[1] = engine.PhaseStart{Phase: engine.Phase(s), At: after(v)}
	r.SLIs[s] = engine.SLIResult{Unit: sli.Unit(s), Baseline: summary(1, v, v, v, v, v), Points: []engine.Point{{At: v, Value: &v}, {At: -v, Value: ptr(-v), OK: true}}}
	r.Reaction.Total, r.Recovery.Seconds = v, v
	return r
}

func FuzzHostileResults(f *testing.F) {
	for _, s := range []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "\x1b[2J\x1b]0;owned\x07", "\u202e\u2028\u009b",
		"]]>", "`|`\n# heading\n", "[a](javascript:alert(1))", "@everyone ![x](http://e.x/y)", "\xff\xfe\x00", "a\nb", "{{.}}", "</style>",
	} {
		f.Add(s, 1.5)
	}
	f.Add("", 0.0)
	f.Add("x", 1e308)
	f.Add("x", -1e308)
	f.Add("x", 1e-320)
	tags := regexp.MustCompile(`<(/?[a-zA-Z][a-zA-Z0-9]*)`)
	allowed := map[string]bool{}
	for _, r := range []*engine.Result{aborted(), incomplete(), held(), refusal()} {
		var b bytes.Buffer
		if err := HTML(&b, r); err != nil {
			f.Fatal(err)
		}
		for _, m := range tags.FindAllStringSubmatch(b.String(), -1) {
			allowed[m[1]] = true
		}
	}
	f.Fuzz(func(t *testing.T, s string, v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return // the engine lets none in, and JSON has no word for them
		}
		r := hostile(s, v)
		for form, write := range forms {
			var b bytes.Buffer
			if err := write(&b, r); err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			if !utf8.Valid(b.Bytes()) {
				t.Errorf("%s is not UTF-8", form)
			}
			for _, c := range b.String() {
				if c != '\n' && !unicode.IsPrint(c) && (form != "xml" || c != '\t') {
					t.Fatalf("%s holds %q", form, c)
				}
			}
			if form == "xml" {
				for d := xml.NewDecoder(&b); ; {
					if _, err := d.Token(); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						t.Fatalf("not XML: %v", err)
					}
				}
			}
			if form == "html" {
				for _, m := range tags.FindAllStringSubmatch(b.String(), -1) {
					if !allowed[m[1]] {
						t.Fatalf("the page has an element <%s>", m[1])
					}
				}
			}
			if form == "md" && strings.Contains(s, "<script>") && strings.Contains(regexp.MustCompile("`[^`]*`").ReplaceAllString(b.String(), ""), "<script>") {
				t.Error("Markdown lets HTML through")
			}
		}
		Alarm(io.Discard, r)
	})
}

func TestTheAlarmIsLoudAndOnlyWhereItMustBe(t *testing.T) {
	var b bytes.Buffer
	if Alarm(&b, aborted()); b.Len() > 0 {
		t.Errorf("an alarm for a clean rollback: %s", &b)
	}
	r := incomplete()
	r.Left = append(r.Left, "\x1b[2Jgone")
	Alarm(&b, r)
	for _, want := range []string{"ROLLBACK INCOMPLETE", r.Left[0], `\x1b[2Jgone`, "squall recover", r.Run} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the alarm lacks %q:\n%s", want, &b)
		}
	}
}

func TestSecondsAndShares(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0 s", 0.00000042: "0.42 µs", 0.0005: "500 µs", 0.0123: "12.3 ms", 0.8124: "812 ms", 0.9999: "1 s", 1.128: "1.13 s",
		59.96: "60 s", 119.7: "120 s", 125: "2 min 05 s", 7260: "2 h 01 min", -0.5: "-500 ms",
	} {
		if got := seconds(v); got != want {
			t.Errorf("seconds(%g) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{1: "100.0 %", .9999: "99.99 %", .999999: "99.99 %", .9: "90.0 %", 0: "0.0 %"} {
		if got := percent(&v); got != want {
			t.Errorf("percent(%g) = %q, want %q", v, got, want)
		}
	}
}
