package deadman

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/safety/journal"
)

// The test binary plays three parts, told apart by its first argument: the tests,
// a squall that has a fault in, and the deadman.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "deadman":
			os.Exit(playDeadman(os.Args[2], os.Args[3]))
		case "squall":
			os.Exit(playSquall(os.Args[2], os.Args[3], os.Args[4]))
		case "never-ready":
			time.Sleep(time.Hour)
		}
	}
	// The race detector keeps an ending process for a second otherwise.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var impatient = persistence{
	attempt:  2 * time.Second,
	pause:    time.Millisecond,
	maxPause: 4 * time.Millisecond,
	giveUp:   200 * time.Millisecond,
}

// playDeadman serves with the real revert, or with one that misbehaves.
func playDeadman(how, path string) int {
	reverts := map[string]func(context.Context, string) error{
		"reverts": revertJournal,
		"fails":   func(context.Context, string) error { return errors.New("it sticks\x1b[31m") },
		"hangs":   func(context.Context, string) error { select {} },
		"panics at first": func(ctx context.Context, path string) error {
			if _, err := os.Stat(LogPath(path)); err != nil {
				panic("a bug")
			}
			return revertJournal(ctx, path)
		},
	}
	persist := impatient
	if how == "reverts" {
		persist = stubborn
	}
	outcome, err := serve(context.Background(), ServeOptions{Journal: path, Revert: reverts[how]}, persist)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.WriteFile(path+".outcome", []byte(outcome), 0o600); err != nil {
		return 1
	}
	return 0
}

// revertJournal takes every effect of the journal out. An effect is a file.
func revertJournal(ctx context.Context, path string) error {
	called := now()
	j, state, err := journal.Open(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range state.Pending {
		var effect string
		if err := json.Unmarshal(entry.Payload, &effect); err != nil {
			return errors.Join(err, j.Close())
		}
		if err := os.Remove(effect); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, j.Close())
		}
		if err := j.Reverted(entry.Step); err != nil {
			return errors.Join(err, j.Close())
		}
	}
	if err := os.WriteFile(path+".called", []byte(strconv.FormatInt(called, 10)), 0o600); err != nil {
		return errors.Join(err, j.Close())
	}
	return j.Finish()
}

// now is the monotonic clock, which all processes share.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// playSquall makes an effect under a journal and a deadman, says the deadman's
// process id, and then behaves as told.
func playSquall(dir, deadline, behaviour string) int {
	if err := squallRun(dir, deadline, behaviour); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func squallRun(dir, deadline, behaviour string) error {
	how, behaviour, _ := strings.Cut(behaviour, ":")
	limit, err := time.ParseDuration(deadline)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d, err := Start(context.Background(), Options{Argv: []string{self, "deadman", how}, Journal: journal.Path(dir, "run"), Deadline: limit})
	if err != nil {
		return err
	}
	j, err := journal.Create(dir, journal.Head{Run: "run"})
	if err != nil {
		return err
	}
	effect := filepath.Join(dir, "effect")
	payload, err := json.Marshal(effect)
	if err != nil {
		return err
	}
	if err := j.Intent("fault", payload); err != nil {
		return err
	}
	if err := os.WriteFile(effect, nil, 0o600); err != nil {
		return err
	}
	fmt.Println(d.PID())
	switch behaviour {
	case "freezes":
		if err := unix.Kill(os.Getpid(), unix.SIGSTOP); err != nil {
			return err
		}
	case "returns":
		return nil
	case "is late":
		if err := d.Extend(10 * time.Millisecond); err != nil {
			return err
		}
	}
	<-d.Died() // as long as the deadman is there, squall goes on
	fmt.Println("died")
	select {}
}

// squall is a running playSquall.
type squall struct {
	*exec.Cmd
	dir     string
	journal string
	deadman int
	out     *bufio.Scanner
}

func startSquall(t testing.TB, dir, deadline, behaviour string) *squall {
	t.Helper()
	s := &squall{
		Cmd: exec.Command(os.Args[0], "squall", dir, deadline, behaviour),
		dir: dir, journal: filepath.Join(dir, "run.journal"),
	}
	s.Stderr = os.Stderr
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	s.deadman, err = strconv.Atoi(s.line())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *squall) line() string {
	s.out.Scan()
	return s.out.Text()
}

// ended says whether a process that may not be ours is gone. An orphan's zombie is
// its new parent's to reap.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

// eventually waits for a condition; its time limit only bounds a failure.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
