package report

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/squallhq/squall/experiments/engine"
)

//go:embed page.html.tmpl
var pageSource string

//go:embed page.css
var style string

var page = template.Must(template.New("page").Parse(pageSource))

// pageData is what the page shows. All of its strings are printable; html/template
// escapes them for the place they stand in.
type pageData struct {
	Style  template.CSS
	Policy string

	Title, Verdict, Class, Meaning, Reason, Hypothesis string
	Incomplete                                         bool
	Left, Notes                                        []string
	Figures                                            []figure
	Axis                                               axis
	Charts                                             []chart
	Faults                                             []faultRow
	Guards                                             []guardRow
	Moments                                            []momentRow
	Facts                                              []figure
}

// figure is a number that matters, with what it is.
type figure struct{ Label, Value, Detail, Class string }

type faultRow struct{ Name, Target, Injector, Backend, Tier, Span, Evidence, Error, Lost, State string }

type guardRow struct{ Kind, Expr, Result, Value, Class string }

type momentRow struct{ Offset, Text, Kind string }

// HTML writes the result as one page that needs nothing else: no script, no font, no
// image, no network. Its content security policy forbids everything but its own
// style.
func HTML(w io.Writer, r *engine.Result) error {
	sum := sha256.Sum256([]byte(style))
	data := pageData{
		Style:  template.CSS(style), //nolint:gosec // it is a part of this program
		Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'",
		Title:  title(r), Verdict: headline(r), Class: class(r), Meaning: meaning(r.Verdict), Reason: text(r.Reason),
		Hypothesis: text(r.Hypothesis), Incomplete: r.Rollback == engine.Incomplete,
		Axis: axisOf(r), Figures: figures(r), Facts: facts(r),
	}
	for _, left := range r.Left {
		data.Left = append(data.Left, text(left))
	}
	for _, note := range r.Notes {
		data.Notes = append(data.Notes, text(note))
	}
	for _, s := range slis(r) {
		data.Charts = append(data.Charts, chartOf(data.Axis, s))
	}
	for _, f := range r.Faults {
		data.Faults = append(data.Faults, faultRowOf(r, f))
	}
	for _, g := range r.Guards {
		data.Guards = append(data.Guards, guardRow{name(g.Kind), text(g.Expr), name(g.Result), text(g.Value), guardClass(g)})
	}
	for _, m := range moments(r) {
		data.Moments = append(data.Moments, momentRow{offset(r, m.At), m.Text, m.Kind})
	}
	var b strings.Builder
	if err := page.Execute(&b, data); err != nil {
		return fmt.Errorf("cannot write the result as HTML: %w", err)
	}
	return write(w, "HTML", b.String())
}

// class names the verdict in the page's style.
func class(r *engine.Result) string {
	switch {
	case r.Rollback == engine.Incomplete:
		return "incomplete"
	case r.Verdict == engine.Held, r.Verdict == engine.Breached, r.Verdict == engine.Refused, r.Verdict == engine.Stopped:
		return string(r.Verdict)
	}
	return "inconclusive"
}

func figures(r *engine.Result) []figure {
	var list []figure
	if x := r.Reaction; x != nil && r.Rollback == engine.Clean {
		list = append(list, figure{"Reaction", seconds(x.Total), "breach of the rule to last fault verified gone", ""})
	}
	if x := r.Recovery; x != nil {
		f := figure{"Recovery", seconds(x.Seconds), "until the steady state was back", ""}
		if !x.Recovered {
			f = figure{"Recovery", "not in time", "no steady state within " + seconds(x.Seconds), "bad"}
		}
		list = append(list, f)
	}
	in, touched := 0, false
	for _, f := range r.Faults {
		if f.Applied != nil {
			in++
		}
		touched = touched || f.Evidence.Touched > 0
	}
	proof := "with evidence of an effect"
	switch {
	case in == 0:
		proof = "nothing was injected"
	case !touched:
		proof = "without evidence of an effect"
	}
	list = append(list, figure{"Faults in", fmt.Sprintf("%d of %d", in, len(r.Faults)), proof, ""})
	back := figure{"Rollback", name(string(r.Rollback)), "everything was put back", ""}
	switch {
	case r.Rollback == engine.Incomplete:
		back.Detail, back.Class = plural(len(r.Left), "thing")+" left", "bad"
	case in == 0:
		back.Detail = "there was nothing to put back"
	}
	return append(list, back, figure{"Took", seconds(took(r)), "from start to end", ""})
}

func facts(r *engine.Result) []figure {
	var list []figure
	for _, f := range []figure{
		{Label: "Run", Value: name(r.Run)}, {Label: "Experiment", Value: name(r.Experiment)},
		{Label: "File", Value: text(r.File)}, {Label: "SHA-256", Value: name(r.Digest)},
		{Label: "Started", Value: r.Started.UTC().Format("2006-01-02 15:04:05.000 MST")},
		{Label: "Ended", Value: r.Ended.UTC().Format("2006-01-02 15:04:05.000 MST")},
	} {
		if f.Value != "" {
			list = append(list, f)
		}
	}
	return list
}

func faultRowOf(r *engine.Result, f engine.FaultResult) faultRow {
	row := faultRow{
		Name: name(f.Name), Target: name(f.Target), Injector: name(f.Injector), Backend: name(f.Backend),
		Tier: name(string(f.Tier)), Span: span(r, f), Error: text(f.Error), State: "bad",
	}
	switch {
	case f.Applied == nil:
		row.State = "none"
	case f.Reverted != nil && f.Error == "":
		row.State = "good"
	}
	if f.Applied != nil {
		row.Evidence = evidence(f.Evidence)
	}
	if f.Evidence.Lost != nil {
		row.Lost = offset(r, *f.Evidence.Lost)
	}
	return row
}

// guardClass says whether a rule's answer is good news.
func guardClass(g engine.GuardResult) string {
	switch {
	case g.Result == "true" && g.Kind != "abort", g.Result == "false" && g.Kind == "abort":
		return "good"
	case g.Result == "not evaluated":
		return "none"
	}
	return "bad"
}
