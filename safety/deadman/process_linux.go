package deadman

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openSelf returns a pidfd of this process, or nil where the kernel has none (before
// Linux 5.3) or a sandbox forbids it.
func openSelf() (*os.File, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot open a pidfd of this process: %w", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// parent is squall, seen from its deadman.
type parent struct {
	pid   int
	pidfd *os.File // nil where the kernel has none
}

func newParent(hello message) (*parent, error) {
	p := &parent{pid: hello.PID}
	if !hello.PIDFD {
		return p, nil
	}
	unix.CloseOnExec(fdParent)
	// Non-blocking, so that the runtime's poller waits for it.
	if err := unix.SetNonblock(fdParent, true); err != nil {
		return nil, fmt.Errorf("cannot watch squall's process: %w", err)
	}
	p.pidfd = os.NewFile(fdParent, "parent")
	return p, nil
}

// kill ends squall. It does nothing where squall is gone. Without a pidfd it relies
// on this: a process has its parent's id for a parent only as long as that lives.
func (p *parent) kill() {
	switch {
	case p.pidfd != nil:
		_ = unix.PidfdSendSignal(fdParent, unix.SIGKILL, nil, 0) // ESRCH: gone
	case os.Getppid() == p.pid:
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
}

// awaitEnd waits for squall's end, which makes its pidfd readable.
func (p *parent) awaitEnd() error {
	if p.pidfd == nil {
		return errors.ErrUnsupported
	}
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		var n int
		n, failed = unix.Poll(ready, 0)
		if errors.Is(failed, unix.EINTR) {
			n, failed = 0, nil
		}
		return n > 0 || failed != nil
	})
	return errors.Join(err, failed)
}

// spareFromOOM asks the kernel to take this process last when memory runs out. Only
// root may, and without it the deadman is as good as any other process.
func spareFromOOM() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
}

const descriptors = "/proc/self/fd"
