//go:build !linux

package target

import (
	"context"
	"errors"
	"fmt"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/docker"
)

// The engine is remote here, so that its containers' processes and namespaces
// can't be seen, and squall runs in none of them.

func ownContainers() map[string]bool { return nil }

func isAncestor(string, int) bool { return false }

func see(t *injectors.Target, _ docker.Container) error {
	t.PID = 0
	return nil
}

func processes(context.Context, *Process) (Matches, string, error) {
	return Matches{}, "", fmt.Errorf("cannot look for processes: that needs Linux: %w", errors.ErrUnsupported)
}
