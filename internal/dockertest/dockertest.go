// Package dockertest gives tests a Docker engine and containers. Where no engine
// answers it starts one of its own, which leaves the machine as it found it.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }
//
// Several packages share one engine where DOCKER_HOST names it:
//
//	go run ./internal/dockertest/cmd/withdocker go test ./...
package dockertest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/require"
)

// Label is on every container and network that a test makes.
const Label = "squall.test"

// state is what the tests of one program share.
var state struct {
	mu     sync.Mutex
	daemon *Daemon
	image  string // what ImportProgram made, to be removed in the end
}

// Main runs a package's tests, stops the engine that they made it start, and
// returns the status to exit with.
func Main(m *testing.M) (code int) {
	code = m.Run()
	if err := cleanUp(); err != nil {
		fmt.Fprintln(os.Stderr, "dockertest:", err)
		return max(code, 1)
	}
	return code
}

func cleanUp() error {
	state.mu.Lock()
	defer state.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if state.image != "" && state.daemon == nil {
		client := docker.New()
		errs = append(errs, client.RemoveImage(ctx, state.image), client.Close())
	}
	if state.daemon != nil {
		errs = append(errs, state.daemon.Stop(ctx))
	}
	return errors.Join(errs...)
}

// Engine returns a client of a Docker engine, which DOCKER_HOST names from then on.
// It skips the test, or fails it, where there is none and none can be started; see
// require.Docker.
func Engine(t testing.TB) *docker.Client {
	t.Helper()
	require.Docker(t)
	state.mu.Lock()
	defer state.mu.Unlock()
	client := docker.New()
	_, err := client.Info(t.Context())
	if errors.Is(err, docker.ErrUnreachable) && os.Getenv("DOCKER_HOST") == "" {
		ctx, cancel := context.WithTimeout(t.Context(), startLimit)
		defer cancel()
		if state.daemon, err = Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := os.Setenv("DOCKER_HOST", state.daemon.Host()); err != nil {
			t.Fatal(err)
		}
		client = docker.New()
		_, err = client.Info(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

const startLimit = time.Minute

// Image returns the name of an image of the test server, made at the first call.
func Image(t testing.TB, client *docker.Client) string {
	t.Helper()
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.image != "" {
		return state.image
	}
	program := Program(t)
	name := "squall-test:" + strings.ToLower(rand.Text()[:10])
	if err := client.ImportProgram(t.Context(), name, program); err != nil {
		t.Fatal(err)
	}
	state.image = name
	return name
}

// Program returns the test server, a static program for Linux.
func Program(t testing.TB) []byte {
	t.Helper()
	program, err := build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// build compiles the test server.
func build(ctx context.Context, dir string) ([]byte, error) {
	_, file, _, _ := runtime.Caller(0)
	path := filepath.Join(dir, "server")
	command := exec.CommandContext(ctx, "go", "build", "-o", path, "./server")
	command.Dir = filepath.Dir(file)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot build the test server: %w\n%s", err, output)
	}
	return os.ReadFile(path)
}

// Create makes a container of the test server, which is removed when the test
// ends. Its name and image may be left out.
func Create(t testing.TB, client *docker.Client, spec docker.Spec) docker.Container {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "squall-test-" + strings.ToLower(rand.Text()[:10])
	}
	if spec.Image == "" {
		spec.Image = Image(t, client)
	}
	labels := map[string]string{Label: t.Name()}
	for key, value := range spec.Labels {
		labels[key] = value
	}
	spec.Labels = labels
	id, err := client.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := client.Remove(ctx, id); err != nil && !errors.Is(err, docker.ErrNotFound) && !errors.Is(err, docker.ErrConflict) {
			t.Error(err)
		}
	})
	return Inspect(t, client, id)
}

// Run makes a container as Create does, and starts it. It returns once the
// container answers: where it has a health check, once that passes.
func Run(t testing.TB, client *docker.Client, spec docker.Spec) docker.Container {
	t.Helper()
	made := Create(t, client, spec)
	if err := client.Start(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	return Eventually(t, client, made.ID, "be up", func(c docker.Container) bool {
		return c.State == docker.Running && (c.Health == docker.NoHealthCheck || c.Health == docker.Healthy)
	})
}

// Eventually waits until a container is as it should be, and returns it.
func Eventually(t testing.TB, client *docker.Client, id, what string, is func(docker.Container) bool) docker.Container {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		c := Inspect(t, client, id)
		if is(c) {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("container %s should %s, but is %s (health %q, exit code %d)", c.Name, what, c.State, c.Health, c.ExitCode)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Inspect returns a container that must be there.
func Inspect(t testing.TB, client *docker.Client, id string) docker.Container {
	t.Helper()
	c, err := client.Inspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// HealthCheck is a quick health check of the test server.
func HealthCheck() *docker.HealthCheck {
	return &docker.HealthCheck{Args: []string{"/program", "health"}, Interval: 250 * time.Millisecond, Timeout: 3 * time.Second, Retries: 2}
}
