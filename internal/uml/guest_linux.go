package uml

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// InGuest says whether this process is the init of a Machine.
func InGuest() bool {
	if os.Getpid() != 1 {
		return false
	}
	_, err := os.Stat("/" + argsFile)
	return err == nil
}

// Guest makes a system out of the bare kernel, sets os.Args, calls run, prints its
// status and powers the machine off. It does not return.
func Guest(run func() int) {
	status := 1
	if err := setUp(); err != nil {
		fmt.Println("squall-uml: cannot set the guest up:", err)
	} else {
		status = run()
	}
	fmt.Printf("\n%s%d\n", ended, status)
	unix.Sync()
	fmt.Println("squall-uml: cannot power off:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
	os.Exit(status)
}

func setUp() error {
	for _, mount := range []struct{ kind, dir string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"},
	} {
		if err := unix.Mount(mount.kind, mount.dir, mount.kind, 0, ""); err != nil {
			return fmt.Errorf("cannot mount %s: %w", mount.dir, err)
		}
	}
	if err := loadModules(); err != nil {
		return err
	}
	args, err := os.ReadFile("/" + argsFile)
	if err != nil {
		return err
	}
	os.Args = append(os.Args[:1], strings.Split(string(args), "\x00")...)
	return nil
}

func loadModules() error {
	list, err := os.ReadFile("/" + modulesList)
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		file, err := os.Open("/" + name)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil {
			return fmt.Errorf("cannot load the module %s: %w", name, err)
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}
