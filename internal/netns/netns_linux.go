package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/squallhq/squall/internal/hint"
	"golang.org/x/sys/unix"
)

// namedDir is where iproute2 keeps the namespaces that have a name.
const namedDir = "/run/netns"

// Identify returns the identity of the network namespace that path opens, such as
// /proc/PID/ns/net or /run/netns/NAME: "net:[4026532281]". It is an error where
// path opens something else, for instance the empty file that is left of a
// namespace whose mount is gone.
func Identify(path string) (id string, err error) {
	file, err := open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return identify(file)
}

// Host returns the identity of the namespace that this process runs in.
func Host() (id string, err error) { return Identify("/proc/self/ns/net") }

// Cookie returns the number that the kernel gave the namespace when it was made
// (SO_NETNS_COOKIE): unlike the inode in an identity it is not used again before
// the next boot. It is never 0. The error wraps errors.ErrUnsupported on kernels
// before 5.14, which have no such number.
func Cookie(path string) (cookie uint64, err error) {
	err = Do(path, func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("cannot open a socket in %s: %w", path, err)
		}
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		if errors.Is(err, unix.ENOPROTOOPT) {
			err = fmt.Errorf("%w before Linux 5.14", errors.ErrUnsupported)
		}
		if err != nil {
			err = fmt.Errorf("cannot read the cookie of %s: %w", path, err)
		}
		return errors.Join(err, unix.Close(fd))
	})
	return cookie, err
}

// Named returns the sorted names under /run/netns that are network namespaces.
func Named() ([]string, error) {
	entries, err := os.ReadDir(namedDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot list network namespaces: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if _, err := Identify(filepath.Join(namedDir, entry.Name())); err == nil {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// open opens a namespace's file. O_NONBLOCK keeps a named pipe in its place from
// holding us.
func open(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, needRoot(fmt.Errorf("cannot open the network namespace %q: %w", path, err))
	}
	return os.NewFile(uintptr(fd), path), nil
}

// needRoot adds the way out where a privilege is missing.
func needRoot(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return hint.Wrap(err, "run squall as root: other network namespaces are closed to users")
	}
	return err
}

func identify(file *os.File) (string, error) {
	fd := int(file.Fd())
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return "", fmt.Errorf("%q is not a network namespace", file.Name())
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return "", fmt.Errorf("cannot identify the network namespace %q: %w", file.Name(), err)
	}
	return fmt.Sprintf("net:[%d]", stat.Ino), nil
}
