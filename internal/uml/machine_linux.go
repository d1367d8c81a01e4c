package uml

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// endWithGroup lets the end of the context take all of the kernel's processes, of
// which user-mode Linux has one for each address space of the guest.
func endWithGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// favour puts the guest before others on a busy machine, where we may: what is
// measured inside is time.
func favour(cmd *exec.Cmd) { _ = unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, -15) }
