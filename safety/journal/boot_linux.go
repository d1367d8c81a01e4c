package journal

import (
	"fmt"
	"os"
	"strings"
)

// BootID identifies this boot of the machine. A journal with another one was
// written before a reboot: what the kernel held for it is gone.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot identify this boot: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
