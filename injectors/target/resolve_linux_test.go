package target_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/injectors/target"
	"github.com/squallhq/squall/internal/dockertest"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/internal/require"
)

func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }

func pattern(text string) target.Pattern {
	var p target.Pattern
	if err := p.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return p
}

func resolve(t *testing.T, r *target.Resolver, spec any) target.Matches {
	t.Helper()
	m, err := r.Resolve(t.Context(), spec)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(hint.Of(err), "\n"))
	}
	return m
}

func namesOf(targets []injectors.Target) (names []string) {
	for _, t := range targets {
		names = append(names, t.Name)
	}
	return names
}

func TestDockerSelectors(t *testing.T) {
	client := dockertest.Engine(t)
	network := "squall-test-" + strings.ToLower(t.Name())
	if err := client.CreateNetwork(t.Context(), network, map[string]string{dockertest.Label: t.Name()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.RemoveNetwork(context.WithoutCancel(t.Context()), network); err != nil {
			t.Error(err)
		}
	})
	compose := func(service string) map[string]string {
		return map[string]string{"com.docker.compose.project": "sq-shop", "com.docker.compose.service": service, "sq.tier": "1"}
	}
	web := dockertest.Run(t, client, docker.Spec{Name: "sq-web-1", Labels: compose("web"), Network: network,
		Publish: []docker.Publication{{Address: "127.0.0.1", Port: 8080, Protocol: "tcp"}}})
	dockertest.Run(t, client, docker.Spec{Name: "sq-web-2", Labels: compose("web")})
	dockertest.Run(t, client, docker.Spec{Name: "sq-db", Labels: compose("db")})
	guarded := compose("guarded")
	guarded[target.ProtectLabel] = ""
	dockertest.Run(t, client, docker.Spec{Name: "sq-guarded", Labels: guarded})
	open := compose("open")
	open[target.ProtectLabel] = "false"
	dockertest.Run(t, client, docker.Spec{Name: "sq-open", Labels: open})
	dockertest.Create(t, client, docker.Spec{Name: "sq-made", Labels: compose("made")})
	paused := dockertest.Run(t, client, docker.Spec{Name: "sq-paused", Labels: compose("paused")})
	if err := client.Pause(t.Context(), paused.ID); err != nil {
		t.Fatal(err)
	}

	r := target.New(client)
	for _, test := range []struct {
		name string
		spec target.Docker
		want string
	}{
		{"name", target.Docker{Name: pattern("sq-web-1")}, "sq-web-1"},
		{"name as a regular expression", target.Docker{Name: pattern("/sq-web-./")}, "sq-web-1 sq-web-2"},
		{"id", target.Docker{ID: web.ID[:12]}, "sq-web-1"},
		{"image", target.Docker{Image: pattern(web.Image), Name: pattern("/sq-.*/")}, "sq-db sq-open sq-web-1 sq-web-2"},
		{"network", target.Docker{Network: pattern(network)}, "sq-web-1"},
		{"project and service", target.Docker{Project: pattern("sq-shop"), Service: pattern("/web|db/")}, "sq-db sq-web-1 sq-web-2"},
		{"label", target.Docker{Labels: map[string]target.Pattern{"sq.tier": pattern("1")}}, "sq-db sq-open sq-web-1 sq-web-2"},
		{"two labels", target.Docker{Labels: map[string]target.Pattern{"sq.tier": pattern("1"), "com.docker.compose.service": pattern("db")}}, "sq-db"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(namesOf(resolve(t, r, &test.spec).Targets), " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}

	t.Run("what a target says", func(t *testing.T) {
		got := resolve(t, r, &target.Docker{Service: pattern("/w.b/"), Name: pattern("sq-web-1")}).Targets[0]
		switch {
		case got.Kind != injectors.KindContainer, got.ID != web.ID, got.PID != web.PID, got.StartTime == 0, got.HostNet,
			got.NetNS == "", !strings.HasPrefix(got.NetNSID, "net:["), !slices.Contains(got.Addresses, web.Addresses[0]),
			!slices.Equal(got.Ports, web.Ports), got.Why != "name sq-web-1, compose service web matches /w.b/, running":
			t.Errorf("got %+v for %+v", got, web)
		}
	})
	t.Run("exclusions", func(t *testing.T) {
		m := resolve(t, r, &target.Docker{Project: pattern("sq-shop")})
		var got []string
		for _, e := range m.Excluded {
			got = append(got, e.Target.Name+": "+e.Reason)
		}
		want := []string{"sq-guarded: it is labelled squall.protect", "sq-made: it is created, not running", "sq-paused: it is paused, not running"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	for _, test := range []struct {
		name, hint string
		spec       target.Docker
	}{
		{"a value that nobody has", `no container has the compose service "payments"; of `, target.Docker{Service: pattern("payments")}},
		{"a slip in a value", `did you mean "sq-web-1"?`, target.Docker{Name: pattern("sq-wbe-1")}},
		{"a slip in a key", `did you mean the label "sq.tier"?`, target.Docker{Labels: map[string]target.Pattern{"sq.teir": pattern("1")}}},
		{"no container meets all", "no container meets all of them", target.Docker{Service: pattern("db"), Network: pattern(network)}},
		{"all excluded", `container "sq-guarded" matches, but it is labelled squall.protect`, target.Docker{Name: pattern("sq-guarded")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := r.Resolve(t.Context(), &test.spec)
			if got := strings.Join(hint.Of(err), "\n"); !errors.Is(err, target.ErrNoTargets) || !strings.Contains(got, test.hint) {
				t.Errorf("got %v with hints %q", err, got)
			}
		})
	}
}

func TestSharedAndHostNamespaces(t *testing.T) {
	client := dockertest.Engine(t)
	owner := dockertest.Run(t, client, docker.Spec{Name: "sq-owner",
		Publish: []docker.Publication{{Address: "127.0.0.1", Port: 8080, Protocol: "tcp"}}})
	dockertest.Run(t, client, docker.Spec{Name: "sq-sidecar", Network: "container:" + owner.ID, Args: []string{"-quiet"}})
	dockertest.Run(t, client, docker.Spec{Name: "sq-onhost", Network: "host", Args: []string{"-quiet"}})
	got := resolve(t, target.New(client), &target.Docker{Name: pattern("/sq-(owner|sidecar|onhost)/")}).Targets
	if names := strings.Join(namesOf(got), " "); names != "sq-onhost sq-owner sq-sidecar" {
		t.Fatal(names)
	}
	onhost, main, sidecar := got[0], got[1], got[2]
	if sidecar.NetNSID != main.NetNSID || !slices.Equal(sidecar.Addresses, main.Addresses) || !slices.Equal(sidecar.Ports, main.Ports) || sidecar.HostNet {
		t.Errorf("the sidecar is %+v, its owner %+v", sidecar, main)
	}
	if !onhost.HostNet || onhost.NetNSID == main.NetNSID {
		t.Errorf("a container on the host's network is %+v", onhost)
	}
}

// A protected container is not reached through what lives beside it either.
func TestProtectedByItsNeighbour(t *testing.T) {
	client := dockertest.Engine(t)
	label := map[string]string{target.ProtectLabel: "true"}
	owner := dockertest.Run(t, client, docker.Spec{Name: "sq-shared-owner"})
	guarded := dockertest.Run(t, client, docker.Spec{Name: "sq-shared-guarded", Network: "container:" + owner.ID, Args: []string{"-quiet"}, Labels: label})
	dockertest.Run(t, client, docker.Spec{Name: "sq-shared-sidecar", Network: "container:" + owner.ID, Args: []string{"-quiet"}})
	dockertest.Run(t, client, docker.Spec{Name: "sq-shared-onhost", Network: "host", Args: []string{"-quiet"}})
	dockertest.Run(t, client, docker.Spec{Name: "sq-shared-guarded-onhost", Network: "host", Args: []string{"-quiet"}, Labels: label})
	free := dockertest.Run(t, client, docker.Spec{Name: "sq-shared-free"})

	r := target.New(client)
	m := resolve(t, r, &target.Docker{Name: pattern("/sq-shared-.*/")})
	if got := strings.Join(namesOf(m.Targets), " "); got != "sq-shared-free sq-shared-onhost" {
		t.Errorf("got %s", got)
	}
	const reason = `it shares its network namespace with container "sq-shared-guarded", which is labelled squall.protect`
	excluded := map[string]string{}
	for _, e := range m.Excluded {
		excluded[e.Target.Name] = e.Reason
	}
	if excluded["sq-shared-owner"] != reason || excluded["sq-shared-sidecar"] != reason {
		t.Errorf("got %q", excluded)
	}
	for name, spec := range map[string]any{
		"namespace": &target.NetNS{Path: fmt.Sprintf("/proc/%d/ns/net", owner.PID)},
		"process":   &target.Process{PID: guarded.PID},
	} {
		m, err := r.Resolve(t.Context(), spec)
		if !errors.Is(err, target.ErrNoTargets) || len(m.Excluded) != 1 || m.Excluded[0].Reason != reason {
			t.Errorf("the %s of a protected container: %+v, %v", name, m, err)
		}
	}
	resolve(t, r, &target.NetNS{Path: fmt.Sprintf("/proc/%d/ns/net", free.PID)})
	resolve(t, target.New(docker.At("unix:///nowhere")), &target.NetNS{Path: fmt.Sprintf("/proc/%d/ns/net", free.PID)})
}

// Whoever may talk to Docker may target containers; their namespaces are for root.
func TestContainersWithoutRoot(t *testing.T) {
	require.Root(t) // to give it up
	client := dockertest.Engine(t)
	dockertest.Run(t, client, docker.Spec{Name: "sq-unprivileged"})
	var m target.Matches
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		const nobody = 65534
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			err = errno
			return
		}
		m, err = target.New(client).Resolve(t.Context(), &target.Docker{Name: pattern("sq-unprivileged")})
	}()
	<-done
	if err != nil || len(m.Targets) != 1 || m.Targets[0].PID == 0 || m.Targets[0].NetNS != "" || m.Targets[0].NetNSID != "" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestNetNS(t *testing.T) {
	require.Root(t)
	name := fmt.Sprintf("sq-target-%d", os.Getpid())
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { run(t, "ip", "netns", "delete", name) })
	run(t, "ip", "-n", name, "link", "set", "lo", "up")
	run(t, "ip", "-n", name, "address", "add", "192.0.2.77/32", "dev", "lo")

	r := target.New(nil)
	byName := resolve(t, r, &target.NetNS{Name: pattern("/" + name + "|nobody/")}).Targets
	byPath := resolve(t, r, &target.NetNS{Path: "/run/netns/" + name}).Targets
	if len(byName) != 1 || len(byPath) != 1 || byName[0].NetNSID != byPath[0].NetNSID || byName[0].HostNet || byName[0].ID != byName[0].NetNSID ||
		!slices.Equal(byName[0].Addresses, []netip.Addr{netip.MustParseAddr("192.0.2.77")}) {
		t.Errorf("by name %+v, by path %+v", byName, byPath)
	}
	if own := resolve(t, r, &target.NetNS{Path: "/proc/self/ns/net"}).Targets[0]; !own.HostNet {
		t.Errorf("our own namespace is %+v", own)
	}
	if _, err := r.Resolve(t.Context(), &target.NetNS{Name: pattern(name + "x")}); !errors.Is(err, target.ErrNoTargets) || !strings.Contains(hint.Of(err)[0], "did you mean") {
		t.Errorf("got %v, %q", err, hint.Of(err))
	}
	if _, err := r.Resolve(t.Context(), &target.NetNS{Path: "/etc/hostname"}); err == nil {
		t.Error("a plain file was taken for a namespace")
	}
}

func TestHostInterface(t *testing.T) {
	r := target.New(nil)
	got := resolve(t, r, &target.Host{Interface: "lo"}).Targets[0]
	if got.Kind != injectors.KindInterface || got.Interface != "lo" || !got.HostNet || !slices.Contains(got.Addresses, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("got %+v", got)
	}
	if _, err := r.Resolve(t.Context(), &target.Host{Interface: "nosuch0"}); !errors.Is(err, target.ErrNoTargets) || !strings.Contains(hint.Of(err)[0], `no interface "nosuch0"`) {
		t.Errorf("got %v, %q", err, hint.Of(err))
	}
}

func TestProcess(t *testing.T) {
	// A child of ours is squall's own; one whose parent has ended is not.
	stranger := orphan(t, "86399")
	r := target.New(nil)
	spec := &target.Process{Name: pattern("sleep"), Cmdline: pattern("/sleep 8639./")}
	got := resolve(t, r, spec).Targets
	if len(got) != 1 || got[0].PID != stranger || got[0].StartTime == 0 || got[0].ID != fmt.Sprintf("%d@%d", stranger, got[0].StartTime) || got[0].NetNSID == "" {
		t.Fatalf("want process %d, got %+v", stranger, got)
	}
	for _, test := range []struct {
		pid    int
		reason string
	}{
		{1, "it is process 1"}, {os.Getpid(), "it is squall itself"}, {os.Getppid(), "squall itself was started by it"},
	} {
		m, err := r.Resolve(t.Context(), &target.Process{PID: test.pid})
		if !errors.Is(err, target.ErrNoTargets) || len(m.Excluded) != 1 || m.Excluded[0].Reason != test.reason {
			t.Errorf("process %d: got %+v, %v", test.pid, m, err)
		}
	}
	child := exec.Command("sleep", "86398")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	if m, err := r.Resolve(t.Context(), &target.Process{PID: child.Process.Pid}); !errors.Is(err, target.ErrNoTargets) || m.Excluded[0].Reason != "it is squall itself" {
		t.Errorf("a child: got %+v, %v", m, err)
	}
	if _, err := r.Resolve(t.Context(), &target.Process{PID: 1 << 22}); !errors.Is(err, target.ErrNoTargets) || !strings.Contains(hint.Of(err)[0], "there is no process") {
		t.Errorf("no such process: got %v", err)
	}
}

// orphan starts a sleep that is no child of this process.
func orphan(t *testing.T, seconds string) (pid int) {
	t.Helper()
	output, err := exec.Command("sh", "-c", `sleep "$0" >/dev/null 2>&1 & echo $!`, seconds).Output()
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(output))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	})
	return pid
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if output, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, output)
	}
}
