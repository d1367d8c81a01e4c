package target

import (
	"fmt"
	"os"
	"testing"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
)

// A process in a container knows it by its mounts, also where a cgroup namespace
// hides the rest.
func TestOwnContainer(t *testing.T) {
	client := dockertest.Engine(t)
	c := dockertest.Run(t, client, docker.Spec{})
	process := fmt.Sprintf("/proc/%d", c.PID)
	if own := containersOf(process); len(own) != 1 || !own[c.ID] {
		t.Errorf("it runs in %v, not in %s", own, c.ID)
	}
	mounts, err := os.ReadFile(process + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if found := mountedID.FindSubmatch(mounts); found == nil || string(found[1]) != c.ID {
		t.Errorf("its mounts show %q, not %s:\n%s", found, c.ID, mounts)
	}
	if own := ownContainers(); own[c.ID] {
		t.Errorf("this test runs in %v, as it believes", own)
	}
	if !inContainer(c.PID, c.ID) || inContainer(os.Getpid(), c.ID) {
		t.Error("a process was taken for the container's, or the other way round")
	}
	if reason := excluded(c, map[string]bool{c.ID: true}); reason != "squall itself runs in it" {
		t.Errorf("squall's own container is excluded with %q", reason)
	}
}
