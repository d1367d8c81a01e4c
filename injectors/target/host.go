package target

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/netns"
	"github.com/squallhq/squall/internal/strict"
)

// namedDir is where iproute2 keeps the namespaces that have a name.
const namedDir = "/run/netns"

// ownNetNS opens the namespace of whichever process of this host looks.
const ownNetNS = "/proc/self/ns/net"

func namespaces(spec *NetNS) (m Matches, nearest string, err error) {
	if spec.Path != "" {
		t, err := namespace(spec.Path, spec.Path)
		if err != nil {
			return m, "", err
		}
		t.Why = "path " + spec.Path
		m.Targets = append(m.Targets, t)
		return m, "", nil
	}
	names, err := netns.Named()
	if err != nil {
		return m, "", err
	}
	for _, name := range names {
		if !spec.Name.Match(name) {
			continue
		}
		t, err := namespace(name, filepath.Join(namedDir, name))
		if err != nil {
			return m, "", err
		}
		t.Why = "name " + name
		if spec.Name.re != nil {
			t.Why += " matches " + spec.Name.text
		}
		m.Targets = append(m.Targets, t)
	}
	switch meant := strict.Suggest(spec.Name.text, names); {
	case len(names) == 0:
		nearest = "there is no named network namespace here: ip netns shows them, and `path` takes the others"
	case meant != "":
		nearest = fmt.Sprintf("no network namespace %s: did you mean %q?", spec.Name.unmatched(), meant)
	default:
		nearest = fmt.Sprintf("no network namespace %s; there are %s", spec.Name.unmatched(), some(names))
	}
	return m, nearest, nil
}

func namespace(name, path string) (t injectors.Target, err error) {
	t = injectors.Target{Kind: injectors.KindNetNS, Name: name, NetNS: path}
	if t.NetNSID, err = netns.Identify(path); err != nil {
		return t, err
	}
	t.ID = t.NetNSID
	host, err := netns.Host()
	if err != nil {
		return t, err
	}
	t.HostNet = t.NetNSID == host
	t.Addresses, err = netns.Addresses(path)
	return t, err
}

func hostInterface(spec *Host) (m Matches, nearest string, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return m, "", fmt.Errorf("cannot list the interfaces of this host: %w", err)
	}
	var names []string
	for _, candidate := range interfaces {
		names = append(names, candidate.Name)
		if candidate.Name != spec.Interface {
			continue
		}
		t := injectors.Target{
			Kind: injectors.KindInterface, ID: candidate.Name, Name: candidate.Name, Interface: candidate.Name,
			Why: "interface " + candidate.Name, NetNS: ownNetNS, HostNet: true,
		}
		if t.NetNSID, err = netns.Host(); err != nil {
			return m, "", err
		}
		addresses, err := candidate.Addrs()
		if err != nil {
			return m, "", fmt.Errorf("cannot list the addresses of interface %q: %w", candidate.Name, err)
		}
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil {
				t.Addresses = append(t.Addresses, prefix.Addr())
			}
		}
		m.Targets = append(m.Targets, t)
	}
	slices.Sort(names)
	if meant := strict.Suggest(spec.Interface, names); meant != "" {
		return m, fmt.Sprintf("this host has no interface %q: did you mean %q?", spec.Interface, meant), nil
	}
	return m, fmt.Sprintf("this host has no interface %q; it has %s", spec.Interface, some(names)), nil
}
