//go:build !linux

package netns

import (
	"errors"
	"fmt"
	"net/netip"
)

func unsupported() error {
	return fmt.Errorf("cannot use network namespaces: they need Linux: %w", errors.ErrUnsupported)
}

// Identify needs Linux.
func Identify(string) (string, error) { return "", unsupported() }

// Host needs Linux.
func Host() (string, error) { return "", unsupported() }

// Cookie needs Linux.
func Cookie(string) (uint64, error) { return 0, unsupported() }

// Named needs Linux.
func Named() ([]string, error) { return nil, unsupported() }

// Do needs Linux.
func Do(string, func() error) error { return unsupported() }

// Find needs Linux.
func Find(string, ...string) (string, bool, error) { return "", false, unsupported() }

// Addresses needs Linux.
func Addresses(string) ([]netip.Addr, error) { return nil, unsupported() }
