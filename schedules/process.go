package schedules

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// ProcessRunner runs each experiment as a process of its own, with its own journal and
// deadman: one that crashes takes nothing else with it.
type ProcessRunner struct {
	// Program is squall's own path.
	Program string
	// Stdout and Stderr get the run's result (one JSON object) and its progress. Where
	// they are the same for several runs they must be able to be written to at once,
	// as an *os.File is.
	Stdout, Stderr io.Writer
	// Patience is how long a run that was told to stop (SIGINT) may take until it is
	// told again (SIGTERM), and then until it is killed. A minute where 0.
	Patience time.Duration
}

var _ Runner = (*ProcessRunner)(nil)

// Run implements Runner. The process is the leader of a group of its own, so that a
// Ctrl-C on the server's terminal reaches it once, through the server. On Linux it is
// told to stop when the server dies.
func (p *ProcessRunner) Run(ctx context.Context, file, experiment string) (int, error) {
	if ctx.Err() != nil {
		return 0, fmt.Errorf("cannot run %q: %w", experiment, context.Cause(ctx))
	}
	// The kernel counts the thread that starts a process as its parent: it has to live
	// as long as the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(p.Program, "run", "--experiment="+experiment, "--output=json", "--", file)
	cmd.Stdout, cmd.Stderr = p.Stdout, p.Stderr
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = 5 * time.Second // for a grandchild that keeps the output open
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("cannot run %q: %w", experiment, err)
	}
	ended := make(chan struct{})
	stopped := make(chan bool)
	go func() { stopped <- p.stop(ctx, cmd.Process, ended) }()
	err := cmd.Wait()
	close(ended)
	killed := <-stopped
	switch state := cmd.ProcessState; {
	case killed:
		return 0, fmt.Errorf("cannot stop %q: %w", experiment, ErrKilled)
	case state != nil && state.Exited():
		// An output that could not be copied takes nothing from the verdict.
		return state.ExitCode(), nil
	}
	return 0, fmt.Errorf("the run of %q ended without an exit code: %w", experiment, err)
}

// stop asks a process to end when ctx ends, more and more firmly, and reports whether
// it had to kill it.
func (p *ProcessRunner) stop(ctx context.Context, process *os.Process, ended <-chan struct{}) (killed bool) {
	select {
	case <-ended:
		return false
	case <-ctx.Done():
	}
	patience := p.Patience
	if patience == 0 {
		patience = time.Minute
	}
	for _, signal := range []os.Signal{unix.SIGINT, unix.SIGTERM} {
		// An error means that it has ended, which Wait will say.
		_ = process.Signal(signal)
		select {
		case <-ended:
			return false
		case <-time.After(patience):
		}
	}
	return process.Kill() == nil
}
