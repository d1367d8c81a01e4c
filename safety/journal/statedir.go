package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/hint"
)

// StateDir returns the directory where journals live, and makes it where it isn't
// there: $SQUALL_STATE, else /var/lib/squall for root, else squall in the XDG state
// directory ($XDG_STATE_HOME or ~/.local/state). It is refused where somebody else
// could have put a journal into it: what stands in one is carried out.
func StateDir() (string, error) {
	dir, err := StatePath()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", hint.Wrap(fmt.Errorf("cannot make the state directory: %w", err),
			"set $SQUALL_STATE to a directory that you can write")
	}
	return dir, checkDir(dir)
}

// StatePath returns where StateDir is or would be, and makes nothing.
func StatePath() (string, error) {
	if dir := os.Getenv("SQUALL_STATE"); dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("cannot tell where $SQUALL_STATE is: %w", err)
		}
		return dir, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/squall", nil
	}
	// The XDG specification has relative paths ignored.
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "squall"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", hint.Wrap(fmt.Errorf("cannot tell where the state directory is: %w", err),
			"set $SQUALL_STATE to a directory of your own")
	}
	return filepath.Join(home, ".local", "state", "squall"), nil
}

// checkDir refuses a directory that others can write, or could have swapped.
func checkDir(dir string) error {
	var stat unix.Stat_t
	err := unix.Lstat(dir, &stat)
	mode := uint32(stat.Mode) //nolint:unconvert // 16 bits wide on darwin
	switch {
	case err != nil:
		err = &os.PathError{Op: "lstat", Path: dir, Err: err}
	case mode&unix.S_IFMT == unix.S_IFLNK:
		err = hint.Wrap(errors.New("it is a symbolic link"), "set $SQUALL_STATE to the directory itself")
	case mode&unix.S_IFMT != unix.S_IFDIR:
		err = errors.New("it is not a directory")
	case int(stat.Uid) != os.Geteuid():
		err = hint.Wrap(fmt.Errorf("it belongs to user %d, and squall runs as user %d", stat.Uid, os.Geteuid()),
			"set $SQUALL_STATE to a directory of your own")
	case mode&0o022 != 0:
		err = hint.Wrap(fmt.Errorf("others can write it (mode %04o)", mode&0o7777),
			"make it private with chmod 700, or set $SQUALL_STATE to a directory of your own")
	}
	if err != nil {
		return fmt.Errorf("cannot use state directory %s: %w", dir, err)
	}
	return nil
}
