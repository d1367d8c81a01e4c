package journal

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// BootID identifies this boot of the machine. A journal with another one was
// written before a reboot: what the kernel held for it is gone.
func BootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", fmt.Errorf("cannot identify this boot: %w", err)
	}
	return id, nil
}
