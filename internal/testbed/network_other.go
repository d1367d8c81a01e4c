//go:build !linux

package testbed

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
)

// Network needs Linux.
type Network struct {
	Subnet  netip.Prefix
	Gateway netip.Addr
}

func unsupported() error {
	return fmt.Errorf("cannot make a network of namespaces: it needs Linux: %w", errors.ErrUnsupported)
}

// New needs Linux.
func New(string) (*Network, error) { return nil, unsupported() }

// AddHost needs Linux.
func (*Network) AddHost(string) (*Host, error) { return nil, unsupported() }

// Close needs Linux.
func (*Network) Close() error { return unsupported() }

// Clean needs Linux.
func Clean(string) error { return unsupported() }

// Do needs Linux.
func (*Host) Do(func() error) error { return unsupported() }

// Start needs Linux.
func (*Host) Start(*exec.Cmd) error { return unsupported() }
