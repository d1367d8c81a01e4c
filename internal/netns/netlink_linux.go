package netns

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dumpTries is how often an interrupted dump is tried again. A dump is interrupted
// when the table changes under it, so that one that never comes through means a
// namespace in uproar.
const dumpTries = 20

// Dump calls list, a netlink dump, until it comes through whole. A list that stays
// interrupted is an error: it is unknown, not empty.
func Dump[T any](list func() ([]T, error)) ([]T, error) {
	for try := 1; ; try++ {
		items, err := list()
		interrupted := errors.Is(err, netlink.ErrDumpInterrupted) || errors.Is(err, unix.EINTR)
		switch {
		case err == nil:
			return items, nil
		case !interrupted:
			return nil, err
		case try == dumpTries:
			return nil, fmt.Errorf("interrupted %d times: %w", try, err)
		}
	}
}

// Addresses returns the IP addresses of all interfaces of a namespace but those of
// its loopback.
func Addresses(path string) (addrs []netip.Addr, err error) {
	err = Do(path, func() error {
		list, err := Dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
		if err != nil {
			return fmt.Errorf("cannot list the addresses in %s: %w", path, err)
		}
		for _, a := range list {
			if addr, ok := netip.AddrFromSlice(a.IP); ok && !addr.IsLoopback() {
				addrs = append(addrs, addr.Unmap())
			}
		}
		return nil
	})
	return addrs, err
}
