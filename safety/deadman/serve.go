package deadman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/hint"
)

// Outcome says why a deadman ended.
type Outcome string

// The outcomes.
const (
	Released   Outcome = "released"    // squall put everything back
	ParentGone Outcome = "parent gone" // squall was gone, so the deadman acted
	TooLate    Outcome = "too late"    // the deadline passed, so the deadman acted
)

// ServeOptions say what to guard.
type ServeOptions struct {
	// Journal is the path of the journal, the last argument that Start added.
	Journal string
	// Revert puts back what the journal holds and removes it. It has to wait for the
	// journal's lock (journal.Open does), which a process that just died may still
	// hold for a moment, and returns nil where the journal is gone. It is called
	// again after an error.
	Revert func(ctx context.Context, journal string) error
}

// persistence is how hard a deadman tries.
type persistence struct {
	attempt  time.Duration // the time limit of one Revert
	pause    time.Duration // before the second attempt, doubled before each further one
	maxPause time.Duration
	giveUp   time.Duration // after which no further attempt is made
}

var stubborn = persistence{
	attempt:  2 * time.Minute,
	pause:    200 * time.Millisecond,
	maxPause: 15 * time.Second,
	giveUp:   15 * time.Minute,
}

// Serve is the deadman itself: the whole life of a process that Start started. It
// takes the process over (signals, working directory, descriptors) and returns when
// it was released, or when it acted and is done. The cancellation of ctx is
// ignored: nothing but a release calls a deadman off.
//
// An error means that it could not begin, or could not put everything back. In the
// second case the log beside the journal (see [LogPath]) says what happened, and
// the journal stays for recover.
func Serve(ctx context.Context, options ServeOptions) (Outcome, error) {
	return serve(context.WithoutCancel(ctx), options, stubborn)
}

func serve(ctx context.Context, options ServeOptions, how persistence) (Outcome, error) {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGUSR1, syscall.SIGUSR2)
	if err := checkBirth(); err != nil {
		return "", err
	}
	ready := os.NewFile(fdReady, "ready")
	w, err := settle(options.Journal)
	answer := readyWord
	if err != nil {
		answer = err.Error()
	}
	_, writeErr := ready.WriteString(answer)
	// Where squall is gone already nobody reads the word, and the pipe says so too.
	if errors.Is(writeErr, syscall.EPIPE) {
		writeErr = nil
	}
	if err := errors.Join(err, writeErr, ready.Close()); err != nil {
		return "", fmt.Errorf("cannot begin to watch: %w", err)
	}
	outcome := w.wait()
	if outcome == Released {
		return outcome, nil
	}
	w.parent.kill()
	return outcome, how.revert(ctx, options)
}

// checkBirth makes sure that Start started this process.
func checkBirth() error {
	for _, fd := range []int{fdPipe, fdReady} {
		var stat unix.Stat_t
		if err := unix.Fstat(fd, &stat); err != nil || uint32(stat.Mode)&unix.S_IFMT != unix.S_IFIFO { //nolint:unconvert // 16 bits wide on darwin
			return hint.Wrap(errors.New("the deadman is started by squall itself, and can't be started by hand"),
				"to put back what a dead squall left, run `squall recover`")
		}
	}
	return nil
}

// watchman waits for one of the reasons to act.
type watchman struct {
	messages *json.Decoder
	parent   *parent
	deadline *time.Timer
}

// settle makes this process independent of where it came from.
func settle(journal string) (*watchman, error) {
	if !strings.HasPrefix(journal, "/") {
		return nil, fmt.Errorf("the journal's path %q is not absolute", journal)
	}
	unix.CloseOnExec(fdPipe)
	// Non-blocking, so that the runtime's poller waits for it.
	if err := unix.SetNonblock(fdPipe, true); err != nil {
		return nil, err
	}
	w := &watchman{messages: json.NewDecoder(os.NewFile(fdPipe, "pipe"))}
	var hello message
	if err := w.messages.Decode(&hello); err != nil {
		return nil, fmt.Errorf("no word from squall: %w", err)
	}
	w.deadline = time.NewTimer(hello.Deadline)
	var err error
	if w.parent, err = newParent(hello); err != nil {
		return nil, err
	}
	lastDescriptor := fdReady
	if hello.PIDFD {
		lastDescriptor = fdParent
	}
	spareFromOOM()
	return w, errors.Join(closeInherited(lastDescriptor), os.Chdir("/"))
}

// wait returns why to end.
func (w *watchman) wait() Outcome {
	heard := make(chan message)
	gone := make(chan struct{}, 2)
	go func() {
		for {
			var m message
			// Whatever ends the pipe, and whatever comes out of it that isn't a message,
			// there is no squall at the other end that could be trusted with a fault.
			if err := w.messages.Decode(&m); err != nil {
				gone <- struct{}{}
				return
			}
			heard <- m
		}
	}()
	// A process that squall was just starting may hold a copy of the pipe for as long
	// as its exec hangs. The end of squall itself shows all the same.
	go func() {
		if w.parent.awaitEnd() == nil {
			gone <- struct{}{}
		}
	}()
	for {
		select {
		case m := <-heard:
			if m.Release {
				return Released
			}
			w.deadline.Reset(m.Deadline)
		case <-gone:
			// A release that was the last word of a squall that then ended may go unread
			// here. It does no harm: whoever releases has finished the journal before.
			return ParentGone
		case <-w.deadline.C:
			return TooLate
		}
	}
}

// revert tries until everything is put back or it is time to give up.
func (p persistence) revert(ctx context.Context, options ServeOptions) error {
	log := slog.New(slog.NewTextHandler(lateFile(LogPath(options.Journal)), nil))
	ctx, cancel := context.WithTimeout(ctx, p.giveUp)
	defer cancel()
	for attempt, pause := 1, p.pause; ; attempt, pause = attempt+1, min(2*pause, p.maxPause) {
		err := p.try(ctx, options)
		if err == nil {
			if attempt > 1 {
				log.Info("everything is put back", "attempt", attempt)
			}
			return nil
		}
		log.Error("cannot put everything back", "attempt", attempt, "error", err, "hints", strings.Join(hint.Of(err), "; "))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			log.Error("gave up: run `squall recover`", "after", p.giveUp)
			return fmt.Errorf("cannot put everything back, gave up after %d attempts: %w", attempt, err)
		}
	}
}

// try calls Revert once. It does not wait longer for a Revert that ignores its time
// limit than the time to give up: the end of this process is what frees the lock for
// recover then.
func (p persistence) try(ctx context.Context, options ServeOptions) error {
	limited, cancel := context.WithTimeout(ctx, p.attempt)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if value := recover(); value != nil {
				done <- fmt.Errorf("panic: %v\n%s", value, debug.Stack())
			}
		}()
		done <- options.Revert(limited, options.Journal)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return errors.New("the revert ignores its time limit")
	}
}

// LogPath is where the deadman of a journal writes what went wrong. There is no such
// file where nothing did.
func LogPath(journal string) string {
	return strings.TrimSuffix(journal, ".journal") + ".deadman.log"
}

// lateFile is a file that is made with its first line: a deadman that has nothing to
// say leaves nothing behind, whatever becomes of it.
type lateFile string

var _ io.Writer = lateFile("")

func (path lateFile) Write(line []byte) (int, error) {
	file, err := os.OpenFile(string(path), os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := file.Write(line)
	return n, errors.Join(err, file.Close())
}
