//go:build !linux

package sli

import (
	"context"
	"errors"
	"os/exec"
)

// runGroup needs Linux to keep a process group's id from being used again while it
// is killed.
func runGroup(context.Context, *exec.Cmd) error {
	return errors.New("command SLIs need Linux")
}
