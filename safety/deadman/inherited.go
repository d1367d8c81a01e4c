package deadman

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// closeInherited closes the descriptors after last that this process was born with,
// such as a redirection of the shell that started squall: whoever waits for their
// end would wait for the deadman. Those that Go itself opened are close-on-exec, the
// inherited ones can't be.
func closeInherited(last int) error {
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		return fmt.Errorf("cannot close the inherited descriptors: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= last {
			continue
		}
		// EBADF: it was ReadDir's own.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
