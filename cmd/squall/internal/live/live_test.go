package live

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/safety/sli"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2026, 3, 9, 14, 30, 0, 0, time.UTC)

func after(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func samples() (list []sli.Sample) {
	for i := range 100 {
		s := sli.Sample{At: after(2 + float64(i)*.05), Value: .004 + .003*math.Sin(float64(i)/4), HasValue: true, OK: true}
		switch {
		case i > 94:
			s = sli.Sample{At: s.At, Err: "connection refused"}
		case i > 90:
			s.Value, s.OK = .4, false
		}
		list = append(list, s)
	}
	return list
}

func aborting() frame {
	return frame{
		Snapshot: engine.Snapshot{
			Run: "20260309-143000-1f2e3d4c", Experiment: "payments-cut-off", Phase: engine.PhaseFaults,
			Started: start, PhaseEnds: after(13), Ends: after(23),
			SLIs: []engine.SLISnapshot{
				{Name: "checkout", Unit: sli.Latency, Recent: samples()},
				{Name: "queue", Unit: sli.Number, Recent: []sli.Sample{{At: after(6), Value: 3, HasValue: true, OK: true}}},
				{Name: "silent", Unit: sli.Number},
			},
			Faults: []engine.FaultSnapshot{
				{Name: "cut", Target: "payments", State: "active", Starts: after(6), Ends: after(12),
					Evidence: engine.Evidence{Touched: 418, Unit: "packets", Detail: "every packet of eth0 is dropped"}},
				{Name: "kill", Target: "checkout", State: "waiting", Starts: after(9), Ends: after(12)},
			},
			Guards: []engine.GuardSnapshot{
				{Kind: "admit", Expr: `checkout.okRatio("3s") > 0.99`, Result: "true", Value: "1", SLIs: []string{"checkout"}},
				{Kind: "abort", Expr: `checkout.okRatio("1s") < 0.9`, Result: "true", Value: `checkout.okRatio("1s") = 0.72`, SLIs: []string{"checkout"}},
				{Kind: "abort", Expr: `queue.last() > 10.0 && checkout.p99("5s") > duration("800ms")`, Result: "false", SLIs: []string{"queue", "checkout"}},
				{Kind: "pass", Expr: `elapsed > duration("1s")`, Result: "not evaluated"},
			},
		},
		events: []engine.Event{
			{At: start, Kind: engine.EventPhase, Phase: engine.PhaseBaseline, Text: "measuring the steady state for 5s"},
			{At: after(5), Kind: engine.EventPhase, Phase: engine.PhaseFaults, Text: "steady: the faults begin"},
			{At: after(6.01), Kind: engine.EventApplied, Phase: engine.PhaseFaults, Fault: "cut", Target: "payments", Text: `fault "cut" is in "payments"`},
			{At: after(6.9), Kind: engine.EventAbort, Phase: engine.PhaseFaults, Text: `abort: checkout.okRatio("1s") < 0.9`},
		},
		now: after(7), footer: "q  stop and roll back",
	}
}

// hostile is a frame whose every string from outside attacks the terminal.
func hostile() frame {
	const s = "\x1b[2J\x1b]0;owned\a\r\n\u009b31m\u202eevil"
	f := aborting()
	f.Experiment, f.Run = s, s
	f.SLIs[0].Name, f.SLIs[1].Name = s, s
	f.SLIs[0].Recent[99].Err = s
	f.Guards[1] = engine.GuardSnapshot{Kind: "abort", Expr: s, Result: s, Value: s, SLIs: []string{s}}
	f.Faults[0].Name, f.Faults[0].Target = s, s
	f.Faults[0].Evidence = engine.Evidence{Touched: 1, Unit: s, Detail: s}
	f.events[0].Text = s
	return f
}

func colours() theme { return themeFor(func(string) string { return "" }) }

func TestGoldenFrames(t *testing.T) {
	size := func(f frame, width, height int) frame { f.width, f.height = width, height; return f }
	empty := frame{footer: "q  stop and roll back", now: start}
	for name, c := range map[string]struct {
		frame frame
		theme theme
	}{
		"wide":    {size(aborting(), 110, 24), nil},
		"narrow":  {size(aborting(), 40, 24), nil},
		"low":     {size(aborting(), 80, 10), nil},
		"colour":  {size(aborting(), 100, 24), colours()},
		"hostile": {size(hostile(), 110, 24), nil},
		"empty":   {size(empty, 60, 12), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.frame.render(c.theme) + "\n"
			file := filepath.Join("testdata", name+".txt")
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
				t.Errorf("%s differs; look, and run the test with -update:\n%s", file, got)
			}
		})
	}
}

