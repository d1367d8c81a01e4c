//go:build !linux

package deadman

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openSelf returns nil: there are no pidfds here.
func openSelf() (*os.File, error) { return nil, nil }

// parent is squall, seen from its deadman.
type parent struct{ pid int }

func newParent(hello message) (*parent, error) { return &parent{hello.PID}, nil }

// kill ends squall. It does nothing where squall is gone: a process has its parent's
// id for a parent only as long as that lives.
func (p *parent) kill() {
	if os.Getppid() == p.pid {
		_ = unix.Kill(p.pid, unix.SIGKILL)
	}
}

// awaitEnd leaves it to the pipe to say that squall has ended.
func (p *parent) awaitEnd() error { return errors.ErrUnsupported }

func spareFromOOM() {}

const descriptors = "/dev/fd"
