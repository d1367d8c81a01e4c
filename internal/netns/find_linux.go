package netns

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Find says whether a network namespace with this identity lives, and returns a
// path that opens it. It looks at the recorded paths first, then at every namespace
// that is mounted (as /run/netns and /run/docker/netns are), then at every process.
//
// Not found means that nobody who can be seen from here uses it. Without root that
// is little, so that not found is an error then: unknown is not gone. Root can be
// kept from seeing single processes, for instance from inside a container; it can't
// have entered their namespaces either.
func Find(id string, recorded ...string) (path string, ok bool, err error) {
	for _, path := range recorded {
		if found, err := Identify(path); err == nil && found == id {
			return path, true, nil
		}
	}
	mounted, err := mounts(id)
	if err != nil {
		return "", false, err
	}
	for _, path := range mounted {
		// A mount that lies under another one names a path that opens something else.
		if found, err := Identify(path); err == nil && found == id {
			return path, true, nil
		}
	}
	return findProcess(id)
}

func findProcess(id string) (path string, ok bool, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", false, fmt.Errorf("cannot look for the network namespace %s: %w", id, err)
	}
	var hidden error
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		path := filepath.Join("/proc", entry.Name(), "ns/net")
		switch link, err := os.Readlink(path); {
		case link == id:
			return path, true, nil
		case errors.Is(err, os.ErrPermission):
			hidden = err
		}
	}
	if hidden != nil && os.Geteuid() != 0 {
		return "", false, fmt.Errorf("cannot tell whether the network namespace %s is gone: %w", id, hidden)
	}
	return "", false, nil
}

// mounts returns the mount points of a namespace. See proc_pid_mountinfo(5): the
// fields are id, parent, device, root, mount point, options, optional fields, "-",
// type, ...; the root of a mounted namespace is its identity.
func mounts(id string) (paths []string, err error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot look for mounted network namespaces: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 4 && fields[3] == id && strings.Contains(lines.Text(), " - nsfs ") {
			paths = append(paths, unescape(fields[4]))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot look for mounted network namespaces: %w", err)
	}
	return paths, nil
}

// unescape undoes the octal escapes that mountinfo writes for space, tab, line
// break and backslash.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
