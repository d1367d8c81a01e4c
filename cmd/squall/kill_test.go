package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/require"
	"github.com/squallhq/squall/internal/testbed"
)

// killed is the experiment that TestKilledAtAnyInstant interrupts: a network fault,
// which the kernel ends, beside a frozen container, which only the deadman can thaw.
const killed = `apiVersion: squall/v1
kind: Experiment
metadata: {name: killed}
spec:
  targets:
    host: {netns: {name: %s}}
    box: {docker: {id: %s}}
  faults:
    - {name: lossy, target: host, network: {partition: drop}, at: 50ms, for: 500ms}
    - {name: frozen, target: box, container: {pause: true}, for: 500ms}
  baseline: 100ms
  recovery: 0s
`

// However and whenever squall is killed, a second later there is nothing of it left:
// no effect, no journal, no process. Nobody calls recover.
func TestKilledAtAnyInstant(t *testing.T) {
	require.Root(t)
	engine := dockertest.Engine(t)
	const (
		lanes = 4
		times = 200
		life  = 1100 * time.Millisecond // of a run that is left alone, about
		after = time.Second
	)
	network, err := testbed.New(fmt.Sprintf("sqkill-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	program := buildSquall(t)
	var running sync.WaitGroup
	took := make(chan time.Duration, times)
	for lane := range lanes {
		host, err := network.AddHost(fmt.Sprintf("h%d", lane))
		if err != nil {
			t.Fatal(err)
		}
		box := dockertest.Run(t, engine, docker.Spec{})
		l := &killLane{t: t, program: program, engine: engine, box: box.ID, state: t.TempDir()}
		l.document = filepath.Join(t.TempDir(), "killed.yaml")
		text := fmt.Sprintf(killed, filepath.Base(host.NetNS), box.ID)
		if err := os.WriteFile(l.document, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(l.state, 0o700); err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(lane)))
			for range times / lanes {
				l.round(time.Duration(random.Int64N(int64(life))), after, took)
			}
		})
	}
	running.Wait()
	if names := programs(t); len(names) > 0 {
		t.Errorf("programs are still attached: %v", names)
	}
	close(took)
	var all []time.Duration
	for d := range took {
		all = append(all, d)
	}
	slices.Sort(all)
	if len(all) != times {
		t.Fatalf("%d of %d rounds were clean", len(all), times)
	}
	t.Logf("killed %d times: clean after %s at p50, %s at p99, %s at the most", times, all[times/2], all[times*99/100], all[times-1])
}

// killLane is a host, a container and a state directory that one kill at a time uses.
type killLane struct {
	t                             *testing.T
	program, document, state, box string
	engine                        *docker.Client
}

// round starts a run, kills it after a while and says how long it took until nothing
// was left.
func (l *killLane) round(until, within time.Duration, took chan<- time.Duration) {
	cmd := exec.Command(l.program, "run", l.document)
	cmd.Env = append(os.Environ(), "SQUALL_STATE="+l.state)
	var output strings.Builder
	cmd.Stderr = &output
	if err := cmd.Start(); err != nil {
		l.t.Error(err)
		return
	}
	time.Sleep(until) // the instant of the kill, not a synchronisation
	killed := time.Now()
	_ = cmd.Process.Kill() // it may have ended by itself
	_ = cmd.Wait()
	for {
		left := l.left()
		since := time.Since(killed)
		if left == "" {
			took <- since
			return
		}
		if since > 10*within {
			l.t.Errorf("killed after %s: %s later there is still %s\n%s", until, since, left, output.String())
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// left says what is still there of the lane's run.
func (l *killLane) left() string {
	if left := residue(l.state); left != "" {
		return left
	}
	box, err := l.engine.Inspect(l.t.Context(), l.box)
	if err != nil {
		return err.Error()
	}
	if box.State != docker.Running {
		return "a container that is " + string(box.State)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err.Error()
	}
	for _, path := range commands {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), l.state) {
			return "a process: " + string(line)
		}
	}
	return ""
}

// A squall that is stopped is as good as dead: when it does not renew its lease, its
// deadman ends it and puts everything back.
func TestStoppedSquallIsPutRight(t *testing.T) {
	require.Root(t)
	network, err := testbed.New(fmt.Sprintf("sqstop-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	host, err := network.AddHost("a")
	if err != nil {
		t.Fatal(err)
	}
	engine := dockertest.Engine(t)
	box := dockertest.Run(t, engine, docker.Spec{})
	text := fmt.Sprintf(strings.ReplaceAll(killed, "500ms", "10m"), filepath.Base(host.NetNS), box.ID)
	document := filepath.Join(t.TempDir(), "stopped.yaml")
	if err := os.WriteFile(document, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &killLane{t: t, state: stateDir(t), box: box.ID, engine: engine}
	cmd := exec.Command(buildSquall(t), "run", document)
	cmd.Env = append(os.Environ(), "SQUALL_STATE="+l.state)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	eventually(t, "the container to be frozen", func() bool {
		return strings.Contains(l.left(), "journal") && dockertest.Inspect(t, engine, box.ID).State == docker.Paused
	})
	stopped := time.Now()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("squall ended with 0 although it was killed")
	}
	eventually(t, "nothing to be left", func() bool { return l.left() == "" && len(programs(t)) == 0 })
	t.Logf("put right %s after the stop", time.Since(stopped))
}

// buildSquall builds the program as `make build` does, once a test binary.
func buildSquall(t testing.TB) string {
	t.Helper()
	path, err := builtSquall()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var builtSquall = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "squall-built-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "squall")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build squall: %w\n%s", err, out)
	}
	return path, nil
})

// built is the folder that builtSquall made, for TestMain to remove.
var built string
