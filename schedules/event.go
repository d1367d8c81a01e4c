package schedules

import (
	"fmt"
	"time"
)

// EventKind says what an Event is about.
type EventKind string

// The kinds of event.
const (
	EventLoaded   EventKind = "loaded"   // a schedule is new, or was changed
	EventRemoved  EventKind = "removed"  // a schedule is not there any more
	EventBroken   EventKind = "broken"   // a file can't be used; Err says why, once for each change of the file
	EventNext     EventKind = "next"     // Due is when a schedule comes next
	EventStarted  EventKind = "started"  // a run began
	EventFinished EventKind = "finished" // a run ended: Exit and Verdict, or Err where there was none
	EventSkipped  EventKind = "skipped"  // one run or several were left out
	EventClock    EventKind = "clock"    // the clock was set back by more than a little
	EventStopping EventKind = "stopping" // the server ends; running experiments are told to stop
)

// Event is something that a Server does. Its strings may come from files and hold
// anything but for Text, which is one printable line.
type Event struct {
	At   time.Time
	Kind EventKind
	// Schedule, Experiment and File are set where the event is about one.
	Schedule, Experiment, File string
	// Due is the time that the run was due at, or comes at.
	Due time.Time
	// Took is how long a finished run took.
	Took time.Duration
	// Exit is the exit code of a finished run, and Verdict what it means.
	Exit    int
	Verdict string
	// Err is a strict.Problems where the documents themselves are wrong.
	Err error
	// Text says what happened, in words.
	Text string
}

// verdict says what an exit code of squall's run command means.
func verdict(exit int) string {
	switch exit {
	case 0:
		return "held"
	case 1:
		return "breached"
	case 2:
		return "invalid"
	case 3:
		return "refused"
	case 4:
		return "inconclusive"
	case 5:
		return "rollback incomplete"
	case 130:
		return "stopped"
	}
	return fmt.Sprintf("unknown (exit code %d)", exit)
}

// clock shows a time as people who chose a time zone want to read it.
func clock(t time.Time) string { return t.Format("Mon 2006-01-02 15:04:05 MST") }

func (d due) missedText() string {
	switch {
	case d.missed == 1:
		return fmt.Sprintf("the run due at %s was missed: the machine slept, squall was held up, or the clock was set", clock(d.first))
	case d.missed >= maxMissed:
		return fmt.Sprintf("more than %d runs due since %s were missed: the machine slept, squall was held up, or the clock was set", maxMissed, clock(d.first))
	}
	return fmt.Sprintf("%d runs due from %s to %s were missed: the machine slept, squall was held up, or the clock was set", d.missed, clock(d.first), clock(d.last))
}
