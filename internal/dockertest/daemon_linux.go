package dockertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Daemon is a Docker engine of our own. It changes no firewall rule and no sysctl:
// its containers talk to each other and to this machine over a bridge of its own,
// and published ports go through Docker's user-space proxy.
type Daemon struct {
	dir    string
	bridge string
	pid    int
	ended  chan struct{} // closed once the process is gone
}

const (
	dirPrefix    = "squall-docker-"
	bridgePrefix = "sqdock"
	subnetFile   = "subnet" // in the engine's folder: all addresses that it gives out
)

// Start starts an engine and waits until it answers. It ends at the latest when
// this process does; what it could not clean up then, the next Start does.
func Start(ctx context.Context) (*Daemon, error) {
	sweep(ctx)
	number := strconv.Itoa(os.Getpid())
	// The path of a socket is at most 107 bytes long, and containerd's lies deep.
	d := &Daemon{dir: filepath.Join("/tmp", dirPrefix+number), bridge: bridgePrefix + number, ended: make(chan struct{})}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot start a Docker engine: %w", err)
	}
	if err := d.start(ctx); err != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		return nil, errors.Join(err, d.Stop(limited))
	}
	return d, nil
}

// stopLimit bounds the end of an engine that could not be started.
const stopLimit = time.Minute

func (d *Daemon) start(ctx context.Context) error {
	subnet, err := freeSubnet()
	if err != nil {
		return err
	}
	gateway := netip.PrefixFrom(subnet.Addr().Next(), 24)
	for _, args := range [][]string{
		{"link", "add", d.bridge, "type", "bridge"},
		{"address", "add", gateway.String(), "dev", d.bridge},
		{"link", "set", d.bridge, "up"},
	} {
		if err := ip(ctx, args...); err != nil {
			return err
		}
	}
	if err := d.launch(subnet); err != nil {
		return err
	}
	return d.wait(ctx)
}

// Host is what DOCKER_HOST takes.
func (d *Daemon) Host() string { return "unix://" + d.path("docker.sock") }

func (d *Daemon) path(name string) string { return filepath.Join(d.dir, name) }

func (d *Daemon) launch(subnet netip.Prefix) (err error) {
	pool := subnet.Addr().As4()
	pool[2] = 128 // the upper half of the /16, for networks that tests make
	if err := os.WriteFile(d.path(subnetFile), []byte(subnet.String()), 0o600); err != nil {
		return fmt.Errorf("cannot start a Docker engine: %w", err)
	}
	log, err := os.Create(d.path("log"))
	if err != nil {
		return fmt.Errorf("cannot start a Docker engine: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	command := exec.Command("dockerd",
		"--data-root", d.path("data"), "--exec-root", d.path("exec"), "--pidfile", d.path("pid"), "--host", d.Host(),
		"--bridge", d.bridge, "--default-address-pool", fmt.Sprintf("base=%s/17,size=24", netip.AddrFrom4(pool)),
		"--iptables=false", "--ip-forward=false", "--ip-masq=false", "--log-level", "warn")
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		// The kernel sends the parent's death signal when the *thread* ends that
		// started the process, so that this one is held for as long as it lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(d.ended)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // how it ended matters only where it ended too early; see wait
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("cannot start a Docker engine: %w", err)
	}
	d.pid = command.Process.Pid
	return nil
}

// wait waits until the engine answers.
func (d *Daemon) wait(ctx context.Context) error {
	for {
		conn, err := net.Dial("unix", d.path("docker.sock"))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-d.ended:
			return fmt.Errorf("the Docker engine ended at once; the end of its log:\n%s", d.tail())
		case <-ctx.Done():
			return fmt.Errorf("the Docker engine does not answer: %w; the end of its log:\n%s", ctx.Err(), d.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *Daemon) tail() []byte {
	log, err := os.ReadFile(d.path("log"))
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-15):], []byte("\n"))
}

