//go:build !linux

package dockertest

import (
	"context"
	"errors"
	"fmt"
)

// Daemon is a Docker engine of our own, which needs Linux.
type Daemon struct{}

// Start needs Linux.
func Start(context.Context) (*Daemon, error) {
	return nil, fmt.Errorf("cannot start a Docker engine: that needs Linux: %w", errors.ErrUnsupported)
}

// Host needs Linux.
func (*Daemon) Host() string { return "" }

// Stop needs Linux.
func (*Daemon) Stop(context.Context) error { return nil }
