package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/squallhq/squall/experiments/engine"
)

// The parts of JUnit's XML that build servers agree on.
type (
	suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		tally
		Suites []suite `xml:"testsuite"`
	}
	suite struct {
		Name      string `xml:"name,attr"`
		Timestamp string `xml:"timestamp,attr"`
		tally
		Properties []property `xml:"properties>property"`
		Cases      []testCase `xml:"testcase"`
	}
	tally struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
	}
	property struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	testCase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Time    string   `xml:"time,attr"`
		Failure *outcome `xml:"failure"`
		Error   *outcome `xml:"error"`
		Skipped *outcome `xml:"skipped"`
		Output  string   `xml:"system-out,omitempty"`
	}
	outcome struct {
		Message string `xml:"message,attr"`
	}
)

// JUnit writes the result as JUnit XML: a test suite for the experiment, in it a
// test for the verdict, one for the rollback, one for each fault and one for each
// rule. A hypothesis that did not hold is a failure. What keeps squall from judging,
// and whatever could not be put back, is an error. What was refused or stopped is
// skipped.
func JUnit(w io.Writer, r *engine.Result) error {
	cases := []testCase{verdictCase(r), rollbackCase(r)}
	for _, f := range r.Faults {
		cases = append(cases, faultCase(r, f))
	}
	for _, g := range r.Guards {
		cases = append(cases, guardCase(g))
	}
	t := tally{Tests: len(cases), Time: plainSeconds(took(r))}
	for i := range cases {
		cases[i].Class = title(r) + "." + cases[i].Class
		switch c := cases[i]; {
		case c.Failure != nil:
			t.Failures++
		case c.Error != nil:
			t.Errors++
		case c.Skipped != nil:
			t.Skipped++
		}
	}
	document := suites{Name: "squall", tally: t, Suites: []suite{{
		Name: title(r), Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), tally: t,
		Properties: []property{
			{"run", name(r.Run)}, {"verdict", name(string(r.Verdict))}, {"rollback", name(string(r.Rollback))},
			{"file", name(r.File)}, {"digest", name(r.Digest)},
		},
		Cases: cases,
	}}}
	data, err := xml.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the result as JUnit XML: %w", err)
	}
	return write(w, "JUnit XML", xml.Header+string(data)+"\n")
}

func verdictCase(r *engine.Result) testCase {
	c := testCase{Class: "verdict", Name: "the hypothesis holds", Time: plainSeconds(took(r)), Output: text(r.Hypothesis)}
	message := &outcome{text(string(r.Verdict) + ": " + r.Reason)}
	switch r.Verdict {
	case engine.Held:
	case engine.Breached:
		c.Failure = message
	case engine.Refused, engine.Stopped:
		c.Skipped = message
	default:
		c.Error = message
	}
	return c
}

func rollbackCase(r *engine.Result) testCase {
	c := testCase{Class: "rollback", Name: "everything is put back", Time: "0"}
	if r.Rollback != engine.Clean {
		c.Error = &outcome{text("rollback " + string(r.Rollback) + ", `squall recover` tries again; left: " + strings.Join(r.Left, "; "))}
	}
	return c
}

func faultCase(r *engine.Result, f engine.FaultResult) testCase {
	c := testCase{Class: "fault", Name: name(f.Name) + " on " + name(f.Target), Time: "0", Output: evidence(f.Evidence)}
	if f.Applied != nil && f.Reverted != nil {
		c.Time = plainSeconds(f.Reverted.Sub(*f.Applied).Seconds())
	}
	switch {
	case f.Error != "":
		c.Error = &outcome{text(f.Error)}
	case f.Applied == nil:
		c.Skipped = &outcome{"never in"}
	case f.Reverted == nil:
		c.Error = &outcome{"not reverted"}
	case f.Evidence.Lost != nil && r.Verdict == engine.Inconclusive:
		c.Error = &outcome{"gone before its time, at " + offset(r, *f.Evidence.Lost)}
	case f.Evidence.Touched == 0 && r.Verdict == engine.Inconclusive:
		c.Error = &outcome{"no evidence that it touched anything"}
	}
	return c
}

func guardCase(g engine.GuardResult) testCase {
	c := testCase{Class: "guard", Name: name(g.Kind) + ": " + text(g.Expr), Time: "0", Output: text(g.Value)}
	message := &outcome{text(g.Result + ": " + g.Value)}
	switch {
	case g.Result == "not evaluated", g.Result == "no data" && g.Kind == "abort":
		c.Skipped = message
	case g.Result == "error", g.Result == "no data":
		c.Error = message
	case (g.Result == "true") == (g.Kind == "abort"):
		c.Failure = message
		if g.Kind == "admit" { // its run was refused
			c.Failure, c.Skipped = nil, message
		}
	}
	return c
}

func plainSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }
