// Package deadman is the process that reverts a run when squall is gone or late.
//
// [Start] runs it as a child in a session of its own and holds a pipe to it. As
// long as the pipe is open and the deadline has not passed, it does nothing. It
// acts when
//
//   - the pipe is closed without a release: squall was killed or crashed, or
//   - the deadline passes: squall hangs, or its run takes longer than it may.
//
// To act is to kill squall, so that nobody makes another effect, and then to revert
// the journal. Only [Deadman.Release] calls it off.
//
// # What it survives
//
// Signals of a terminal or a polite shutdown (INT, TERM, HUP, QUIT) don't end it.
// It holds no file of squall's parents open and stands on no file system but the
// root. The kernel's out-of-memory killer takes others first, where squall may
// ask for that. It does not survive a SIGKILL, nor the end of its cgroup or of its
// PID namespace: the recover command covers that.
package deadman

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/squallhq/squall/internal/hint"
)

// How long the parent waits for its deadman, which has next to nothing to do.
const (
	startTimeout   = 10 * time.Second
	releaseTimeout = 5 * time.Second
	sendTimeout    = 2 * time.Second
)

// Options say what to start.
type Options struct {
	// Program is the file to execute; Argv[0] where it is empty.
	Program string
	// Argv is the program and its arguments: this program, with arguments that make
	// it call Serve. The journal's path is added as the last argument.
	Argv []string
	// Journal is the path of the journal to revert, which need not be there yet.
	Journal string
	// Deadline is how long from now it waits before it acts, on the monotonic clock.
	Deadline time.Duration
}

// Deadman is a running deadman, seen from squall. Its methods may be called from
// several goroutines.
type Deadman struct {
	cmd  *exec.Cmd
	pipe *os.File // its end is what the deadman waits for: see watch

	done chan struct{} // closed when the process has ended and was reaped
	died chan struct{} // closed when that came without a release
	err  error         // how it ended; valid once done is closed

	mu       sync.Mutex
	released bool
}

// message is what squall tells its deadman, one JSON object a line. The first one
// carries the deadline and squall's identity.
type message struct {
	Deadline time.Duration `json:"deadline,omitempty"` // nanoseconds from now
	PID      int           `json:"pid,omitempty"`      // squall's
	PIDFD    bool          `json:"pidfd,omitempty"`    // whether fdParent was passed
	Release  bool          `json:"release,omitempty"`
}

// The descriptors that the deadman is born with.
const (
	fdPipe   = 3 // messages come from here
	fdReady  = 4 // "ready", or why not, goes here
	fdParent = 5 // a pidfd of squall, where the kernel has them
)

const readyWord = "ready"

// Start starts a deadman and returns once it watches. ctx bounds the start only.
func Start(ctx context.Context, options Options) (*Deadman, error) {
	d, err := start(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("cannot start the deadman: %w", err)
	}
	return d, nil
}

func start(ctx context.Context, options Options) (*Deadman, error) {
	switch {
	case len(options.Argv) == 0:
		return nil, errors.New("no program was given")
	case options.Deadline <= 0:
		return nil, fmt.Errorf("its deadline %s is not in the future", options.Deadline)
	}
	journal, err := filepath.Abs(options.Journal)
	if err != nil {
		return nil, err
	}
	files := &childFiles{}
	defer files.close()
	pipe, err := files.pipeTo()
	if err != nil {
		return nil, err
	}
	ready, err := files.pipeFrom()
	if err != nil {
		return nil, errors.Join(err, pipe.Close())
	}
	defer ready.Close() //nolint:errcheck // read only
	hello := message{Deadline: options.Deadline, PID: os.Getpid()}
	if hello.PIDFD, err = files.self(); err != nil {
		return nil, errors.Join(err, pipe.Close())
	}

	argv := append(options.Argv[:len(options.Argv):len(options.Argv)], journal)
	d := &Deadman{pipe: pipe, done: make(chan struct{}), died: make(chan struct{})}
	d.cmd = exec.Command(cmp.Or(options.Program, argv[0]))
	d.cmd.Args = argv
	d.cmd.ExtraFiles = files.files
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// It fits the pipe, so it can wait there for its reader.
	if err := d.send(hello); err != nil {
		return nil, errors.Join(err, pipe.Close())
	}
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(err, pipe.Close())
	}
	go d.watch()
	files.close()
	if err := awaitReady(ctx, ready); err != nil {
		return nil, errors.Join(err, d.abandon())
	}
	return d, nil
}

