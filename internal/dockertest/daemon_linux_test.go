package dockertest_test

import (
	"net"
	"os"
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
	before := world(t)
	daemon, err := dockertest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := docker.At(daemon.Host())
	defer client.Close()
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
	if during := world(t); during == before {
		t.Error("an engine runs, and nothing has changed")
	}
	if err := daemon.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if after := world(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// world lists the engine-like things of this machine.
func world(t *testing.T) string {
	t.Helper()
	var found []string
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if strings.HasPrefix(i.Name, "br-") || strings.HasPrefix(i.Name, "sqdock") || strings.HasPrefix(i.Name, "veth") {
			found = append(found, i.Name)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); strings.Contains(line, "/tmp/squall-docker-") {
			found = append(found, fields[4])
		}
	}
	for _, glob := range []string{"/tmp/squall-docker-*", "/proc/[0-9]*/cmdline"} {
		paths, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if !strings.HasPrefix(path, "/proc") {
				found = append(found, path)
			} else if cmdline, err := os.ReadFile(path); err == nil && strings.Contains(string(cmdline), "/tmp/squall-docker-") {
				found = append(found, path)
			}
		}
	}
	return strings.Join(found, "\n")
}
