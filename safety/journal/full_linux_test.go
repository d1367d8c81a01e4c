package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/require"
)

// mount mounts a tmpfs of 64 KiB.
func mount(t *testing.T) string {
	t.Helper()
	require.Root(t)
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func TestFileSystemFull(t *testing.T) {
	dir := mount(t)
	j, err := Create(dir, Head{Run: "run"})
	must(t, err, j.Intent("a", nil))
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the file system isn't full: %v", err)
	}
	payload := []byte(`"` + strings.Repeat("x", 8000) + `"`) // more than the rest of its page
	err = j.Intent("b", payload)
	if !errors.Is(err, unix.ENOSPC) || len(hint.Of(err)) == 0 {
		t.Fatalf("intent on a full file system: %v", err)
	}
	// Room comes too late: what is on disk now is uncertain.
	must(t, os.Remove(filler))
	for _, err := range []error{j.Intent("c", nil), j.Applied("a"), j.Reverted("a")} {
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the journal takes more after a failure: %v", err)
		}
	}
	must(t, j.Close())
	// Whoever opens it next finds what was acknowledged, and can go on.
	j, state, err := Open(t.Context(), j.Path())
	must(t, err)
	want(t, state, "a")
	if !state.Torn {
		t.Errorf("state %+v", state)
	}
	must(t, j.Reverted("a"), j.Finish())

	must(t, ignore(os.WriteFile(filler, make([]byte, 1<<20), 0o600), unix.ENOSPC))
	if _, err := Create(dir, Head{Run: "more"}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("created on a full file system: %v", err)
	}
	if paths, err := List(dir); err != nil || paths != nil {
		t.Fatalf("a failed Create left %q, %v", paths, err)
	}
}

// All is put back, though the journal could not be told.
func TestFinishAfterAFailure(t *testing.T) {
	j := create(t, "run")
	must(t, j.Intent("a", nil))
	j.broken = unix.EIO
	if err := j.Reverted("a"); !errors.Is(err, unix.EIO) {
		t.Fatal(err)
	}
	must(t, j.Finish())
}

func TestReadOnly(t *testing.T) {
	dir := mount(t)
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if _, err := Create(dir, Head{Run: "run"}); !errors.Is(err, unix.EROFS) {
		t.Fatalf("created on a read-only file system: %v", err)
	}
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}
