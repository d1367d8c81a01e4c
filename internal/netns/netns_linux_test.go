package netns

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// mounted makes a namespace and mounts it on a file of the test's own.
func mounted(t *testing.T) string {
	t.Helper()
	require.Root(t)
	path := filepath.Join(t.TempDir(), "a namespace")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	})
	return path
}

func identity(t *testing.T, path string) string {
	t.Helper()
	id, err := Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentifyAgreesWithTheLinksOfProc(t *testing.T) {
	want, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Host()
	if err != nil || got != want {
		t.Errorf("Host() = %q, %v; want %q", got, err, want)
	}
	path := mounted(t)
	if id := identity(t, path); id == want || !strings.HasPrefix(id, "net:[") {
		t.Errorf("a new namespace is called %q", id)
	}
}

func TestIdentifyRefusesOtherFiles(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, pipe, "/proc/self/ns/mnt", "/", "/dev/null"} {
		if id, err := Identify(path); err == nil {
			t.Errorf("Identify(%q) = %q, want an error", path, id)
		}
	}
	if _, err := Identify("/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Identify of a missing file: %v", err)
	}
}

func TestDoRunsInsideAndLeavesThisProcessAlone(t *testing.T) {
	path, before := mounted(t), identity(t, "/proc/self/ns/net")
	want := identity(t, path)
	for range 50 { // often enough to be given the main thread
		err := Do(path, func() error {
			if got := identity(t, "/proc/thread-self/ns/net"); got != want {
				t.Errorf("inside it is %s, want %s", got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := identity(t, "/proc/self/ns/net"); got != before {
			t.Fatalf("the process moved to %s", got)
		}
		runtime.LockOSThread()
		if got := identity(t, "/proc/thread-self/ns/net"); got != before {
			t.Errorf("a thread stayed in %s", got)
		}
		runtime.UnlockOSThread()
	}
}

func TestDoPassesOnErrorPanicAndGoexit(t *testing.T) {
	path, failure := mounted(t), errors.New("failure")
	if err := Do(path, func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("Do = %v", err)
	}
	if err := Do(path, func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("Do forgot a Goexit")
	}
	defer func() {
		if got := recover(); got != "boom" {
			t.Errorf("recovered %v", got)
		}
	}()
	_ = Do(path, func() error { panic("boom") })
}

func TestFindKnowsMountsProcessesAndTheGone(t *testing.T) {
	path := mounted(t)
	id := identity(t, path)
	if got, ok, err := Find(id); err != nil || !ok || got != path {
		t.Errorf("Find by mount = %q, %v, %v; want %q", got, ok, err, path)
	}
	if got, ok, err := Find(id, "/nowhere", path); err != nil || !ok || got != path {
		t.Errorf("Find by record = %q, %v, %v; want %q", got, ok, err, path)
	}

	var sleeper *exec.Cmd
	if err := Do(path, func() error {
		sleeper = exec.Command("sleep", "60")
		return sleeper.Start()
	}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	got, ok, err := Find(id, path)
	if err != nil || !ok || identity(t, got) != id {
		t.Errorf("Find by process = %q, %v, %v", got, ok, err)
	}
	if err := sleeper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sleeper.Wait()
	if got, ok, err := Find(id, path); err != nil || ok {
		t.Errorf("Find of a namespace that is gone = %q, %v, %v", got, ok, err)
	}
}

func TestCookiesTellNamespacesApart(t *testing.T) {
	a, b := mounted(t), mounted(t)
	seen := map[uint64]string{}
	for _, path := range []string{"/proc/self/ns/net", a, b} {
		cookie, err := Cookie(path)
		if err != nil || cookie == 0 {
			t.Fatalf("Cookie(%q) = %d, %v", path, cookie, err)
		}
		if other := seen[cookie]; other != "" {
			t.Errorf("%q and %q have the cookie %d", other, path, cookie)
		}
		seen[cookie] = path
	}
	if again, err := Cookie(a); err != nil || seen[again] != a {
		t.Errorf("the cookie changed to %d, %v", again, err)
	}
}

func TestAddressesLeaveLoopbackOut(t *testing.T) {
	path := mounted(t)
	if err := Do(path, func() error {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a0"}, PeerName: "a1"}
		if err := netlink.LinkAdd(pair); err != nil {
			return err
		}
		for link, address := range map[string]string{"a0": "192.0.2.7/24", "lo": "127.0.0.1/8"} {
			addr, err := netlink.ParseAddr(address)
			if err != nil {
				return err
			}
			device, err := netlink.LinkByName(link)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(device, addr); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	addrs, err := Addresses(path)
	if err != nil || len(addrs) != 1 || addrs[0].String() != "192.0.2.7" {
		t.Errorf("Addresses = %v, %v", addrs, err)
	}
}

func TestNamedListsWhatIsMounted(t *testing.T) {
	require.Root(t)
	if err := os.MkdirAll(namedDir, 0o755); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(namedDir, "squall-test-dead")
	if err := os.WriteFile(dead, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(dead) }()
	source := mounted(t)
	live := filepath.Join(namedDir, "squall-test-live")
	if err := os.WriteFile(live, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(live) }()
	if err := unix.Mount(source, live, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(live, unix.MNT_DETACH) }()
	names, err := Named()
	if err != nil || !slices.Contains(names, "squall-test-live") || slices.Contains(names, "squall-test-dead") {
		t.Errorf("Named = %q, %v", names, err)
	}
}

func TestDumpTriesAgainAndThenDoesNotKnow(t *testing.T) {
	calls := 0
	got, err := Dump(func() ([]int, error) {
		if calls++; calls < 3 {
			return []int{1}, netlink.ErrDumpInterrupted
		}
		return []int{1, 2}, nil
	})
	if err != nil || len(got) != 2 {
		t.Errorf("Dump = %v, %v", got, err)
	}
	if got, err := Dump(func() ([]int, error) { return []int{1}, unix.EINTR }); err == nil || got != nil {
		t.Errorf("a dump that stays interrupted gave %v, %v", got, err)
	}
}

func TestScratchIsANamespaceOfItsOwn(t *testing.T) {
	require.Root(t)
	host, err := Host()
	if err != nil {
		t.Fatal(err)
	}
	var inside string
	if err := Scratch(func() error {
		inside = identity(t, "/proc/thread-self/ns/net")
		links, err := Dump(netlink.LinkList)
		if len(links) != 1 {
			t.Errorf("%d interfaces", len(links))
		}
		return err
	}); err != nil || inside == host {
		t.Errorf("Scratch ran in %s, %v", inside, err)
	}
	if path, ok, err := Find(inside); ok || err != nil {
		t.Errorf("it is left at %q, %v", path, err)
	}
}

// A user without privileges is told what to do.
func TestMissingPrivilegesComeWithAWayOut(t *testing.T) {
	path := mounted(t)
	err := onThread(func() error {
		// Only this thread, which ends, gives its capabilities up.
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		return needRoot(unix.Unshare(unix.CLONE_NEWNET))
	})
	if !errors.Is(err, fs.ErrPermission) || len(hint.Of(err)) != 1 {
		t.Errorf("%v, hints %q", err, hint.Of(err))
	}
	if _, err := Identify(path); err != nil {
		t.Errorf("the test's own privileges are gone: %v", err)
	}
}
