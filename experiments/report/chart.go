package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/safety/sli"
)

// The charts' own units: an SVG scales as a whole. All charts of a page share the
// horizontal axis, so that an instant stands at the same place in each.
const (
	plotLeft   = 64.0
	plotRight  = 948.0
	plotTop    = 14.0
	plotBottom = 162.0
	rowHeight  = 26.0
)

// scale places instants on the horizontal axis.
type scale struct {
	start time.Time
	total float64 // seconds, more than zero
}

func scaleOf(r *engine.Result) scale {
	total := took(r)
	for _, s := range r.SLIs {
		for _, p := range s.Points {
			if !math.IsNaN(p.At) && !math.IsInf(p.At, 0) {
				total = max(total, p.At)
			}
		}
	}
	return scale{r.Started, max(total, 0.001)}
}

func (s scale) x(seconds float64) float64 {
	return tenth(plotLeft + (plotRight-plotLeft)*min(max(seconds/s.total, 0), 1))
}

// tenth rounds a coordinate to what can be seen.
func tenth(v float64) float64 { return math.Round(v*10) / 10 }

func (s scale) at(t time.Time) float64 { return s.x(t.Sub(s.start).Seconds()) }

// band is a stretch of time.
type band struct {
	X, Width, Y float64
	Label, Tip  string
	Class       string
	Open        bool // it has no end
}

// Middle is where a label stands.
func (b band) Middle() float64 { return b.X + b.Width/2 }

// Fits says whether the label has room inside the band.
func (b band) Fits() bool { return float64(len(b.Label))*6.4 < b.Width }

// tick is a mark on an axis.
type tick struct {
	At    float64
	Label string
}

// mark is an instant that matters.
type mark struct {
	X          float64
	Label, Tip string
	Gap        bool // a sample without a value: the line has a gap there
}

// axis is what all charts of a page share.
type axis struct {
	Ticks  []tick
	Phases []band
	Faults []band
	Marks  []mark
	// Height is the height of the faults' own chart.
	Height float64
	scale  scale
}

func axisOf(r *engine.Result) axis {
	s := scaleOf(r)
	a := axis{scale: s, Height: 24 + rowHeight*float64(len(r.Faults)) + 28}
	step := niceTime(s.total / 8)
	for t := 0.0; t <= s.total*1.0001; t += step {
		a.Ticks = append(a.Ticks, tick{s.x(t), clock(t, step)})
	}
	for i, p := range r.Phases {
		if p.Phase == engine.PhaseDone {
			continue
		}
		end := r.Ended
		if i+1 < len(r.Phases) {
			end = r.Phases[i+1].At
		}
		x := s.at(p.At)
		a.Phases = append(a.Phases, band{
			X: x, Width: tenth(max(s.at(end)-x, 0)), Label: name(string(p.Phase)), Class: "phase",
			Tip: fmt.Sprintf("%s, %s to %s", name(string(p.Phase)), offset(r, p.At), offset(r, end)),
		})
	}
	for i, f := range r.Faults {
		b := band{Y: 24 + rowHeight*float64(i), Label: name(f.Name) + " on " + name(f.Target), Tip: span(r, f), Class: "fault"}
		if f.Applied != nil {
			end := r.Ended
			if f.Reverted != nil {
				end = *f.Reverted
			}
			b.X, b.Open = s.at(*f.Applied), f.Reverted == nil
			b.Width = tenth(max(s.at(end)-b.X, 1.5))
		}
		a.Faults = append(a.Faults, b)
	}
	if x := r.Reaction; x != nil {
		a.Marks = []mark{{X: s.at(x.Breach), Label: "breach", Tip: "a sample breaks the rule, " + offset(r, x.Breach)}}
		if r.Rollback == engine.Clean {
			a.Marks = append(a.Marks, mark{X: s.at(x.Clean), Label: "clean", Tip: "last fault verified gone, " + offset(r, x.Clean)})
		}
	}
	return a
}

// chart is one SLI over a run.
type chart struct {
	axis
	Name    string
	Unit    string
	YTicks  []tick
	Lines   []string // each the points of a polyline
	Fails   []mark   // samples that were not ok
	Samples int
	Windows []windowRow
	Note    string
}

