package schedules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/internal/printable"
)

// poll is how often the folder is looked at, and the longest that a clock which was
// set goes unnoticed.
const poll = 2 * time.Second

// Runner runs one experiment to its end.
type Runner interface {
	// Run returns the exit code of squall's run command, or an error where there was
	// none. When ctx ends it stops the experiment, waits until everything is put back
	// or a bound of its own has passed, and returns.
	Run(ctx context.Context, file, experiment string) (exit int, err error)
}

// Server runs the schedules of a folder.
//
// The folder is looked at every two seconds. A change is taken up once the files have
// been the same for two looks in a row, so that nothing is read while it is being
// written. A file with a problem is reported, and neither it nor what depends on it is
// run until it is mended; everything else goes on. A schedule that is removed or
// changed does not disturb a run of it that is under way. Folders and files that
// everybody can write are refused: a document can name commands.
//
// A run is fired if it is noticed within 15 seconds of its time, and left out
// otherwise. One that comes due while the last run of the same schedule goes on is
// left out; runs of different schedules may overlap. When the clock is set back by up
// to three hours, nothing is repeated: the schedules wait until it has caught up. When
// it is set back farther, it was wrong before, and the schedules begin anew. What is
// left out is said to be.
type Server struct {
	// Dir is the folder. Its files that end in .yaml or .yml are read.
	Dir string
	// Load reads and checks a file. It has no effects. Nothing of a file is used for
	// which it returns an error.
	Load func(path string) (*experiments.Documents, error)
	// Runner runs what is due.
	Runner Runner
	// Observe is told what happens, from one goroutine. The server waits for its
	// return.
	Observe func(Event)

	now func() time.Time // the wall clock; time.Now where nil
}

// Run serves until ctx ends. Then it fires nothing more, has the runs that go on
// stopped, and returns when they have ended. It returns an error only where the
// folder can't be served to begin with.
func (s *Server) Run(ctx context.Context) error {
	if s.now == nil {
		s.now = time.Now
	}
	r := &serving{
		Server:  s,
		folder:  folder{s.Dir, s.Load},
		running: map[string]time.Time{},
		ended:   make(chan Event),
	}
	files, err := r.list()
	if err != nil {
		return err
	}
	r.take(files)
	r.serve(ctx)
	return nil
}

// serving is a Server at work. Everything but the runs themselves happens in one
// goroutine.
type serving struct {
	*Server
	folder
	calendar calendar
	where    map[string]string    // the experiments' files
	running  map[string]time.Time // the schedules that have a run under way, and since when
	ended    chan Event           // a run has ended

	loaded  []file // what the present plans were made of
	pending []file // what the last look found, where it is something else
	failed  string // why the folder could not be read, the last time
}

// serve is the loop. Its timer runs on the monotonic clock, which stands still while a
// machine sleeps; so it is never long, and what is due is looked up on the wall clock.
func (r *serving) serve(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	looked := time.Now()
	for {
		select {
		case <-ctx.Done():
			r.drain()
			return
		case e := <-r.ended:
			r.finish(e)
			continue
		case <-timer.C:
		}
		if time.Since(looked) >= poll {
			looked = time.Now()
			r.look()
		}
		r.fire(ctx)
		timer.Reset(r.pause())
	}
}

// wall is the time on the wall clock, without the monotonic reading that a comparison
// would prefer.
func (r *serving) wall() time.Time { return r.now().Round(0) }

// pause is how long nothing can be due.
func (r *serving) pause() time.Duration {
	pause, now := poll, r.wall()
	for _, entry := range r.calendar.entries {
		if next := entry.next(); !next.IsZero() {
			pause = min(pause, next.Sub(now))
		}
	}
	return max(pause, 0)
}

func (r *serving) emit(e Event) {
	e.At = r.wall()
	e.Text = printable.Text(e.Text, 500)
	r.Observe(e)
}

func (r *serving) emitAbout(p *Plan, kind EventKind, due time.Time, text string) {
	r.emit(Event{Kind: kind, Schedule: p.Name, Experiment: p.Experiment, File: p.File, Due: due, Text: text})
}