// Stop ends the engine with its containers, and removes its files, mounts and
// bridge.
func (d *Daemon) Stop(ctx context.Context) error {
	var errs []error
	if d.pid != 0 {
		errs = append(errs, d.end(ctx))
	}
	return errors.Join(append(errs, remove(ctx, d.dir, d.bridge))...)
}

func (d *Daemon) end(ctx context.Context) error {
	errs := []error{removeContainers(ctx, d.Host())}
	if err := syscall.Kill(d.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		errs = append(errs, fmt.Errorf("cannot end the Docker engine: %w", err))
	}
	select {
	case <-d.ended:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("the Docker engine did not end: %w", ctx.Err()), syscall.Kill(-d.pid, syscall.SIGKILL))
	}
	return errors.Join(errs...)
}

// remove takes down what an engine leaves behind.
func remove(ctx context.Context, dir, bridge string) error {
	var errs []error
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		errs = append(errs, err)
	}
	lines := strings.Split(string(mounts), "\n")
	for i := range lines { // the newest mount first, because it can lie inside an older one
		fields := strings.Fields(lines[len(lines)-1-i])
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil {
				errs = append(errs, fmt.Errorf("cannot unmount %s: %w", fields[4], err))
			}
		}
	}
	names, err := bridges(dir, bridge)
	errs = append(errs, err)
	for _, name := range names {
		errs = append(errs, ip(ctx, "link", "delete", name))
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

// bridges returns the interfaces of an engine: its own bridge, and those of networks
// that tests made, which Docker leaves behind at its end.
func bridges(dir, bridge string) (names []string, err error) {
	var subnet netip.Prefix
	if text, err := os.ReadFile(filepath.Join(dir, subnetFile)); err == nil {
		if subnet, err = netip.ParsePrefix(string(text)); err != nil {
			return nil, err
		}
	}
	interfaces, err := net.Interfaces()
	for _, i := range interfaces {
		if i.Name == bridge || strings.HasPrefix(i.Name, "br-") && within(i, subnet) {
			names = append(names, i.Name)
		}
	}
	return names, err
}

func within(i net.Interface, subnet netip.Prefix) bool {
	addresses, err := i.Addrs()
	if err != nil || !subnet.IsValid() {
		return false
	}
	return slices.ContainsFunc(addresses, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && subnet.Contains(prefix.Addr())
	})
}

// sweep removes what engines left behind whose tests are gone.
func sweep(ctx context.Context) {
	left, _ := filepath.Glob(filepath.Join("/tmp", dirPrefix+"*"))
	for _, dir := range left {
		number := strings.TrimPrefix(filepath.Base(dir), dirPrefix)
		if _, err := strconv.Atoi(number); err != nil || exists("/proc/"+number) && number != strconv.Itoa(os.Getpid()) {
			continue
		}
		if running(dir) || !own(dir) {
			continue // it is still on its way down, or somebody else wants us to remove what it names
		}
		_ = remove(ctx, dir, bridgePrefix+number) // what stays is in nobody's way: names and subnets are new each time
	}
}

// running reports whether the engine of that folder lives.
func running(dir string) bool {
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		return false
	}
	cmdline, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cmdline"))
	return err == nil && bytes.Contains(cmdline, []byte(dir+"/"))
}

// own reports whether a folder of /tmp, where everybody can make some, is this user's.
func own(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == uint32(os.Geteuid())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// freeSubnet returns a /16 of private addresses that no interface here has.
func freeSubnet() (netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("cannot choose addresses for a Docker engine: %w", err)
	}
	for i := range 128 {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(128 + (os.Getpid()+i)%128), 0, 0}), 16)
		taken := false
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil {
				taken = taken || prefix.Overlaps(subnet)
			}
		}
		if !taken {
			return subnet, nil
		}
	}
	return netip.Prefix{}, errors.New("cannot choose addresses for a Docker engine: all are taken")
}

func ip(ctx context.Context, args ...string) error {
	output, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(output))
	}
	return nil
}
