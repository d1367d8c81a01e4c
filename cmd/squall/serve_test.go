package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/squallhq/squall/cmd/squall/internal/shop"
	"github.com/squallhq/squall/experiments/engine"
	"github.com/squallhq/squall/internal/require"
)

const scheduled = `apiVersion: squall/v1
kind: Experiment
metadata: {name: %[1]s}
spec:
  targets:
    host: {netns: {name: %[2]s}}
  slis:
    web:
      http: {url: "%[3]s", timeout: 400ms}
      every: 400ms
      insideBlastRadius: true
  guards:
    admit: ['web.okRatio() > 0.1']
  faults:
    - {target: host, network: {loss: 10%%, direction: both}, for: %[4]s}
  baseline: 1s
  recovery: 10s
---
apiVersion: squall/v1
kind: Schedule
metadata: {name: often-%[1]s}
spec:
  experiment: %[1]s
  cron: "*/3 * * * * *"
  timeZone: UTC
`

// serving is a `squall serve` whose output can be read while it goes on.
type serving struct {
	*exec.Cmd
	mu             sync.Mutex
	stdout, stderr bytes.Buffer
}

type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (s *serving) output() (stdout, stderr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stdout.String(), s.stderr.String()
}

// results parses the objects that the runs printed.
func (s *serving) results(t *testing.T) (results []engine.Result) {
	stdout, _ := s.output()
	for line := range strings.Lines(stdout) {
		var result engine.Result
		if err := json.Unmarshal([]byte(line), &result); err != nil {
			t.Fatalf("not a result: %q: %v", line, err)
		}
		results = append(results, result)
	}
	return results
}

// Two schedules fire every three seconds against the demo's shop, beside a broken file; runs of one schedule
// never overlap; SIGTERM in the middle of a fault leaves nothing behind.
func TestServe(t *testing.T) {
	require.Root(t)
	program := buildSquall(t)
	shop, err := shop.OpenInNamespaces(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shop.Close(); err != nil {
			t.Error(err)
		}
	})
	dir, state := t.TempDir(), t.TempDir()
	for _, folder := range []string{dir, state} {
		if err := os.Chmod(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The second one's fault is longer than its interval, so that it would overlap.
	for role, length := range map[string]string{"payments": "500ms", "checkout": "3s"} {
		write(role+".yaml", fmt.Sprintf(scheduled, role, "squall-demo-"+role, shop.URL(), length))
	}
	write("broken.yaml", strings.Replace(fmt.Sprintf(scheduled, "broken", "x", "http://127.0.0.1", "1s"), "cron:", "corn:", 1))

	s := &serving{Cmd: exec.Command(program, "serve", dir)}
	s.Env = append(os.Environ(), "SQUALL_STATE="+state)
	s.Stdout, s.Stderr = locked{&s.mu, &s.stdout}, locked{&s.mu, &s.stderr}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	eventually(t, "five runs", func() bool { return len(s.results(t)) >= 5 })
	_, before := s.output()
	eventually(t, "another fault to be in", func() bool {
		_, stderr := s.output()
		return strings.Contains(stderr[len(before):], "is in:")
	})
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("serve ended with %v, want exit code 0", err)
	}
	_, stderr := s.output()
	for _, want := range []string{"broken.yaml", "did you mean `cron`", "comes next at", "the last run of schedule often-checkout has been going on"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("serve did not say %q:\n%s", want, stderr)
		}
	}
	ended := map[string]time.Time{}
	stopped := 0
	for _, result := range s.results(t) {
		if result.Started.Before(ended[result.Experiment]) {
			t.Errorf("a run of %s began at %s, before the last one ended at %s", result.Experiment, result.Started, ended[result.Experiment])
		}
		ended[result.Experiment] = result.Ended
		if result.Rollback != engine.Clean {
			t.Errorf("the rollback of %s is %s", result.Run, result.Rollback)
		}
		if result.Verdict == engine.Stopped {
			stopped++
		}
	}
	if stopped == 0 {
		t.Error("no run was stopped by the signal")
	}
	if left := residue(state); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if names := programs(t); len(names) > 0 {
		t.Errorf("programs are still attached: %v", names)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
