package deadman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/safety/journal"
)

// clean waits for the deadman's end, and fails where anything is left but the notes
// of the tests' own revert.
func (s *squall) clean(t testing.TB, want Outcome) {
	t.Helper()
	eventually(t, "the deadman has ended", func() bool { return ended(s.deadman) })
	for _, path := range []string{s.dir + "/effect", s.journal, LogPath(s.journal)} {
		if exists(path) {
			text, _ := os.ReadFile(path)
			t.Fatalf("%s is left: %s", path, text)
		}
	}
	if outcome, err := os.ReadFile(s.journal + ".outcome"); err != nil || Outcome(outcome) != want {
		t.Fatalf("outcome %q, %v; want %q", outcome, err, want)
	}
}

func TestActsWhenSquallIsKilled(t *testing.T) {
	s := startSquall(t, t.TempDir(), "1h", "reverts")
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.clean(t, ParentGone)
	_ = s.Wait()
}

func TestActsWhenSquallEndsWithoutRelease(t *testing.T) {
	s := startSquall(t, t.TempDir(), "1h", "reverts:returns")
	if err := s.Wait(); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatal(err)
	}
	s.clean(t, ParentGone)
}

// A squall that hangs holds the journal's lock: it has to be killed first.
func TestActsAtTheDeadlineThoughSquallHangs(t *testing.T) {
	s := startSquall(t, t.TempDir(), "300ms", "reverts:freezes")
	err := s.Wait()
	if status, ok := s.ProcessState.Sys().(interface{ Signal() unix.Signal }); !ok || status.Signal() != unix.SIGKILL {
		t.Fatalf("squall ended with %v, not by SIGKILL", err)
	}
	s.clean(t, TooLate)
}

func TestExtendMovesTheDeadline(t *testing.T) {
	s := startSquall(t, t.TempDir(), "1h", "reverts:is late")
	_ = s.Wait()
	s.clean(t, TooLate)
}

// The pipe's end can be seen before the dying process's lock is free.
func TestWaitsForTheLockOfADyingSquall(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		s := startSquall(t, t.TempDir(), "1h", "reverts")
		if err := s.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		s.clean(t, ParentGone) // a second attempt would have left a log
		_ = s.Wait()
	}
}

// From before there is a deadman until after the fault is in, there is no moment at
// which a kill leaves anything.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	for i := range rounds {
		dir := t.TempDir()
		s := exec.Command(os.Args[0], "squall", dir, "1h", "reverts")
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 30 * time.Millisecond / time.Duration(rounds))
		if err := s.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.Wait()
		eventually(t, "no process of the run is left", func() bool { return !mentioned(t, dir) })
		for _, path := range []string{dir + "/effect", dir + "/run.journal", dir + "/run.deadman.log"} {
			if exists(path) {
				t.Fatalf("killed in round %d: %s is left", i, path)
			}
		}
	}
}

// mentioned reports whether a process has text in its arguments.
func mentioned(t *testing.T, text string) bool {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if arguments, _ := os.ReadFile(line); bytes.Contains(arguments, []byte(text)) {
			return true
		}
	}
	return false
}

