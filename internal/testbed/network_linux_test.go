package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/netns"
	"github.com/squallhq/squall/internal/require"
)

func prefixFor(*testing.T) string { return fmt.Sprintf("sqtest-%d", os.Getpid()) }

func newNetwork(t *testing.T) *Network {
	t.Helper()
	require.Root(t)
	n, err := New(prefixFor(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func addHost(t *testing.T, n *Network, name string) *Host {
	t.Helper()
	h, err := n.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// serve accepts connections inside the host and answers each with the text.
func serve(t *testing.T, h *Host, addr netip.Addr, text string) string {
	t.Helper()
	var l net.Listener
	if err := h.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func read(addr string) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestHostsAndTheMachineReachEachOther(t *testing.T) {
	n := newNetwork(t)
	a, b := addHost(t, n, "a"), addHost(t, n, "b")
	addrs := []netip.Addr{b.Addr}
	if b.Addr6.IsValid() {
		addrs = append(addrs, b.Addr6)
	}
	for _, addr := range addrs {
		where := serve(t, b, addr, "hello")
		if got, err := read(where); err != nil || got != "hello" {
			t.Errorf("from the machine, %s says %q, %v", where, got, err)
		}
		if err := a.Do(func() error {
			got, err := read(where)
			if err == nil && got != "hello" {
				err = fmt.Errorf("it says %q", got)
			}
			return err
		}); err != nil {
			t.Errorf("from a, %s: %v", where, err)
		}
	}
	if !n.Subnet.Contains(a.Addr) || !n.Subnet.Contains(n.Gateway) || a.Addr == b.Addr || a.Addr == n.Gateway {
		t.Errorf("addresses %s and %s, the machine %s, in %s", a.Addr, b.Addr, n.Gateway, n.Subnet)
	}
}

func TestStartRunsInsideTheHost(t *testing.T) {
	n := newNetwork(t)
	h := addHost(t, n, "a")
	want, err := netns.Identify(h.NetNS)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "readlink", "/proc/self/ns/net")
	cmd.Stdout = &out
	if err := errors.Join(h.Start(cmd), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != want {
		t.Errorf("the command ran in %s, want %s", got, want)
	}
}

// traces lists what a network of that prefix has left on the machine.
func traces(t *testing.T, prefix string) (found []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(netnsDir, prefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Attrs().Alias == tag(prefix) || l.Attrs().Name == uplink(prefix) {
			found = append(found, l.Attrs().Name)
		}
	}
	return append(found, files...)
}

func TestCloseLeavesNothingAndCanBeRepeated(t *testing.T) {
	n := newNetwork(t)
	addHost(t, n, "a")
	if len(traces(t, prefixFor(t))) != 3 {
		t.Errorf("a network with one host shows as %q", traces(t, prefixFor(t)))
	}
	if _, err := New(prefixFor(t)); err == nil {
		t.Error("a second network of the same prefix was made")
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if left := traces(t, prefixFor(t)); len(left) > 0 {
			t.Fatalf("left: %q", left)
		}
	}
}

func TestCleanTakesUpWhereACrashLeftOff(t *testing.T) {
	n := newNetwork(t)
	h := addHost(t, n, "a")
	// A crash between the unmount and the removal, or before the mount, leaves a
	// file without a namespace.
	if err := unix.Unmount(h.NetNS, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := Clean(prefixFor(t)); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, prefixFor(t)); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestCleanTouchesNothingForeign(t *testing.T) {
	n := newNetwork(t)
	prefix := prefixFor(t)
	// Another network whose prefix begins with ours, a file and an empty file that
	// are named like ours, and a namespace that ip netns made.
	other, err := New(prefix + "-hub")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	empty, written, foreign := nsPath(prefix, "empty"), nsPath(prefix, "written"), nsPath(prefix, "foreign")
	for path, content := range map[string]string{empty: "", written: "somebody else's", foreign: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(path) })
	}
	if err := netns.Scratch(func() error { return unix.Mount("/proc/thread-self/ns/net", foreign, "", unix.MS_BIND, "") }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(foreign, unix.MNT_DETACH) })

	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, written, foreign, nsPath(prefix+"-hub", hubName)} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("it was removed: %v", err)
		}
	}
	if _, err := netns.Identify(foreign); err != nil {
		t.Errorf("the foreign namespace is gone: %v", err)
	}
	if _, err := net.InterfaceByName(uplink(prefix + "-hub")); err != nil {
		t.Errorf("the other network's uplink is gone: %v", err)
	}
}

func TestTwoNetworksDoNotCollide(t *testing.T) {
	first := newNetwork(t)
	// A network whose first candidate is taken goes on to the next.
	machine, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	taken, err := inUse(machine, first.Subnet, -1)
	if err != nil || !taken {
		t.Errorf("inUse of a network that is there: %v, %v", taken, err)
	}
	if taken, err := inUse(machine, netip.MustParsePrefix("203.0.113.0/24"), -1); err != nil || taken {
		t.Errorf("inUse of a free network: %v, %v", taken, err)
	}
}
