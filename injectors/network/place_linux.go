package network

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/netns"
	"github.com/vishvananda/netlink"
)

// maxInterfaces bounds what one fault may touch.
const maxInterfaces = 64

func refuse(format string, args ...any) error {
	return &injectors.Refusal{Reason: fmt.Sprintf(format, args...)}
}

// locate finds the namespace and the interfaces of a target, and writes them into
// a record.
func locate(spec *Spec, target injectors.Target) (Record, error) {
	record := Record{NetNS: target.NetNS}
	own := target.Kind != injectors.KindInterface // a namespace of its own is a must
	switch {
	case own && target.HostNet:
		return record, sharesHost(target)
	case own && target.NetNS == "":
		return record, refuse("%s %q has no network namespace to put a fault into: is it running?", target.Kind, target.Name)
	case target.NetNS == "":
		record.NetNS = "/proc/self/ns/net"
	}
	id, err := netns.Identify(record.NetNS)
	if err != nil {
		return record, err
	}
	host, err := netns.Host()
	if err != nil {
		return record, err
	}
	if own && id == host {
		return record, sharesHost(target)
	}
	if target.NetNSID != "" && target.NetNSID != id {
		return record, fmt.Errorf("cannot plan on %s %q: its network namespace was %s and is %s by now", target.Kind, target.Name, target.NetNSID, id)
	}
	record.NetNSID = id
	record.NetNSCookie, err = netns.Cookie(record.NetNS)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return record, err
	}
	name, err := interfaceOf(spec, target)
	if err != nil {
		return record, err
	}
	err = netns.Do(record.NetNS, func() error {
		record.Interfaces, err = interfaces(name, target)
		return err
	})
	return record, err
}

func sharesHost(target injectors.Target) error {
	return refuse("%s %q has no network namespace of its own, it shares this host's; use a host target with an interface to touch the host's network", target.Kind, target.Name)
}

// interfaceOf returns the name of the one interface that is meant, empty for all.
func interfaceOf(spec *Spec, target injectors.Target) (string, error) {
	name := target.Interface
	switch {
	case name == "":
		name = spec.Interface
	case spec.Interface != "" && spec.Interface != name:
		return "", refuse("the fault is for the interface %q, and its target is %q", spec.Interface, name)
	}
	if target.Kind == injectors.KindInterface && name == "" {
		return "", refuse("a host target needs an interface: squall does not touch all of a host's network at once")
	}
	return name, nil
}

// interfaces lists those to touch, with their root qdiscs. It runs inside the
// namespace.
func interfaces(name string, target injectors.Target) ([]Interface, error) {
	links, err := netns.Dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("cannot list the interfaces of %s %q: %w", target.Kind, target.Name, err)
	}
	root, err := roots()
	if err != nil {
		return nil, err
	}
	var list []Interface
	for _, link := range links {
		attrs := link.Attrs()
		loopback, up := attrs.Flags&net.FlagLoopback != 0, attrs.Flags&net.FlagUp != 0
		if name != "" && name == attrs.Name {
			if loopback {
				return nil, refuse("%s of %s %q is its loopback: a network fault does not touch that", show(name), target.Kind, target.Name)
			}
			if !up {
				return nil, refuse("the interface %s of %s %q is down", show(name), target.Kind, target.Name)
			}
		}
		if loopback || !up || name != "" && name != attrs.Name {
			continue
		}
		q := root[attrs.Index]
		list = append(list, Interface{Index: attrs.Index, Name: attrs.Name, Before: q.kind, BeforeHandle: q.handle})
	}
	switch {
	case len(list) == 0 && name != "":
		return nil, refuse("%s %q has no interface %q", target.Kind, target.Name, name)
	case len(list) == 0:
		return nil, refuse("%s %q has no interface that is up, except loopback", target.Kind, target.Name)
	case len(list) > maxInterfaces:
		return nil, refuse("%s %q has %d interfaces, more than the %d that one fault touches; name one with interface:", target.Kind, target.Name, len(list), maxInterfaces)
	}
	return list, nil
}

// object names what the fault takes exclusively.
func (r *Record) object(target injectors.Target) string {
	if target.Kind == injectors.KindInterface {
		return r.NetNSID + "/" + show(r.Interfaces[0].Name)
	}
	return r.NetNSID
}

// within runs fn inside the recorded namespace. It returns false, and does not run
// fn, where that namespace is gone.
func (r *Record) within(fn func() error) (bool, error) {
	for try := 1; ; try++ {
		path, ok, err := netns.Find(r.NetNSID, r.NetNS)
		if err != nil || !ok {
			return false, err
		}
		if r.NetNSCookie != 0 {
			cookie, err := netns.Cookie(path)
			if err == nil && cookie != r.NetNSCookie {
				return false, nil // the inode number was given to another namespace
			}
			if err != nil && try < 3 {
				continue // the process behind the path may have ended since
			}
			if err != nil {
				return false, err
			}
		}
		entered, stranger := false, false
		err = netns.Do(path, func() error {
			id, err := netns.Identify("/proc/thread-self/ns/net")
			if err != nil {
				return err
			}
			if id != r.NetNSID {
				stranger = true
				return nil
			}
			entered = true
			return fn()
		})
		if entered || try == 3 && !stranger {
			return entered, err
		}
		if try == 3 {
			return false, fmt.Errorf("cannot enter the network namespace %s: the path %s opens others", r.NetNSID, path)
		}
	}
}

// show quotes a name from outside where a terminal would obey it.
func show(name string) string {
	if quoted := strconv.Quote(name); quoted[1:len(quoted)-1] != name {
		return quoted
	}
	return name
}