func TestSquallLearnsOfItsDeath(t *testing.T) {
	s := startSquall(t, t.TempDir(), "1h", "reverts")
	if err := unix.Kill(s.deadman, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if line := s.line(); line != "died" {
		t.Fatalf("squall said %q", line)
	}
	// squall reaps it: no zombie is left.
	eventually(t, "the deadman's process is reaped", func() bool { return !exists(fmt.Sprintf("/proc/%d", s.deadman)) })
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.Wait()
	// With both dead, recover finds everything in the journal.
	j, state, err := journal.Open(t.Context(), s.journal)
	if err != nil || len(state.Pending) != 1 || state.Torn || state.Damaged != 0 {
		t.Fatalf("state %+v, %v", state, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := revertJournal(t.Context(), s.journal); err != nil || exists(s.dir+"/effect") {
		t.Fatalf("recover: %v", err)
	}
}

func startHere(t *testing.T, argv ...string) (*Deadman, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.journal")
	d, err := Start(t.Context(), Options{Argv: append([]string{os.Args[0]}, argv...), Journal: path, Deadline: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func TestRelease(t *testing.T) {
	d, path := startHere(t, "deadman", "fails")
	for _, signal := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP, unix.SIGPIPE} {
		if err := unix.Kill(d.PID(), signal); err != nil {
			t.Fatal(err)
		}
	}
	if !d.Alive() {
		t.Fatal("it is not alive")
	}
	for range 2 {
		if err := d.Release(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-d.Died():
		t.Fatal("a released deadman counts as dead")
	default:
	}
	if outcome, err := os.ReadFile(path + ".outcome"); err != nil || Outcome(outcome) != Released {
		t.Fatalf("outcome %q, %v", outcome, err)
	}
	if d.Alive() || exists(fmt.Sprintf("/proc/%d", d.PID())) {
		t.Fatal("its process is still there")
	}
	if err := d.Extend(time.Hour); err == nil {
		t.Fatal("a released deadman takes a deadline")
	}
}

func TestReleaseSaysThatItHadDied(t *testing.T) {
	d, _ := startHere(t, "deadman", "fails")
	if err := unix.Kill(d.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-d.Died()
	if err := d.Release(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("release: %v", err)
	}
}

func TestReleaseEndsOneThatHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the release's time limit")
	}
	d, _ := startHere(t, "deadman", "fails")
	if err := unix.Kill(d.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := d.Release(); err == nil || d.Alive() {
		t.Fatalf("release: %v, alive %v", err, d.Alive())
	}
}

// A deadman that reads nothing must not hang the run that renews its lease.
func TestExtendDoesNotWaitForOneThatHangs(t *testing.T) {
	d, _ := startHere(t, "deadman", "fails")
	if err := unix.Kill(d.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 1 << 20 { // far more than a pipe holds
		if err := d.Extend(time.Minute); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want the end of the time limit", err)
			}
			if err := d.Release(); err == nil {
				t.Error("the release of one that hangs is not an error")
			}
			return
		}
	}
	t.Error("every message was taken")
}

// mayLowerOOM reports whether this process has CAP_SYS_RESOURCE, which root in a
// sandbox often has not.
func mayLowerOOM(t *testing.T) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

func TestIndependence(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close() //nolint:errcheck // read only
	// squall is born with descriptors 3 to 22, as from a careless shell.
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "squall", dir, "1h", "reverts")
	for range 20 {
		cmd.ExtraFiles = append(cmd.ExtraFiles, write)
	}
	out, err := os.CreateTemp(dir, "out")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	eventually(t, "squall has its fault in", func() bool {
		text, _ := os.ReadFile(out.Name())
		_, err := fmt.Sscanf(string(text), "%d\n", &pid)
		return err == nil
	})
	inherited, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", write.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		standard := len(entry.Name()) == 1 && entry.Name() <= "2"
		if link == inherited || link == out.Name() || standard != (link == os.DevNull) {
			t.Errorf("descriptor %s is %s", entry.Name(), link)
		}
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
		t.Errorf("it stands in %q, %v", cwd, err)
	}
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("its session is %d, %v; its pid %d", session, err, pid)
	}
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil || (mayLowerOOM(t) && strings.TrimSpace(string(score)) != "-1000") {
		t.Errorf("oom_score_adj is %q, %v", score, err)
	}
	if err := errors.Join(cmd.Process.Kill(), out.Close(), write.Close()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "the deadman has ended", func() bool { return ended(pid) })
}

func TestTriesAgain(t *testing.T) {
	for how, want := range map[string]struct {
		log  string
		left bool
	}{
		"panics at first": {"a bug", false},
		"fails":           {`it sticks\x1b[31m`, true},
		"hangs":           {"ignores its time limit", true},
	} {
		t.Run(how, func(t *testing.T) {
			s := startSquall(t, t.TempDir(), "1h", how)
			if err := s.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = s.Wait()
			eventually(t, "the deadman has ended", func() bool { return ended(s.deadman) })
			if log, err := os.ReadFile(LogPath(s.journal)); err != nil || !strings.Contains(string(log), want.log) || bytes.ContainsRune(log, 0x1b) {
				t.Errorf("log %s, %v", log, err)
			}
			if exists(s.journal) != want.left || exists(s.dir+"/effect") != want.left {
				t.Errorf("left: %v, want %v", exists(s.journal), want.left)
			}
			if want.left {
				if err := revertJournal(t.Context(), s.journal); err != nil {
					t.Errorf("recover: %v", err)
				}
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		argv []string
		late time.Duration
		want string
	}{
		"no program":    {t.Context(), nil, time.Hour, "no program"},
		"not there":     {t.Context(), []string{"/no/such/program"}, time.Hour, "no such file"},
		"ends at once":  {t.Context(), []string{"/bin/false"}, time.Hour, "before it was ready"},
		"never ready":   {soon, []string{os.Args[0], "never-ready"}, time.Hour, "did not become ready"},
		"no time given": {t.Context(), []string{os.Args[0], "deadman", "fails"}, 0, "not in the future"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Start(test.ctx, Options{Argv: test.argv, Journal: "run.journal", Deadline: test.late})
			if d != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestCannotBeStartedByHand(t *testing.T) {
	out, err := exec.Command(os.Args[0], "deadman", "fails", "/run.journal").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "started by squall itself") {
		t.Fatalf("%s, %v", out, err)
	}
	if err := checkBirth(); len(hint.Of(err)) == 0 {
		t.Fatalf("no way out is named: %v", err)
	}
}

func TestLeaksNoDescriptors(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	round := func() {
		d, _ := startHere(t, "deadman", "fails")
		if err := d.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(t.Context(), Options{Argv: []string{"/bin/false"}, Journal: "j", Deadline: 1}); err == nil {
			t.Fatal("false became ready")
		}
	}
	round() // the runtime's own descriptors
	before := count()
	for range 5 {
		round()
	}
	// Those of a child that has just ended are closed a moment later, also when they
	// were counted before.
	eventually(t, "no more descriptors than before", func() bool { return count() <= before })
}
