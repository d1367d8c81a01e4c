package live

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/squallhq/squall/experiments/engine"
)

// heartbeat is how often a line says how things are when nothing happens.
const heartbeat = 5 * time.Second

// RunPlain runs the plan, with a line for each event and one every few seconds in
// between, and returns the result.
func RunPlain(ctx context.Context, stderr io.Writer, host engine.Host, plan *engine.Plan) *engine.Result {
	p := &plain{w: stderr, started: time.Now()}
	run := engine.NewRun(host, plan, p.event)
	beating, stop := context.WithCancel(context.Background())
	var beats sync.WaitGroup
	beats.Go(func() { p.beat(beating, run.Snapshot) })
	defer beats.Wait()
	defer stop()
	return run.Do(ctx)
}

// plain writes lines. A line is written whole, whoever writes it.
type plain struct {
	mu      sync.Mutex
	w       io.Writer
	started time.Time
}

func (p *plain) event(e engine.Event) { p.println(eventLine(p.started, e)) }

func (p *plain) println(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.w, text)
}

// eventLine is an event after its time since the start.
func eventLine(started time.Time, e engine.Event) string {
	mark := " "
	switch e.Kind {
	case engine.EventAbort, engine.EventError, engine.EventLost:
		mark = "!"
	case engine.EventWarning:
		mark = "?"
	}
	return fmt.Sprintf("%7.2f s %s %-8s  %s", max(e.At.Sub(started).Seconds(), 0), mark, safe(string(e.Phase), 12), safe(e.Text, 1000))
}

// beat says how things are, until ctx is done.
func (p *plain) beat(ctx context.Context, snapshot func() engine.Snapshot) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			p.println(beatLine(snapshot(), now, now.Sub(p.started)))
		}
	}
}

func beatLine(s engine.Snapshot, now time.Time, gone time.Duration) string {
	var parts []string
	for _, x := range s.SLIs {
		value := "no sample yet"
		if n := len(x.Recent); n > 0 {
			value = sampleText(x.Unit, x.Recent[n-1])
		}
		parts = append(parts, safe(x.Name, 40)+" "+value)
	}
	active := 0
	for _, f := range s.Faults {
		if f.State == "active" {
			active++
		}
	}
	if active > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d faults in", active, len(s.Faults)))
	}
	if left := s.PhaseEnds.Sub(now); left > 0 && s.Phase != engine.PhaseDone {
		parts = append(parts, clock(left)+" left of this phase")
	}
	return fmt.Sprintf("%7.2f s · %-8s  %s", gone.Seconds(), safe(string(s.Phase), 12), strings.Join(parts, ", "))
}
