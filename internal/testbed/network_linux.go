package testbed

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/netns"
)

// The most hosts that a network's addresses have room for.
const maxHosts = 250

// The hub's namespace, and the names of the interfaces inside it.
const (
	hubName = "hub"
	bridge  = "br0"
)

// Network is a bridge with hosts around it. Its methods are for one goroutine at a
// time.
type Network struct {
	// Subnet is the hosts' IPv4 network, and Gateway the machine's own address in
	// it.
	Subnet  netip.Prefix
	Gateway netip.Addr

	prefix  string
	v6      bool
	madeDir bool
	hosts   int
}

// New makes the network of that prefix, with no hosts yet. It needs root. It fails
// where a network of that prefix is there already: Clean removes one that a crash
// left behind.
func New(prefix string) (*Network, error) {
	if err := checkName("network", prefix); err != nil {
		return nil, err
	}
	if err := checkAbsent(prefix); err != nil {
		return nil, err
	}
	n := &Network{prefix: prefix}
	if err := n.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make the network %s: %w", prefix, err), n.Close())
	}
	return n, nil
}

func checkAbsent(prefix string) error {
	if _, err := os.Lstat(nsPath(prefix, hubName)); err == nil {
		return fmt.Errorf("cannot make the network %s: %s is there already", prefix, nsPath(prefix, hubName))
	}
	if _, err := net.InterfaceByName(uplink(prefix)); err == nil {
		return fmt.Errorf("cannot make the network %s: the interface %s is there already", prefix, uplink(prefix))
	}
	return nil
}

func (n *Network) build() error {
	made, err := makeNetnsDir()
	if err != nil {
		return err
	}
	n.madeDir = made
	if err := newNamespace(n.prefix, hubName); err != nil {
		return err
	}
	hub, err := openNamespace(nsPath(n.prefix, hubName))
	if err != nil {
		return err
	}
	defer hub.close()

	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridge
	// Without snooping no multicast, which IPv6 needs to find its neighbours, waits
	// for a querier that isn't there.
	snooping := false
	br := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := hub.LinkAdd(br); err != nil {
		return fmt.Errorf("cannot make a bridge: %w", err)
	}
	if err := hub.LinkSetUp(br); err != nil {
		return fmt.Errorf("cannot bring the bridge up: %w", err)
	}

	if err := n.addUplink(hub); err != nil {
		return err
	}
	machine, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot open netlink: %w", err)
	}
	defer machine.Close()
	return n.address(machine)
}

// addUplink joins the machine to the hub. The machine's end is made and tagged in
// the hub, because the kernel takes no alias for an interface that it makes, and
// then moved.
func (n *Network) addUplink(hub *namespace) error {
	machine, err := vnetns.GetFromPath("/proc/self/ns/net")
	if err != nil {
		return fmt.Errorf("cannot open the machine's network namespace: %w", err)
	}
	defer func() { _ = machine.Close() }() // it was only read from
	attrs := netlink.NewLinkAttrs()
	attrs.Name = uplink(n.prefix)
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "host0"}
	if err := hub.LinkAdd(pair); err != nil {
		return fmt.Errorf("cannot make a veth pair: %w", err)
	}
	if err := hub.LinkSetAlias(pair, tag(n.prefix)); err != nil {
		return fmt.Errorf("cannot tag %s: %w", pair.Name, err)
	}
	if err := hub.LinkSetNsFd(pair, int(machine)); err != nil {
		return fmt.Errorf("cannot move %s to the machine: %w", pair.Name, err)
	}
	return hub.plug("host0")
}

