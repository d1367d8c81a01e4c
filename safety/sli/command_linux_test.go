package sli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sh is a command whose program happens to be a shell, for the tests' sake.
func sh(t *testing.T, script string) Sampler {
	t.Helper()
	return open(t, fmt.Sprintf("command: {argv: [sh, -c, %q]}", script))
}

func TestCommand(t *testing.T) {
	tests := []struct {
		script string
		want   Sample
	}{
		{"echo 42.5", Sample{Value: 42.5, HasValue: true, OK: true}},
		{"printf ' 1e3\\n\\n'", Sample{Value: 1000, HasValue: true, OK: true}},
		{"true", Sample{OK: true, Err: "the command printed no number"}},
		{"echo 1 2", Sample{OK: true, Err: "the command printed no number"}},
		{"echo NaN", Sample{Err: "the value is NaN"}},
		{"echo 7; exit 3", Sample{Err: "exit status 3"}},
		{"echo no database >&2; exit 1", Sample{Err: "exit status 1: no database"}},
		{"kill -9 $$", Sample{Err: "signal: killed"}},
		{"pwd | grep -qx / && echo 1", Sample{Value: 1, HasValue: true, OK: true}},
		{"read x; echo $?", Sample{Value: 1, HasValue: true, OK: true}}, // no input
		{"head -c 70000 /dev/zero", Sample{OK: true, Err: "the command printed more than 65536 bytes"}},
	}
	for _, test := range tests {
		got := sample(t, sh(t, test.script), 30*time.Second)
		got.At, got.Took = time.Time{}, 0
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.script, got, test.want)
		}
	}
}

// The arguments reach the program as they are: nothing is expanded.
func TestCommandHasNoShell(t *testing.T) {
	script := filepath.Join(t.TempDir(), "args")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = '$HOME; rm *' ] && echo $#\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := sample(t, open(t, fmt.Sprintf("command: {argv: [%q, '$HOME; rm *']}", script)), 30*time.Second)
	if !got.OK || got.Value != 1 {
		t.Errorf("%+v", got)
	}
}

func TestCommandThatIsNotThere(t *testing.T) {
	for _, text := range []string{"command: {argv: [no-such-program]}", "command: {argv: [/no/such/program]}", fmt.Sprintf("command: {argv: [%q]}", t.TempDir())} {
		if _, err := document(t, text).Open(Env{}); err == nil {
			t.Errorf("%s: opened", text)
		}
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("here", []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", ".")
	if _, err := document(t, "command: {argv: [here]}").Open(Env{}); err == nil {
		t.Error("a program of the working directory was opened")
	}
}

// pids waits until a command has written n pids to a file.
func pids(t *testing.T, file string, n int) []int {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		data, _ := os.ReadFile(file)
		words := strings.Fields(string(data))
		if len(words) < n {
			continue
		}
		found := make([]int, n)
		for i, word := range words {
			found[i], _ = strconv.Atoi(word)
		}
		return found
	}
	t.Fatal("the command did not write its pids")
	return nil
}

// gone waits until a process is no more than a zombie: whoever inherits it may be
// slow to reap it.
func gone(pid int) bool {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return true
		}
	}
	return false
}

// A command that runs into its timeout is killed with everything it started, even
// where that ignores every signal that can be ignored.
func TestCommandTimeoutKillsTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	script := fmt.Sprintf("trap '' TERM INT HUP; sleep 1000 & echo $$ $! >%s; wait", file)
	sampler := sh(t, script)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan Sample)
	go func() { ended <- sampler.Sample(ctx) }()
	running := pids(t, file, 2)
	cancel()
	if got := <-ended; got.OK || !strings.Contains(got.Err, "did not end in time") {
		t.Errorf("%+v", got)
	}
	for _, pid := range running {
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

// What a command leaves in the background is killed when it ends, and does not keep
// the sample waiting.
func TestCommandLeavesNothingBehind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	got := sample(t, sh(t, fmt.Sprintf("sleep 1000 & echo $! >%s; echo 5", file)), 30*time.Second)
	if !got.OK || got.Value != 5 || got.Took > 20*time.Second {
		t.Errorf("%+v", got)
	}
	if pid := pids(t, file, 1)[0]; !gone(pid) {
		t.Errorf("process %d is still there", pid)
	}
}

// A process that leaves the group and holds the output open does not keep the
// sample waiting either.
func TestCommandThatEscapes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	got := sample(t, sh(t, fmt.Sprintf("setsid sh -c 'echo $$ >%s; exec sleep 1000' & while [ ! -s %s ]; do :; done; echo 5", file, file)), 30*time.Second)
	defer func() { _ = unix.Kill(pids(t, file, 1)[0], unix.SIGKILL) }()
	if !got.OK || got.Value != 5 || got.Took > 20*time.Second {
		t.Errorf("%+v", got)
	}
}
