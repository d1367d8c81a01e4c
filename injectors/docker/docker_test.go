package docker_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/hint"
)

func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }

func TestInspectAndList(t *testing.T) {
	client := dockertest.Engine(t)
	before := time.Now().Add(-time.Minute)
	made := dockertest.Run(t, client, docker.Spec{
		Labels: map[string]string{"tier": "1"}, HealthCheck: dockertest.HealthCheck(), RestartPolicy: "unless-stopped",
		Publish: []docker.Publication{{Address: "127.0.0.1", HostPort: 0, Port: 8080, Protocol: "tcp"}},
	})
	switch {
	case made.State != docker.Running, made.Health != docker.Healthy, made.PID == 0, made.StartedAt.Before(before),
		made.RestartPolicy != "unless-stopped", made.AutoRemove, made.Labels["tier"] != "1",
		!slices.Equal(made.Networks, []string{"bridge"}), len(made.Addresses) != 1, made.SandboxKey == "", len(made.Ports) != 1:
		t.Fatalf("got %+v", made)
	}
	for _, at := range []netip.AddrPort{made.Ports[0], netip.AddrPortFrom(made.Addresses[0], 8080)} {
		conn, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatalf("the container does not answer at %s: %v", at, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	list, err := client.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(s docker.Summary) bool { return s.ID == made.ID })
	if i < 0 || list[i].Name != made.Name || list[i].Image != made.Image || list[i].State != docker.Running || !slices.Equal(list[i].Networks, made.Networks) {
		t.Fatalf("the list shows %+v, inspect %+v", list, made.Summary)
	}
	for _, name := range []string{made.Name, made.ID[:12]} {
		if again := dockertest.Inspect(t, client, name); again.ID != made.ID {
			t.Errorf("%s is %s, not %s", name, again.ID, made.ID)
		}
	}
}

// Docker looks for names, too, where it is given an id: whoever has the id of a
// container that is gone for its name is another one.
func TestNamedLikeAnID(t *testing.T) {
	client := dockertest.Engine(t)
	gone := dockertest.Create(t, client, docker.Spec{})
	if err := client.Remove(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	other := dockertest.Create(t, client, docker.Spec{Name: gone.ID})
	if c, err := client.Inspect(t.Context(), gone.ID); !errors.Is(err, docker.ErrNotFound) {
		t.Errorf("%s is taken for %s, which is gone: %v", c.ID, gone.ID, err)
	}
	if c := dockertest.Inspect(t, client, other.ID); c.Name != gone.ID {
		t.Errorf("got %+v", c)
	}
}

func TestUsage(t *testing.T) {
	client := dockertest.Engine(t)
	c := dockertest.Run(t, client, docker.Spec{})
	usage, err := client.Usage(t.Context(), c.Name)
	if err != nil || usage.CPU <= 0 || usage.Memory < 100<<10 || usage.Memory > 1<<30 {
		t.Fatalf("got %+v, %v", usage, err)
	}
	if err := client.Stop(t.Context(), c.ID, 0); err != nil {
		t.Fatal(err)
	}
	if usage, err := client.Usage(t.Context(), c.Name); err == nil {
		t.Fatalf("a container that does not run uses %+v", usage)
	}
}

func TestErrors(t *testing.T) {
	client := dockertest.Engine(t)
	c := dockertest.Create(t, client, docker.Spec{})
	for _, test := range []struct {
		name string
		call func() error
		want error
	}{
		{"no such container", func() error { _, err := client.Inspect(t.Context(), "nobody"); return err }, docker.ErrNotFound},
		{"no path of its own", func() error { _, err := client.Inspect(t.Context(), "../info"); return err }, docker.ErrNotFound},
		{"an empty name", func() error { return client.Start(t.Context(), "") }, docker.ErrNotFound},
		{"a signal to what does not run", func() error { return client.Kill(t.Context(), c.ID, "SIGTERM") }, docker.ErrConflict},
		{"a pause of what does not run", func() error { return client.Pause(t.Context(), c.ID) }, docker.ErrConflict},
	} {
		if err := test.call(); !errors.Is(err, test.want) || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

func TestSignals(t *testing.T) {
	client := dockertest.Engine(t)
	c := dockertest.Run(t, client, docker.Spec{})
	since := now(t, client)
	for _, signal := range []string{"SIGHUP", "SIGUSR1"} {
		if signal == "SIGUSR1" {
			since = now(t, client)
		}
		if err := client.Kill(t.Context(), c.ID, signal); err != nil {
			t.Fatal(err)
		}
	}
	got, err := client.Signals(t.Context(), c.ID, since, now(t, client))
	if err != nil || len(got) != 1 || got[0].Number != int(syscall.SIGUSR1) || got[0].At.Before(since) {
		t.Fatalf("since %s: %v, %v", since, got, err)
	}
}

func TestFrozen(t *testing.T) {
	client := dockertest.Engine(t)
	c := dockertest.Run(t, client, docker.Spec{})
	for _, signal := range []string{"SIGSTOP", "SIGCONT"} {
		if err := client.Kill(t.Context(), c.ID, signal); err != nil {
			t.Fatal(err)
		}
		if frozen, err := client.Frozen(t.Context(), c.ID, c.PID); err != nil || frozen != (signal == "SIGSTOP") {
			t.Errorf("after %s: frozen %v, %v", signal, frozen, err)
		}
	}
}

func now(t *testing.T, client *docker.Client) time.Time {
	t.Helper()
	info, err := client.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.Now
}

func TestNoEngine(t *testing.T) {
	client := docker.At("unix://" + filepath.Join(t.TempDir(), "none.sock"))
	_, err := client.List(t.Context())
	if !errors.Is(err, docker.ErrUnreachable) || len(hint.Of(err)) == 0 {
		t.Errorf("got %v with hints %q", err, hint.Of(err))
	}
	t.Setenv("DOCKER_HOST", "ssh://example.com")
	if _, err := docker.New().List(t.Context()); err == nil || len(hint.Of(err)) == 0 {
		t.Errorf("an address that can't be used: got %v with hints %q", err, hint.Of(err))
	}
}

// An engine that takes the connection and never answers must not hold a call
// longer than its caller wants to wait.
func TestSilentEngine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "silent.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	})
	client := docker.At("unix://" + path)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.List(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