// address gives the machine's end the first address of a network that collides
// with nothing on the machine.
func (n *Network) address(machine *netlink.Handle) error {
	link, err := machine.LinkByName(uplink(n.prefix))
	if err != nil {
		return fmt.Errorf("cannot find %s: %w", uplink(n.prefix), err)
	}
	if err := machine.LinkSetUp(link); err != nil {
		return fmt.Errorf("cannot bring %s up: %w", uplink(n.prefix), err)
	}
	for i := range subnets {
		candidate := subnet(n.prefix, i)
		if taken, err := inUse(machine, candidate, link.Attrs().Index); err != nil {
			return err
		} else if taken {
			continue
		}
		gateway := nth(candidate, 1)
		addr := &netlink.Addr{IPNet: ipNet(gateway, 24)}
		if err := machine.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("cannot give %s the address %s: %w", link.Attrs().Name, gateway, err)
		}
		// Another process may have taken the same network since the look: the address
		// is kept only where it is alone.
		taken, err := inUse(machine, candidate, link.Attrs().Index)
		if err != nil {
			return err
		}
		if !taken {
			n.Subnet, n.Gateway = candidate, gateway
			return n.address6(machine, link)
		}
		if err := machine.AddrDel(link, addr); err != nil {
			return fmt.Errorf("cannot take the address %s back: %w", gateway, err)
		}
	}
	return fmt.Errorf("cannot find a free network in %s", benchmarking)
}

func (n *Network) address6(machine *netlink.Handle, link netlink.Link) error {
	network := subnet6(n.prefix)
	if taken, err := inUse(machine, network, link.Attrs().Index); err != nil || taken {
		return err
	}
	err := addAddress6(machine, link, nth(network, 1))
	n.v6 = err == nil
	if noIPv6(err) {
		return nil
	}
	return err
}

// AddHost makes a namespace of that name, with an address, plugged into the
// bridge. Host names take lower-case letters, digits and hyphens.
func (n *Network) AddHost(name string) (*Host, error) {
	if err := checkName("host", name); err != nil {
		return nil, err
	}
	if n.hosts >= maxHosts {
		return nil, fmt.Errorf("cannot add the host %s: the network %s is full", name, n.prefix)
	}
	h, err := n.addHost(name)
	if err != nil {
		return nil, fmt.Errorf("cannot add the host %s: %w", name, err)
	}
	return h, nil
}

func (n *Network) addHost(name string) (*Host, error) {
	if err := newNamespace(n.prefix, name); err != nil {
		return nil, err
	}
	hub, err := openNamespace(nsPath(n.prefix, hubName))
	if err != nil {
		return nil, err
	}
	defer hub.close()
	inside, err := openNamespace(nsPath(n.prefix, name))
	if err != nil {
		return nil, err
	}
	defer inside.close()

	n.hosts++
	port := fmt.Sprintf("port%d", n.hosts)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = port
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(inside.fd)}
	if err := hub.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("cannot make a veth pair: %w", err)
	}
	if err := hub.plug(port); err != nil {
		return nil, err
	}

	h := &Host{Name: name, Addr: nth(n.Subnet, n.hosts+1), NetNS: nsPath(n.prefix, name)}
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return nil, fmt.Errorf("cannot find eth0: %w", err)
	}
	if err := inside.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(h.Addr, 24)}); err != nil {
		return nil, fmt.Errorf("cannot give eth0 the address %s: %w", h.Addr, err)
	}
	if n.v6 {
		h.Addr6 = nth(subnet6(n.prefix), n.hosts+1)
		if err := addAddress6(inside.Handle, eth0, h.Addr6); err != nil {
			return nil, err
		}
	}
	if err := inside.LinkSetUp(eth0); err != nil {
		return nil, fmt.Errorf("cannot bring eth0 up: %w", err)
	}
	return h, nil
}

// Close removes the network and every host. Processes that still run in a host
// keep running, cut off. It can be called any number of times.
func (n *Network) Close() error {
	err := Clean(n.prefix)
	if n.madeDir {
		// The folder was not there before. Where somebody uses it by now it is not
		// empty, and stays.
		if rm := unix.Rmdir(netnsDir); rm != nil && !errors.Is(rm, unix.ENOTEMPTY) && !errors.Is(rm, unix.EBUSY) && !errors.Is(rm, unix.ENOENT) {
			err = errors.Join(err, fmt.Errorf("cannot remove %s: %w", netnsDir, rm))
		}
	}
	return err
}

