package shop

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
)

func TestTheShopInContainersServesAndLeavesNothing(t *testing.T) {
	engine := dockertest.Engine(t)
	program := filepath.Join(t.TempDir(), "squall")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/squallhq/squall/cmd/squall")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s, err := OpenInContainers(t.Context(), engine, program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	client := newClient()
	defer client.CloseIdleConnections()
	if err := get(t.Context(), client, s.URL(), time.Second); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := engine.Inspect(t.Context(), Prefix+"-"+Payments); !errors.Is(err, docker.ErrNotFound) {
		t.Errorf("payments is still there: %v", err)
	}
	if networks, err := engine.Networks(t.Context(), label, "true"); err != nil || len(networks) > 0 {
		t.Errorf("networks left: %q, %v", networks, err)
	}
	if there, err := engine.HasImage(t.Context(), Prefix); err != nil || there {
		t.Errorf("the image is still there: %v, %v", there, err)
	}
}

func TestAProgramThatNeedsLibrariesIsRefused(t *testing.T) {
	if _, err := static("/bin/sh"); err == nil {
		t.Error("/bin/sh, which is dynamic, would become a container")
	}
	if _, err := static("/etc/passwd"); err == nil {
		t.Error("/etc/passwd would become a container")
	}
}
