// Package testbed builds small networks of network namespaces on one Linux host,
// for squall's demo and for tests that need real packets between real stacks.
//
// # The shape
//
// Each [Host] is a named namespace, /run/netns/PREFIX-NAME, as `ip netns` and
// squall's netns selector know it, with one interface, eth0. A bridge in a hub
// namespace of its own joins them, so that no firewall or bridge setting of the
// machine stands between two hosts. The machine itself is joined with one veth
// pair, so that a probe on it reaches every host.
//
// # What a network leaves behind
//
// Nothing: Close takes it down, and after a crash Clean does the same from the
// prefix alone. Whatever a network makes carries its tag, the prefix included,
// from the moment it exists: an interface as its alias, a namespace as the alias of
// its loopback interface, and a namespace's file as its content, which the mount
// hides. Only what carries the tag is removed.
package testbed

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"regexp"
)

// Host is a namespace of a Network.
type Host struct {
	Name string
	// Addr is the address of eth0. Addr6 is its IPv6 address, and not valid where
	// the machine has no IPv6.
	Addr, Addr6 netip.Addr
	// NetNS is the file that opens the namespace.
	NetNS string
}

// The benchmarking range of RFC 2544 is for networks like these: no host on the
// Internet has such an address.
var benchmarking = netip.MustParsePrefix("198.18.0.0/15")

// subnets is the number of /24 networks in it.
const subnets = 512

// namePattern is what a prefix and a host's name look like: safe in a path, and
// never a path of its own.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func checkName(what, name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("cannot name a %s %q: it takes up to 40 lower-case letters, digits and inner hyphens", what, name)
	}
	return nil
}

// tag is what everything that belongs to the network of that prefix carries.
func tag(prefix string) string { return "squall testbed " + prefix }

func hash(prefix string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(prefix))
	return h.Sum64()
}

// uplink names the machine's end of the veth pair to the hub. An interface's name
// has 15 characters at most, so the prefix enters as a hash.
func uplink(prefix string) string { return fmt.Sprintf("sqt%010x", hash(prefix)&(1<<40-1)) }

// subnet returns the nth candidate for a prefix's IPv4 network. Two prefixes start
// at different places and go on in different steps, so that networks made at the
// same time don't chase each other; as every step is odd, each of the 512 networks
// comes once.
func subnet(prefix string, n int) netip.Prefix {
	h := hash(prefix)
	i := (h + uint64(n)*(h>>32|1)) % subnets
	base := benchmarking.Addr().As4()
	base[1] += byte(i >> 8)
	base[2] = byte(i)
	return netip.PrefixFrom(netip.AddrFrom4(base), 24)
}

// subnet6 returns a prefix's IPv6 network: a unique local one (RFC 4193), its
// global identifier taken from the prefix.
func subnet6(prefix string) netip.Prefix {
	h := hash(prefix)
	b := [16]byte{0xfd, byte(h >> 32), byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h)}
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// nth returns the address of a network with that last byte.
func nth(network netip.Prefix, n int) netip.Addr {
	b := network.Addr().AsSlice()
	b[len(b)-1] = byte(n)
	addr, _ := netip.AddrFromSlice(b)
	return addr
}