// windowRow is a window in words.
type windowRow struct{ Phase, Count, OK, P50, P95, P99, Max string }

func chartOf(a axis, s named) chart {
	c := chart{axis: a, Name: name(s.Name), Unit: "value", Samples: len(s.Points)}
	if s.Unit == sli.Latency {
		c.Unit = "latency"
	}
	for _, w := range windows(s.SLIResult) {
		if w.Summary != nil {
			c.Windows = append(c.Windows, windowRow{
				w.Name, fmt.Sprint(w.Count), percent(w.OKRatio),
				value(s.Unit, w.P50), value(s.Unit, w.P95), value(s.Unit, w.P99), value(s.Unit, w.Max),
			})
		}
	}
	low, high := bounds(s.Points)
	step := niceNumber((high - low) / 4)
	low, high = math.Floor(low/step)*step, math.Ceil(high/step)*step
	y := func(v float64) float64 { return tenth(plotBottom - (plotBottom-plotTop)*(v-low)/(high-low)) }
	for i := 0; low+float64(i)*step <= high+step/2 && i < 20; i++ {
		v := low + float64(i)*step
		if math.Abs(v) < step/1e6 {
			v = 0
		}
		c.YTicks = append(c.YTicks, tick{y(v), value(s.Unit, &v)})
	}
	c.plot(s, y)
	return c
}

func (c *chart) plot(s named, y func(float64) float64) {
	var line []string
	end := func() {
		switch len(line) {
		case 0:
		case 1: // a dot: a line to itself, which round caps make visible
			c.Lines = append(c.Lines, line[0]+" "+line[0])
		default:
			c.Lines = append(c.Lines, strings.Join(line, " "))
		}
		line = nil
	}
	gaps := 0
	for _, p := range s.Points {
		x := c.scale.x(p.At)
		if p.Value == nil || !finite(*p.Value) {
			gaps++
			end()
			c.Fails = append(c.Fails, mark{X: x, Gap: true, Tip: fmt.Sprintf("%+.2f s: no value", p.At)})
			continue
		}
		line = append(line, fmt.Sprintf("%g,%g", x, y(*p.Value)))
		if !p.OK {
			c.Fails = append(c.Fails, mark{X: x, Tip: fmt.Sprintf("%+.2f s: %s, not ok", p.At, value(s.Unit, p.Value))})
		}
	}
	end()
	if gaps > 0 {
		c.Note = fmt.Sprintf("%s without a value", plural(gaps, "sample"))
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// bounds returns the range of the vertical axis. It holds zero, so that a chart does
// not make much of little.
func bounds(points []engine.Point) (low, high float64) {
	for _, p := range points {
		if p.Value != nil && finite(*p.Value) {
			low, high = min(low, *p.Value), max(high, *p.Value)
		}
	}
	if low == high {
		high = low + 1
	}
	return low, high
}

func finite(v float64) bool { return !math.IsNaN(v) && math.Abs(v) < 1e300 }

// niceNumber rounds a step up to 1, 2 or 5 times a power of ten.
func niceNumber(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range []float64{1, 2, 5} {
		if step <= m*power*1.000001 {
			return m * power
		}
	}
	return 10 * power
}

// niceTime rounds a step of seconds up to one that people count in.
func niceTime(step float64) float64 {
	if step <= 1 {
		return niceNumber(step)
	}
	steps := []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400}
	if i := slices.IndexFunc(steps, func(s float64) bool { return step <= s }); i >= 0 {
		return steps[i]
	}
	return niceNumber(step/86400) * 86400
}

// clock writes a place on the horizontal axis.
func clock(t, step float64) string {
	switch {
	case step < 1:
		return strconv.FormatFloat(t, 'g', 4, 64) + " s"
	case t < 120:
		return fmt.Sprintf("%.0f s", t)
	case t < 7200:
		return fmt.Sprintf("%d:%02d min", int(t)/60, int(t)%60)
	}
	return fmt.Sprintf("%d:%02d h", int(t)/3600, int(t)/60%60)
}
