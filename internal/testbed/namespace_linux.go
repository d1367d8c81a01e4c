package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/netns"
)

// netnsDir is where iproute2, and so everybody, keeps named network namespaces.
const netnsDir = "/run/netns"

func nsPath(prefix, name string) string { return filepath.Join(netnsDir, prefix+"-"+name) }

func makeNetnsDir() (made bool, err error) {
	switch err := os.Mkdir(netnsDir, 0o755); {
	case err == nil:
		return true, nil
	case errors.Is(err, os.ErrExist):
		return false, nil
	default:
		return false, fmt.Errorf("cannot make the folder of the named namespaces: %w", err)
	}
}

// newNamespace makes a named namespace with loopback up, and tags it before it gets
// its name.
func newNamespace(prefix, name string) error {
	path := nsPath(prefix, name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot make a named namespace: %w", err)
	}
	_, err = file.WriteString(tag(prefix))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return netns.Scratch(func() error {
		handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("cannot open netlink in a new namespace: %w", err)
		}
		defer handle.Close()
		lo, err := handle.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("cannot find lo in a new namespace: %w", err)
		}
		if err := errors.Join(handle.LinkSetAlias(lo, tag(prefix)), handle.LinkSetUp(lo)); err != nil {
			return fmt.Errorf("cannot set lo of a new namespace up: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot mount a namespace at %s: %w", path, err)
		}
		return nil
	})
}

// removeNamespace removes a named namespace that carries the prefix's tag, or the
// file of one that has lost its namespace already.
func removeNamespace(path, prefix string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if fs.Type == unix.NSFS_MAGIC {
		ours, err := tagged(path, prefix)
		if err != nil || !ours {
			return err
		}
		if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("cannot unmount %s: %w", path, err)
		}
	}
	content, err := readSmall(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && content != tag(prefix) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot remove %s: %w", path, err)
	}
	return nil
}

// tagged says whether the namespace at path was made for that prefix.
func tagged(path, prefix string) (bool, error) {
	ns, err := openNamespace(path)
	if err != nil {
		return false, err
	}
	defer ns.close()
	lo, err := ns.LinkByName("lo")
	if err != nil {
		return false, fmt.Errorf("cannot find lo in %s: %w", path, err)
	}
	return lo.Attrs().Alias == tag(prefix), nil
}

// readSmall returns the start of a regular file, enough to compare it with a tag.
func readSmall(path string) (content string, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	buf := make([]byte, 256)
	n, err := unix.Read(fd, buf)
	return string(buf[:max(n, 0)]), err
}
