package uml

import (
	"os/exec"
	"syscall"
)

// endWithGroup lets the end of the context take all of the kernel's processes, of
// which user-mode Linux has one for each address space of the guest.
func endWithGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
