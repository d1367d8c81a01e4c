// Package live shows a run while it goes on: as a view that fills a terminal, or as
// plain lines where there is none. It only looks: a view that breaks, or a terminal
// that goes away, never disturbs the run.
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"github.com/squallhq/squall/experiments/engine"
)

// refresh is how often the view looks at the run.
const refresh = 200 * time.Millisecond

// errStopped is why a run ended that was stopped by a key.
var errStopped = errors.New("with a key, at the terminal")

// Run runs the plan under a view that fills the terminal, and returns the result.
// stderr must be a terminal. The keys q and Ctrl-C stop the run, which rolls it back.
// On the way out the terminal is what it was, with a log of the run on it.
func Run(ctx context.Context, stderr io.Writer, host engine.Host, plan *engine.Plan) *engine.Result {
	if os.Getenv("TERM") == "dumb" { // it can't move its cursor
		return RunPlain(ctx, stderr, host, plan)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log := &eventLog{}
	run := engine.NewRun(host, plan, log.add)

	m := &model{
		snapshot: run.Snapshot, events: log.newest, stopping: func() bool { return ctx.Err() != nil },
		stop: func() { cancel(errStopped) }, theme: themeFor(os.Getenv), started: time.Now(),
	}
	options := []tea.ProgramOption{tea.WithOutput(stderr), tea.WithoutSignalHandler(), tea.WithInput(nil)}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		options = append(options, tea.WithInput(os.Stdin))
	}
	program := tea.NewProgram(m, options...)

	viewed := make(chan error, 1)
	go func() {
		_, err := program.Run()
		viewed <- err
	}()
	result := run.Do(ctx)
	program.Quit()
	if err := <-viewed; err != nil {
		fmt.Fprintf(stderr, "squall: the live view broke, the run did not: %s\n", safe(err.Error(), 400))
	}
	// The view's screen is gone with it: what happened stays.
	for _, e := range log.newest(logged) {
		fmt.Fprintln(stderr, eventLine(run.Snapshot().Started, e))
	}
	return result
}

// logged is how many events are kept for the view and for the log after it.
const logged = 40

// eventLog keeps a run's newest events.
type eventLog struct {
	mu     sync.Mutex
	events []engine.Event
}

func (l *eventLog) add(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == logged {
		l.events = append(l.events[:0], l.events[1:]...)
	}
	l.events = append(l.events, e)
}

// newest returns the last n events, oldest first.
func (l *eventLog) newest(n int) []engine.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]engine.Event(nil), l.events[max(0, len(l.events)-n):]...)
}