// look takes up changes of the folder.
func (r *serving) look() {
	files, err := r.list()
	if err != nil {
		if r.failed != err.Error() {
			r.failed = err.Error()
			r.emit(Event{Kind: EventBroken, File: r.Dir, Err: err, Text: "the folder cannot be read: its schedules rest"})
			r.plan(&contents{})
		}
		r.loaded, r.pending = nil, nil
		return
	}
	switch {
	case r.failed == "" && sameFiles(files, r.loaded):
		r.pending = nil
	case r.pending != nil && sameFiles(files, r.pending):
		r.take(files)
	default:
		r.pending = append([]file{}, files...)
	}
}

// take reads the files and makes their schedules the present ones.
func (r *serving) take(files []file) {
	r.loaded, r.pending, r.failed = files, nil, ""
	found := r.read(files)
	for _, broken := range found.broken {
		r.emit(Event{Kind: EventBroken, File: broken.path, Err: broken.err, Text: broken.path + " has problems: what they concern is not run"})
	}
	r.plan(found)
}

func (r *serving) plan(found *contents) {
	before := r.calendar.entries
	r.where = found.where
	r.calendar.set(found.plans, r.wall())
	after := r.calendar.entries
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] == nil {
			r.emitAbout(before[name].plan, EventRemoved, time.Time{}, fmt.Sprintf("schedule %s is gone", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		entry := after[name]
		if old := before[name]; old != nil && old.plan.same(entry.plan) {
			continue
		}
		r.emitAbout(entry.plan, EventLoaded, time.Time{}, fmt.Sprintf("schedule %s runs experiment %s", name, entry.plan.Experiment))
		r.emitNext(entry)
	}
}

func (r *serving) emitNext(e *entry) {
	next, text := e.next(), "schedule "+e.plan.Name+" does not come again"
	if !next.IsZero() {
		text = fmt.Sprintf("schedule %s comes next at %s", e.plan.Name, clock(next))
	}
	r.emitAbout(e.plan, EventNext, next, text)
}

// fire starts what is due.
func (r *serving) fire(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	for _, d := range r.calendar.look(r.wall()) {
		if d.setBack > 0 {
			r.emitAbout(d.plan, EventClock, time.Time{}, fmt.Sprintf("the clock was set back by %s: schedule %s begins anew", d.setBack.Round(time.Second), d.plan.Name))
		}
		if d.missed > 0 {
			r.emitAbout(d.plan, EventSkipped, d.last, d.missedText())
		}
		since, busy := r.running[d.plan.Name]
		switch {
		case d.fire.IsZero():
		case busy:
			r.emitAbout(d.plan, EventSkipped, d.fire, fmt.Sprintf("the last run of schedule %s has been going on for %s", d.plan.Name, r.wall().Sub(since).Round(time.Second)))
		default:
			r.start(ctx, d.plan, d.fire)
		}
		r.emitNext(r.calendar.entries[d.plan.Name])
	}
}

func (r *serving) start(ctx context.Context, p *Plan, at time.Time) {
	r.running[p.Name] = r.wall()
	file := r.where[p.Experiment]
	e := Event{Kind: EventStarted, Schedule: p.Name, Experiment: p.Experiment, File: file, Due: at,
		Text: fmt.Sprintf("schedule %s starts experiment %s", p.Name, p.Experiment)}
	r.emit(e)
	began := time.Now()
	go func() {
		e.Kind = EventFinished
		e.Exit, e.Err = r.Runner.Run(ctx, file, p.Experiment)
		e.Took = time.Since(began)
		r.ended <- e
	}()
}

func (r *serving) finish(e Event) {
	delete(r.running, e.Schedule)
	if e.Err == nil {
		e.Verdict = verdict(e.Exit)
		e.Text = fmt.Sprintf("experiment %s of schedule %s: %s, after %s", e.Experiment, e.Schedule, e.Verdict, e.Took.Round(time.Millisecond))
	} else {
		e.Text = fmt.Sprintf("experiment %s of schedule %s has no verdict: %v", e.Experiment, e.Schedule, e.Err)
	}
	r.emit(e)
}

// drain waits for the runs that go on; their context has ended.
func (r *serving) drain() {
	text := "stopping: nothing is running"
	if n := len(r.running); n > 0 {
		text = fmt.Sprintf("stopping: waiting until everything is put back (runs under way: %d)", n)
	}
	r.emit(Event{Kind: EventStopping, Text: text})
	for len(r.running) > 0 {
		r.finish(<-r.ended)
	}
}

// ErrKilled is wrapped by a Runner's error where an experiment did not stop in time
// and had to be killed. Its deadman puts back what it left.
var ErrKilled = errors.New("it did not stop in time and was killed; its deadman puts everything back")
