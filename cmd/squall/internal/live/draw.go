package live

import (
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/squallhq/squall/safety/sli"
)

// tone is what a piece of text means; a theme turns it into a style.
type tone int

const (
	normal tone = iota
	faint
	bold
	accent
	good
	warn
	bad
)

// span is a piece of a line. Its text is safe to print.
type span struct {
	text string
	tone tone
}

type line []span

func (l line) width() int {
	n := 0
	for _, s := range l {
		n += lipgloss.Width(s.text)
	}
	return n
}

// fit cuts a line to a width in cells, and shows that it did.
func (l line) fit(width int) line {
	if l.width() <= width {
		return l
	}
	left := width - 1
	var cut line
	for _, s := range l {
		if w := lipgloss.Width(s.text); w <= left {
			cut = append(cut, s)
			left -= w
			continue
		}
		return append(cut, span{clip(s.text, left) + "…", s.tone})
	}
	return cut
}

// clip returns the longest beginning of a text that is no wider than width cells.
func clip(text string, width int) string {
	end := 0
	for i, r := range text {
		if lipgloss.Width(text[:i+len(string(r))]) > width {
			break
		}
		end = i + len(string(r))
	}
	return text[:end]
}

// pad makes a text exactly width cells wide.
func pad(text string, width int) string {
	if lipgloss.Width(text) > width {
		text = clip(text, width-1) + "…"
	}
	return text + strings.Repeat(" ", max(width-lipgloss.Width(text), 0))
}

// theme says how tones look. The zero theme has no styles and no escape sequences.
type theme map[tone]lipgloss.Style

// themeFor honours NO_COLOR (https://no-color.org): with it, a frame holds nothing
// but text.
func themeFor(getenv func(string) string) theme {
	if getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return nil
	}
	// The sixteen colours that every terminal's own palette keeps readable.
	ink := func(c color.Color) lipgloss.Style { return lipgloss.NewStyle().Foreground(c) }
	return theme{
		faint: lipgloss.NewStyle().Faint(true), bold: lipgloss.NewStyle().Bold(true),
		accent: ink(lipgloss.Cyan).Bold(true), good: ink(lipgloss.Green), warn: ink(lipgloss.Yellow), bad: ink(lipgloss.Red).Bold(true),
	}
}

func (t theme) render(l line) string {
	var b strings.Builder
	for _, s := range l {
		if style, ok := t[s.tone]; ok && s.text != "" {
			b.WriteString(style.Render(s.text))
			continue
		}
		b.WriteString(s.text)
	}
	return strings.TrimRight(b.String(), " ")
}

var levels = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the newest samples, one a cell, on a scale that starts at zero. A
// cross is a sample that was not ok, a dot one without a value.
func sparkline(samples []sli.Sample, width int) line {
	samples = samples[max(0, len(samples)-width):]
	top := 0.0
	for _, s := range samples {
		if s.HasValue && s.OK {
			top = max(top, math.Abs(s.Value))
		}
	}
	var l line
	add := func(r rune, t tone) {
		if n := len(l); n > 0 && l[n-1].tone == t {
			l[n-1].text += string(r)
			return
		}
		l = append(l, span{string(r), t})
	}
	for range width - len(samples) {
		add(' ', normal)
	}
	for _, s := range samples {
		switch {
		case !s.OK:
			add('×', bad)
		case !s.HasValue:
			add('·', faint)
		case top == 0:
			add(levels[0], accent)
		default:
			add(levels[min(int(math.Abs(s.Value)/top*float64(len(levels))), len(levels)-1)], accent)
		}
	}
	return l
}

// sampleText is a sample's value, or why it has none.
func sampleText(unit sli.Unit, s sli.Sample) string {
	switch {
	case !s.HasValue && s.Err != "":
		return safe(s.Err, 80)
	case !s.HasValue && s.OK:
		return "ok"
	case !s.HasValue:
		return "no value"
	}
	text := strconv.FormatFloat(s.Value, 'g', 4, 64)
	if unit == sli.Latency {
		text = latency(s.Value)
	}
	if !s.OK {
		text += " not ok"
	}
	return text
}

func latency(seconds float64) string {
	switch {
	case seconds < 0.001:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 0.01:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", seconds*1e3)
	}
	return fmt.Sprintf("%.2f s", seconds)
}

// clock writes a length of time for people who wait: tenths below ten seconds, whole
// seconds below a minute.
func clock(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d h", int(d.Hours()), int(d.Minutes())%60)
}
