package dockertest_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/require"
)

// An engine of our own leaves nothing behind: no interface, mount, file or process,
// also where a container still runs and Docker made a network of its own.
func TestDaemonLeavesNothing(t *testing.T) {
	require.Root(t)
	t.Setenv("DOCKER_HOST", "")
	require.Docker(t)
	var subnet netip.Prefix // of our own engine; those of other tests come and go
	before := world(t, subnet)
	daemon, err := dockertest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := docker.At(daemon.Host())
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	text, err := os.ReadFile(filepath.Join(filepath.Dir(strings.TrimPrefix(daemon.Host(), "unix://")), "subnet"))
	if err != nil {
		t.Fatal(err)
	}
	subnet = netip.MustParsePrefix(string(text))
	image := "squall-test:own"
	if err := client.ImportProgram(t.Context(), image, dockertest.Program(t)); err != nil {
		t.Error(err)
	}
	if err := client.CreateNetwork(t.Context(), "squall-test-own", nil); err != nil {
		t.Error(err)
	}
	id, err := client.Create(t.Context(), docker.Spec{Name: "squall-test-own", Image: image, Network: "squall-test-own"})
	if err != nil {
		t.Error(err)
	} else if err := client.Start(t.Context(), id); err != nil {
		t.Error(err)
	}
	if during := world(t, subnet); strings.Count(during, "bridge ") != 2 || !strings.Contains(during, "process ") {
		t.Errorf("an engine with a network of its own runs, but this is all that can be seen:\n%s", during)
	}
	if err := daemon.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if after := world(t, subnet); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// An engine that can't be started says why, and leaves nothing behind either.
func TestStartFails(t *testing.T) {
	require.Root(t)
	for _, test := range []struct{ name, path, want string }{
		{"no program to make a bridge with", t.TempDir(), "cannot run ip link add"},
		{"no Docker engine", onlyIP(t), "dockerd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("PATH", test.path)
			daemon, err := dockertest.Start(t.Context())
			if daemon != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v", daemon, err)
			}
			if after := world(t, netip.Prefix{}); after != "" {
				t.Errorf("it left:\n%s", after)
			}
			if _, err := net.InterfaceByName(fmt.Sprintf("sqdock%d", os.Getpid())); err == nil {
				t.Error("it left its bridge")
			}
		})
	}
}

// onlyIP returns a folder that holds no program but ip.
func onlyIP(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("ip")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(program, filepath.Join(dir, "ip")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// world lists what an engine of this test program leaves visible on the machine.
func world(t *testing.T, subnet netip.Prefix) string {
	t.Helper()
	own := fmt.Sprintf("/tmp/squall-docker-%d", os.Getpid())
	var found []string
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addresses, _ := i.Addrs() // an interface can go away while we look
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil && subnet.IsValid() && subnet.Contains(prefix.Addr()) {
				found = append(found, "bridge "+i.Name)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, own+"/") {
			found = append(found, "mount "+line)
		}
	}
	if _, err := os.Stat(own); err == nil {
		found = append(found, "folder "+own)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		if cmdline, err := os.ReadFile(path); err == nil && strings.Contains(string(cmdline), own+"/") {
			found = append(found, "process "+path)
		}
	}
	return strings.Join(found, "\n")
}
