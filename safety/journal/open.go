package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/hint"
)

// Open takes possession of a journal that is there and reads it. It waits for the
// present owner's end; ctx bounds that. A torn tail is cut off. Where the owner
// finished the journal in the meantime, the error is fs.ErrNotExist.
func Open(ctx context.Context, path string) (*Journal, State, error) {
	j, state, err := open(ctx, path)
	if err != nil {
		return nil, State{}, fmt.Errorf("cannot open journal %s: %w", path, err)
	}
	return j, state, nil
}

func open(ctx context.Context, path string) (_ *Journal, _ State, err error) {
	file, err := openFile(path, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return nil, State{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := lock(ctx, file); err != nil {
		return nil, State{}, err
	}
	if there, err := sameFile(file, path); err != nil || !there {
		return nil, State{}, errors.Join(err, fs.ErrNotExist)
	}
	data, err := readAll(file)
	if err != nil {
		return nil, State{}, err
	}
	state, keep, err := parse(data)
	if err != nil {
		return nil, State{}, err
	}
	j := &Journal{path: path, file: file, size: int64(keep)}
	for _, entry := range state.Pending {
		j.pending = append(j.pending, entry.Step)
	}
	return j, state, j.cut(data[:keep], len(data))
}

// cut leaves a file of whole lines.
func (j *Journal) cut(keep []byte, size int) error {
	if len(keep) < size {
		if err := j.file.Truncate(int64(len(keep))); err != nil {
			return err
		}
	}
	if len(keep) > 0 && keep[len(keep)-1] != '\n' {
		return j.append([]byte("\n"), true)
	}
	return nil
}

// Read reads a journal without taking possession of it, for listings: its owner may
// be writing to it.
func Read(path string) (State, error) {
	state, err := read(path)
	if err != nil {
		return State{}, fmt.Errorf("cannot read journal %s: %w", path, err)
	}
	return state, nil
}

func read(path string) (State, error) {
	file, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return State{}, err
	}
	data, err := readAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return State{}, err
	}
	state, _, err := parse(data)
	return state, err
}

// List returns the paths of the journals in dir, sorted. A directory that isn't
// there has none.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list journals: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), suffix) && entry.Type().IsRegular() {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	slices.Sort(paths)
	return paths, nil
}

// Held reports whether a living process owns the journal at path.
func Held(path string) (bool, error) {
	file, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return false, fmt.Errorf("cannot look for the owner of journal %s: %w", path, err)
	}
	// Closing the file gives the lock up again.
	err = flock(file, unix.LOCK_SH|unix.LOCK_NB)
	held := errors.Is(err, unix.EWOULDBLOCK)
	if held {
		err = nil
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return false, fmt.Errorf("cannot look for the owner of journal %s: %w", path, err)
	}
	return held, nil
}

// openFile opens a journal that only this user can have written. Its records are
// carried out, with root's rights where squall has them.
func openFile(path string, flags int) (*os.File, error) {
	// O_NONBLOCK keeps the open of a planted FIFO from hanging.
	file, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, errors.New("it is a symbolic link")
	}
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := checkFile(&stat); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func checkFile(stat *unix.Stat_t) error {
	mode := uint32(stat.Mode) //nolint:unconvert // 16 bits wide on darwin
	switch {
	case mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it is not a regular file")
	case int(stat.Uid) != os.Geteuid():
		return hint.Wrap(fmt.Errorf("it belongs to user %d, and squall runs as user %d", stat.Uid, os.Geteuid()),
			"run squall as the user who made it")
	case mode&0o022 != 0:
		return hint.Wrap(fmt.Errorf("others can write it (mode %04o)", mode&0o7777),
			"look at what is in it; if you trust it, make it private with chmod 600")
	case stat.Size > maxFile:
		return fmt.Errorf("it has %d bytes; the limit is %d", stat.Size, int64(maxFile))
	}
	return nil
}

func readAll(file *os.File) ([]byte, error) {
	data, err := io.ReadAll(io.NewSectionReader(file, 0, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("it has more than %d bytes", int64(maxFile))
	}
	return data, nil
}

// lock waits for the file's exclusive flock. It asks again and again, because a
// blocked flock can't be called off. A process that dies closes its files before
// its lock is free: who learns of the death may have to wait a moment.
func lock(ctx context.Context, file *os.File) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := flock(file, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process owns it: %w", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

func flock(file *os.File, how int) error {
	for {
		err := unix.Flock(int(file.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sameFile reports whether path still leads to the open file.
func sameFile(file *os.File, path string) (bool, error) {
	opened, err := file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, there), err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
