package journal

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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/require"
)

// The test binary is also the process that owns a journal.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "own" {
		if _, _, err := Open(context.Background(), os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("owned")
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

func create(t testing.TB, run string) *Journal {
	t.Helper()
	j, err := Create(t.TempDir(), Head{Run: run, Experiment: "slow-payments", Digest: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// want compares the pending steps: a name, with "!" after those that are applied.
func want(t testing.TB, state State, steps ...string) {
	t.Helper()
	var got []string
	for _, entry := range state.Pending {
		name := entry.Step
		if entry.Applied {
			name += "!"
		}
		got = append(got, name)
	}
	if !slices.Equal(got, steps) {
		t.Fatalf("pending: %q, want %q", got, steps)
	}
}

func reopen(t testing.TB, j *Journal) (*Journal, State) {
	t.Helper()
	must(t, j.Close())
	again, state, err := Open(t.Context(), j.Path())
	must(t, err)
	t.Cleanup(func() { must(t, again.Close()) })
	return again, state
}

func TestLifeOfARun(t *testing.T) {
	j := create(t, "run-1")
	payload := json.RawMessage(`{"name":"<b>\u001b[31m & \"quotes\"","big":12345678901234567890}`)
	must(t, j.Intent("a", payload), j.Applied("a"), j.Intent("b", nil), j.Intent("c", nil), j.Applied("c"), j.Reverted("c"))
	state, err := Read(j.Path())
	must(t, err)
	want(t, state, "a!", "b")

	j, state = reopen(t, j)
	want(t, state, "a!", "b")
	if string(state.Pending[0].Payload) != string(payload) {
		t.Fatalf("payload %s", state.Pending[0].Payload)
	}
	boot, err := BootID()
	must(t, err)
	if h := state.Head; h.Version != Version || h.Run != "run-1" || h.Experiment != "slow-payments" || h.Digest != "abc" ||
		h.Boot != boot || h.PID != os.Getpid() || h.Started.IsZero() || state.Torn || state.Damaged != 0 {
		t.Fatalf("state %+v", state)
	}
	if err := j.Finish(); err == nil || !strings.Contains(err.Error(), "not put back yet: a, b") {
		t.Fatalf("finished with steps pending: %v", err)
	}
	must(t, j.Reverted("b"), j.Reverted("a"), j.Intent("a", nil), j.Reverted("a"), j.Finish(), j.Close())
	if _, err := os.Lstat(j.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the file is left: %v", err)
	}
	if err := j.Intent("d", nil); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("intent after the end: %v", err)
	}
}

func TestRefusedRecords(t *testing.T) {
	j := create(t, "run")
	must(t, j.Intent("a", nil))
	for name, err := range map[string]error{
		"a pending step":        j.Intent("a", nil),
		"no name":               j.Intent("", nil),
		"a long name":           j.Intent(strings.Repeat("x", MaxStep+1), nil),
		"a name that isn't one": j.Intent("\xff", nil),
		"a large payload":       j.Intent("b", make(json.RawMessage, MaxPayload+1)),
		"no JSON":               j.Intent("b", json.RawMessage("{")),
		"applied, not begun":    j.Applied("b"),
		"reverted, not begun":   j.Reverted("b"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// None of it breaks the journal.
	must(t, j.Reverted("a"), j.Intent("a", nil))
	for _, run := range []string{"", ".", "..", ".hidden", "a/b", "a\nb", strings.Repeat("x", 129)} {
		if _, err := Create(t.TempDir(), Head{Run: run}); err == nil {
			t.Errorf("a run may be called %q", run)
		}
	}
}

// A journal that is full takes no more intents, but still what ends them.
func TestFull(t *testing.T) {
	j := create(t, "run")
	payload := json.RawMessage(`"` + strings.Repeat("x", MaxPayload-2) + `"`)
	var steps []string
	for i := 0; ; i++ {
		step := fmt.Sprint(i)
		if err := j.Intent(step, payload); err != nil {
			break
		}
		steps = append(steps, step)
	}
	if len(steps) < 15 {
		t.Fatalf("only %d", len(steps))
	}
	_, state := reopen(t, j)
	want(t, state, steps...)
}

func TestOneOwner(t *testing.T) {
	j := create(t, "run")
	path := j.Path()
	must(t, j.Intent("a", nil))
	if held, err := Held(path); err != nil || !held {
		t.Fatalf("held %v, %v", held, err)
	}
	if _, err := Create(filepath.Dir(path), Head{Run: "run"}); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("created twice: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := Open(short, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("opened twice: %v", err)
	}
	must(t, j.Close())
	if held, err := Held(path); err != nil || held {
		t.Fatalf("held %v, %v", held, err)
	}
}

// Who waits for an owner that finishes must not get, or make, a journal that has no
// name any more.
func TestFinishedWhileSomebodyWaits(t *testing.T) {
	for range 50 {
		j := create(t, "run")
		opened := make(chan error)
		go func() {
			_, _, err := Open(t.Context(), j.Path())
			opened <- err
		}()
		must(t, j.Finish())
		if err := <-opened; !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("opened a finished journal: %v", err)
		}
	}
}

// Somebody who looks for leftovers may find a new journal before its maker has
// locked it, and remove it.
func TestCreatedWhileSomebodyCleans(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var cleaner sync.WaitGroup
	cleaner.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
			if j, state, err := Open(ctx, filepath.Join(dir, "run.journal")); err == nil {
				if len(state.Pending) == 0 {
					err = j.Finish()
				}
				if err = errors.Join(err, j.Close()); err != nil {
					t.Error(err)
				}
			}
			cancel()
		}
	})
	for range 200 {
		j, err := Create(dir, Head{Run: "run"})
		must(t, err, j.Intent("a", nil))
		if there, err := sameFile(j.file, j.path); err != nil || !there {
			t.Fatalf("the journal has lost its name: %v", err)
		}
		must(t, j.Reverted("a"), j.Finish())
	}
	close(stop)
	cleaner.Wait()
}

// The kernel gives the lock of a killed owner to whoever waits.
func TestWaitsForAnotherProcess(t *testing.T) {
	j := create(t, "run")
	must(t, j.Intent("a", nil), j.Close())
	owner := exec.Command(os.Args[0], "own", j.Path())
	out, err := owner.StdoutPipe()
	must(t, err, owner.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "owned\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if held, err := Held(j.Path()); err != nil || !held {
		t.Fatalf("held %v, %v", held, err)
	}
	opened := make(chan State)
	go func() {
		again, state, err := Open(t.Context(), j.Path())
		if err == nil {
			err = again.Close()
		}
		if err != nil {
			t.Error(err)
		}
		opened <- state
	}()
	must(t, owner.Process.Kill())
	want(t, <-opened, "a")
	_ = owner.Wait()
}

func TestConcurrentSteps(t *testing.T) {
	j := create(t, "run")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			step := fmt.Sprint(i)
			err := errors.Join(j.Intent(step, nil), j.Applied(step))
			if i%2 == 0 {
				err = errors.Join(err, j.Reverted(step))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	_, state := reopen(t, j)
	if len(state.Pending) != 10 || state.Damaged != 0 || state.Torn {
		t.Fatalf("state %+v", state)
	}
}

func TestList(t *testing.T) {
	if paths, err := List(filepath.Join(t.TempDir(), "none")); err != nil || paths != nil {
		t.Fatalf("%q, %v", paths, err)
	}
	dir := t.TempDir()
	for _, name := range []string{"b.journal", "a.journal", "a.deadman.log", "journal"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	must(t, os.Mkdir(filepath.Join(dir, "d.journal"), 0o700), os.Symlink("a.journal", filepath.Join(dir, "l.journal")))
	paths, err := List(dir)
	if err != nil || !slices.Equal(paths, []string{dir + "/a.journal", dir + "/b.journal"}) {
		t.Fatalf("%q, %v", paths, err)
	}
}

func TestRefusedFiles(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"a symbolic link": func(path string) error {
			return errors.Join(os.Rename(path, path+"1"), os.Symlink(path+"1", path))
		},
		"others can write it":     func(path string) error { return os.Chmod(path, 0o620) },
		"is not a regular file":   func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) },
		"the limit is":            func(path string) error { return os.Truncate(path, maxFile+1) },
		"no such file":            os.Remove,
		"has version 2":           func(path string) error { return rewriteHead(path) },
		"it belongs to user 4711": func(path string) error { return os.Chown(path, 4711, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "it belongs") {
				require.Root(t) // to give a file away
			}
			j := create(t, "run")
			must(t, j.Close(), spoil(j.Path()))
			_, _, err := Open(t.Context(), j.Path())
			_, readErr := Read(j.Path())
			for _, err := range []error{err, readErr} {
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

// rewriteHead makes the head another version's, with a checksum that is right.
func rewriteHead(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r, ok := decode([]byte(strings.TrimSuffix(string(data), "\n")))
	if !ok {
		return errors.New("the head is damaged")
	}
	r.Head.Version++
	line, err := encode(r)
	return errors.Join(err, os.WriteFile(path, line, 0o600))
}

func TestStateDir(t *testing.T) {
	base := t.TempDir()
	t.Setenv("SQUALL_STATE", filepath.Join(base, "a", "b"))
	dir, err := StateDir()
	must(t, err)
	info, err := os.Lstat(dir)
	must(t, err)
	if dir != filepath.Join(base, "a", "b") || info.Mode().Perm() != 0o700 {
		t.Fatalf("%s has mode %v", dir, info.Mode())
	}
	link, file := filepath.Join(base, "link"), filepath.Join(base, "file")
	must(t, os.Symlink(dir, link), os.WriteFile(file, nil, 0o600), os.Chmod(dir, 0o770))
	refused := map[string]string{dir: "others can write", link: "symbolic link", file: "cannot make", "/proc": "cannot use"}
	if os.Geteuid() == 0 {
		given := filepath.Join(base, "given")
		must(t, os.Mkdir(given, 0o700), os.Chown(given, 4711, -1))
		refused[given] = "belongs to user 4711"
		delete(refused, "/proc")
	}
	for dir, want := range refused {
		t.Setenv("SQUALL_STATE", dir)
		_, err := StateDir()
		if err == nil || !strings.Contains(err.Error(), want) || len(hint.Of(err)) == 0 {
			t.Errorf("%s: %v, hints %q", dir, err, hint.Of(err))
		}
		if _, err := Create(dir, Head{Run: "run"}); err == nil {
			t.Errorf("%s: a journal was made in it", dir)
		}
	}
}