func TestAFrameFitsItsTerminalAndHoldsOnlyText(t *testing.T) {
	for width := minWidth; width < 130; width += 7 {
		for height := minHeight; height < 40; height += 5 {
			for _, f := range []frame{aborting(), hostile()} {
				f.width, f.height = width, height
				lines := strings.Split(f.render(nil), "\n")
				if len(lines) != height {
					t.Errorf("%d x %d: %d lines", width, height, len(lines))
				}
				for _, l := range lines {
					if w := lipgloss.Width(l); w > width {
						t.Errorf("%d x %d: a line is %d wide: %q", width, height, w, l)
					}
					for _, r := range l {
						if !unicode.IsPrint(r) {
							t.Fatalf("%q holds %q", l, r)
						}
					}
				}
			}
		}
	}
}

func TestNoColorMeansNoEscapeSequences(t *testing.T) {
	f := aborting()
	f.width, f.height = 100, 24
	if plain := f.render(themeFor(func(name string) string { return map[string]string{"NO_COLOR": "1"}[name] })); strings.Contains(plain, "\x1b") {
		t.Errorf("escape sequences in spite of NO_COLOR: %q", plain)
	}
	if coloured := f.render(colours()); !strings.Contains(coloured, "\x1b[") {
		t.Error("no colours without NO_COLOR")
	}
}

func TestKeysStopTheRunAndNeverTheView(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stops := 0
	m := &model{
		snapshot: func() engine.Snapshot { return aborting().Snapshot }, events: func(int) []engine.Event { return nil },
		stopping: func() bool { return ctx.Err() != nil }, stop: func() { stops++; cancel() }, started: start,
	}
	m.Init()
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 20})
	footer := func() string {
		lines := strings.Split(m.View().Content, "\n")
		return lines[len(lines)-1]
	}
	press := func(k tea.Key) {
		t.Helper()
		if _, cmd := m.Update(tea.KeyPressMsg(k)); cmd != nil {
			t.Errorf("the key %s made a command: the view must end with the run only", k)
		}
	}
	press(tea.Key{Code: 'x', Text: "x"})
	if stops != 0 || !strings.HasPrefix(footer(), "q ") {
		t.Errorf("after another key: %d stops, footer %q", stops, footer())
	}
	press(tea.Key{Code: 'q', Text: "q"})
	if stops != 1 || !strings.HasPrefix(footer(), "Stopping") {
		t.Errorf("after q: %d stops, footer %q", stops, footer())
	}
	press(tea.Key{Code: 'c', Mod: tea.ModCtrl})
	if !strings.HasPrefix(footer(), "Already rolling back") {
		t.Errorf("after the second key: footer %q", footer())
	}
	if _, cmd := m.Update(tickMsg(after(8))); cmd == nil || m.now != after(8) {
		t.Error("the clock stopped")
	}
}

func TestPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newPlain(&out)
		ctx, stop := context.WithTimeout(t.Context(), 12*time.Second)
		defer stop()
		p.event(engine.Event{At: time.Now().Add(1500 * time.Millisecond), Kind: engine.EventAbort, Phase: engine.PhaseFaults, Text: "abort\x1b[2J: too slow"})
		f := aborting()
		f.PhaseEnds = time.Now().Add(20 * time.Second)
		p.beat(ctx, func() engine.Snapshot { return f.Snapshot })
		p.close()
		want := "   1.50 s ! faults    abort\\x1b[2J: too slow\n" +
			"   5.00 s · faults    checkout connection refused, queue 3, silent no sample yet, 1 of 2 faults in, 15 s left of this phase\n" +
			"  10.00 s · faults    checkout connection refused, queue 3, silent no sample yet, 1 of 2 faults in, 10 s left of this phase\n"
		if got := out.String(); got != want {
			t.Errorf("got:\n%swant:\n%s", got, want)
		}
	})
}

// A stream that takes nothing (Ctrl-S, a full pipe) never holds up the run, which
// waits for its observer.
func TestAStreamThatTakesNothingHoldsNothingUp(t *testing.T) {
	read, write := io.Pipe()
	p := newPlain(write)
	for i := range 2 * queued {
		p.event(engine.Event{At: p.started, Phase: engine.PhaseFaults, Text: fmt.Sprint("event ", i)})
	}
	go func() {
		p.close()
		p.event(engine.Event{Text: "too late"})
		write.Close() //nolint:errcheck // the end of the pipe is all that is wanted
	}()
	out, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out); !strings.Contains(got, "event 0\n") || !strings.Contains(got, "lines were left out") || strings.Contains(got, "too late") {
		t.Errorf("got %.300q", got)
	}
}

func TestTheEventLogKeepsTheNewest(t *testing.T) {
	var l eventLog
	for i := range 3 * logged {
		l.add(engine.Event{Text: fmt.Sprint(i)})
	}
	got := l.newest(2)
	if len(got) != 2 || got[1].Text != fmt.Sprint(3*logged-1) || len(l.newest(10*logged)) != logged {
		t.Errorf("newest: %v", got)
	}
}