// watch waits for the process's end, so that it never becomes a zombie. It also
// keeps the pipe reachable: the garbage collector would close it.
func (d *Deadman) watch() {
	d.err = d.cmd.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.done)
	if !d.released {
		close(d.died)
	}
	if err := d.pipe.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		d.err = errors.Join(d.err, err)
	}
}

// awaitReady reads the deadman's one word.
func awaitReady(ctx context.Context, ready *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		_ = ready.SetReadDeadline(time.Now()) // it is a pipe: it can
	})
	defer stop()
	answer, err := io.ReadAll(io.LimitReader(ready, 4096))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it did not become ready: %w", context.Cause(ctx))
	case err != nil:
		return err
	case len(answer) == 0:
		return hint.Wrap(errors.New("it ended before it was ready"), "run `squall doctor`")
	case string(answer) != readyWord:
		return errors.New(strings.ToValidUTF8(string(answer), "?"))
	}
	return nil
}

func (d *Deadman) send(m message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	// A deadman that was stopped reads nothing: once the pipe is full, a write to it
	// must fail rather than hang.
	if err := d.pipe.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err = d.pipe.Write(append(line, '\n'))
	return err
}

// abandon ends a deadman that has nothing to guard yet.
func (d *Deadman) abandon() error {
	d.mu.Lock()
	d.released = true
	d.mu.Unlock()
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-d.done
	return nil
}

// PID is the deadman's process id.
func (d *Deadman) PID() int { return d.cmd.Process.Pid }

// Alive reports whether the process is there.
func (d *Deadman) Alive() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// Died is closed when the deadman has ended without having been released: the run
// goes on without a net. The pipe is of no use any more; start another, or abort.
func (d *Deadman) Died() <-chan struct{} { return d.died }

// Extend sets a new deadline, from now.
func (d *Deadman) Extend(deadline time.Duration) error {
	if deadline <= 0 {
		return fmt.Errorf("cannot set the deadman's deadline: %s is not in the future", deadline)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.released {
		return errors.New("cannot set the deadman's deadline: it was released")
	}
	if err := d.send(message{Deadline: deadline}); err != nil {
		return fmt.Errorf("cannot set the deadman's deadline: %w", err)
	}
	return nil
}

// Release tells the deadman that all is put back, and waits for its end. It returns
// an error where the deadman had died before, or had to be killed. Releasing twice
// does nothing.
func (d *Deadman) Release() error {
	d.mu.Lock()
	if d.released {
		d.mu.Unlock()
		return nil
	}
	died := !d.Alive()
	d.released = true
	err := d.send(message{Release: true})
	d.mu.Unlock()
	if died {
		return fmt.Errorf("the deadman had died before it was released: %w", d.end())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot release the deadman: %w", err), d.abandon())
	}
	select {
	case <-d.done:
	case <-time.After(releaseTimeout):
		return errors.Join(fmt.Errorf("the deadman did not end within %s of its release", releaseTimeout), d.abandon())
	}
	if d.err != nil {
		return fmt.Errorf("the deadman failed: %w", d.err)
	}
	return nil
}

// end says how the process ended.
func (d *Deadman) end() error {
	<-d.done
	if d.err == nil {
		return errors.New("exit status 0")
	}
	return d.err
}

// childFiles are the descriptors that only the child needs.
type childFiles struct{ files []*os.File }

func (c *childFiles) pipeTo() (write *os.File, err error) {
	read, write, err := os.Pipe()
	if err == nil {
		c.files = append(c.files, read)
	}
	return write, err
}

func (c *childFiles) pipeFrom() (read *os.File, err error) {
	read, write, err := os.Pipe()
	if err == nil {
		c.files = append(c.files, write)
	}
	return read, err
}

// self adds a pidfd of this process: unlike a process id it can't come to mean
// somebody else.
func (c *childFiles) self() (bool, error) {
	file, err := openSelf()
	if err != nil || file == nil {
		return false, err
	}
	c.files = append(c.files, file)
	return true, nil
}

func (c *childFiles) close() {
	for _, file := range c.files {
		_ = file.Close() // nothing was written through it
	}
	c.files = nil
}
