package sli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// runGroup runs a command in a process group of its own, and kills the group when
// ctx is done or the command itself ends: what it left in the background goes with
// it. Where squall is killed, the kernel kills the command.
func runGroup(ctx context.Context, command *exec.Cmd) error {
	// The parent-death signal is sent when the thread ends that started the command,
	// so that thread must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.WaitDelay = pipeGrace
	if err := command.Start(); err != nil {
		return err
	}
	pid := command.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- awaitExit(pid) }()
	var problem error
	select {
	case problem = <-ended:
		killGroup(pid)
	case <-ctx.Done():
		killGroup(pid)
		problem = <-ended
	}
	if err := command.Wait(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return err
	}
	return problem
}

// awaitExit waits until a child has exited, and leaves it a zombie: as long as it is
// one, its pid, and so its group's id, can't belong to anybody else.
func awaitExit(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("cannot wait for process %d: %w", pid, err)
		}
	}
}

// killGroup kills the process group of a child that is not reaped yet. There is
// nothing to do where it fails: ESRCH says that nothing of it is left.
func killGroup(pid int) { _ = unix.Kill(-pid, unix.SIGKILL) }