// Clean removes all of the network of that prefix that a process which is gone left
// behind. It removes nothing that doesn't carry the network's tag, and returns nil
// where nothing is there.
func Clean(prefix string) error {
	if err := checkName("network", prefix); err != nil {
		return err
	}
	problems := []error{removeUplink(prefix)}
	// The pattern's special characters can't be in a checked prefix, so that Glob's
	// one error, a bad pattern, can't occur.
	files, _ := filepath.Glob(filepath.Join(netnsDir, prefix+"-*"))
	for _, file := range files {
		problems = append(problems, removeNamespace(file, prefix))
	}
	return errors.Join(problems...)
}

func removeUplink(prefix string) error {
	name := uplink(prefix)
	machine, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot open netlink: %w", err)
	}
	defer machine.Close()
	link, err := machine.LinkByName(name)
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look for %s: %w", name, err)
	}
	if link.Attrs().Alias != tag(prefix) {
		return nil
	}
	if err := machine.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("cannot remove %s: %w", name, err)
	}
	return nil
}

// Do runs fn on a thread that is inside the host's network namespace. Sockets that
// fn opens, and processes that it starts, belong to the namespace and stay there
// after Do. Goroutines that fn starts do not.
func (h *Host) Do(fn func() error) error { return netns.Do(h.NetNS, fn) }

// Start starts the command inside the host's network namespace. With Pdeathsig
// the command would die at once: the thread that starts it ends with Start.
func (h *Host) Start(cmd *exec.Cmd) error { return h.Do(cmd.Start) }

// inUse says whether a route or an address of the machine, other than those of the
// interface with the index ours, reaches into the network. Routes wider than a /8,
// such as a default route, don't count: the network's own route wins over them.
func inUse(machine *netlink.Handle, network netip.Prefix, ours int) (bool, error) {
	family := netlink.FAMILY_V4
	if network.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	routes, err := netns.Dump(func() ([]netlink.Route, error) {
		// With a table filter of zero the list holds the routes of every table.
		return machine.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	})
	if err != nil && !noIPv6(err) {
		return false, fmt.Errorf("cannot list the routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil || r.LinkIndex == ours {
			continue
		}
		addr, ok := netip.AddrFromSlice(r.Dst.IP)
		ones, _ := r.Dst.Mask.Size()
		if ok && ones >= 8 && netip.PrefixFrom(addr.Unmap(), ones).Overlaps(network) {
			return true, nil
		}
	}
	return false, nil
}

func addAddress6(handle *netlink.Handle, link netlink.Link, addr netip.Addr) error {
	// Without duplicate address detection the address can be used at once.
	err := handle.AddrAdd(link, &netlink.Addr{IPNet: ipNet(addr, 64), Flags: unix.IFA_F_NODAD})
	if err != nil {
		return fmt.Errorf("cannot give %s the address %s: %w", link.Attrs().Name, addr, err)
	}
	return nil
}

// noIPv6 says whether an error means that the kernel, or its settings, have no IPv6.
func noIPv6(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
}

func ipNet(addr netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, addr.BitLen())}
}

// namespace is an open network namespace with a netlink socket inside it.
type namespace struct {
	*netlink.Handle
	fd vnetns.NsHandle
}

func openNamespace(path string) (*namespace, error) {
	fd, err := vnetns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	handle, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open netlink in %s: %w", path, err), fd.Close())
	}
	return &namespace{handle, fd}, nil
}

func (n *namespace) close() {
	n.Close()
	// The descriptor was only ever read from: closing it can't lose anything.
	_ = n.fd.Close()
}

// plug puts an interface of the hub into the bridge and brings it up.
func (n *namespace) plug(port string) error {
	link, err := n.LinkByName(port)
	if err != nil {
		return fmt.Errorf("cannot find %s in the hub: %w", port, err)
	}
	br, err := n.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("cannot find the bridge in the hub: %w", err)
	}
	if err := n.LinkSetMaster(link, br); err != nil {
		return fmt.Errorf("cannot plug %s into the bridge: %w", port, err)
	}
	if err := n.LinkSetUp(link); err != nil {
		return fmt.Errorf("cannot bring %s up: %w", port, err)
	}
	return nil
}
