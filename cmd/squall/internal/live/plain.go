package live

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squallhq/squall/experiments/engine"
)

// heartbeat is how often a line says how things are when nothing happens.
const heartbeat = 5 * time.Second

// RunPlain runs the plan, with a line for each event and one every few seconds in
// between, and returns the result.
func RunPlain(ctx context.Context, stderr io.Writer, host engine.Host, plan *engine.Plan) *engine.Result {
	p := newPlain(stderr)
	defer p.close()
	run := engine.NewRun(host, plan, p.event)
	beating, stop := context.WithCancel(context.Background())
	var beats sync.WaitGroup
	beats.Go(func() { p.beat(beating, run.Snapshot) })
	defer beats.Wait()
	defer stop()
	return run.Do(ctx)
}

// plain writes lines. A stream that takes none (a terminal that was stopped with
// Ctrl-S, a full pipe) must not hold up the run, nor its way back: lines wait in a
// queue, and are left out where that is full.
type plain struct {
	started time.Time
	lines   chan string
	left    atomic.Int64 // lines left out since the last that was written
	stop    chan struct{}
	stopped chan struct{}
}

// queued is how many lines wait for a slow stream.
const queued = 1000

func newPlain(w io.Writer) *plain {
	p := &plain{started: time.Now(), lines: make(chan string, queued), stop: make(chan struct{}), stopped: make(chan struct{})}
	go p.write(w)
	return p
}

// write writes lines until the plain is closed and none waits any more.
func (p *plain) write(w io.Writer) {
	defer close(p.stopped)
	put := func(line string) {
		fmt.Fprintln(w, line)
		if left := p.left.Swap(0); left > 0 {
			fmt.Fprintf(w, "(%d lines were left out: they were not taken in time)\n", left)
		}
	}
	for {
		select {
		case line := <-p.lines:
			put(line)
		case <-p.stop:
			for len(p.lines) > 0 {
				put(<-p.lines)
			}
			return
		}
	}
}

// close waits until what is queued is written. Lines that come later are lost.
func (p *plain) close() {
	close(p.stop)
	<-p.stopped
}

func (p *plain) event(e engine.Event) { p.println(eventLine(p.started, e)) }

func (p *plain) println(text string) {
	select {
	case p.lines <- text:
	default:
		p.left.Add(1)
	}
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
