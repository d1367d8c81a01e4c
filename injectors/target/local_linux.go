package target

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/netns"
)

// see fills in what only the engine's own host shows of a container: its first
// process's start time, and its network namespace. The number of a process of
// another host means nothing here, so that a process counts only where its cgroup
// says that it is this container's.
func see(t *injectors.Target, c docker.Container) error {
	if c.PID == 0 || !inContainer(c.PID, c.ID) {
		t.PID = 0
		return nil
	}
	process, err := readProcess(c.PID)
	if err != nil {
		return fmt.Errorf("its first process, %d, is gone: %w", c.PID, err)
	}
	t.StartTime = process.startTime
	path := fmt.Sprintf("/proc/%d/ns/net", c.PID)
	t.NetNSID, err = netns.Identify(path)
	if errors.Is(err, os.ErrPermission) {
		return nil // the container can be told, its namespace can't
	}
	if err != nil {
		return err
	}
	// Docker's own file outlives the process, but can only be opened where Docker's
	// mounts can be seen.
	if id, err := netns.Identify(c.SandboxKey); err == nil && id == t.NetNSID {
		path = c.SandboxKey
	}
	t.NetNS = path
	host, err := netns.Host()
	if err != nil {
		return err
	}
	t.HostNet = t.NetNSID == host
	inside, err := netns.Addresses(path)
	if err != nil {
		return err
	}
	t.Addresses = append(slices.Clip(t.Addresses), inside...)
	return nil
}

// inContainer reports whether a process of this host belongs to a container: every
// cgroup manager puts the container's id into the path.
func inContainer(pid int, id string) bool {
	cgroups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && len(id) == 64 && strings.Contains(string(cgroups), id)
}

// isAncestor reports whether a container's first process is one that squall
// descends from.
func isAncestor(id string, pid int) bool {
	return slices.Contains(ancestors(), pid) && inContainer(pid, id)
}

var (
	cgroupID = regexp.MustCompile(`[0-9a-f]{64}`)
	// Docker mounts these three files of its own into every container; the fourth
	// field of a line of mountinfo is where the file lies, the fifth where it is seen.
	mountedID = regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S*/containers/([0-9a-f]{64})/\S+ /etc/(?:hostname|hosts|resolv\.conf) `)
)

// ownContainers returns the ids of the containers that this process runs in, as
// seen from inside.
func ownContainers() map[string]bool { return containersOf("/proc/self") }

func containersOf(process string) map[string]bool {
	own := map[string]bool{}
	// What can't be read says nothing: the process's ancestors are looked at too.
	cgroups, _ := os.ReadFile(process + "/cgroup")
	for _, id := range cgroupID.FindAllString(string(cgroups), -1) {
		own[id] = true
	}
	mounts, _ := os.ReadFile(process + "/mountinfo")
	for _, match := range mountedID.FindAllStringSubmatch(string(mounts), -1) {
		own[match[1]] = true
	}
	return own
}
