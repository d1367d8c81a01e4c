package network

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/require"
	"github.com/squallhq/squall/internal/testbed"
	"github.com/squallhq/squall/internal/uml"
)

// TestMain lets this binary be four things: the tests, the init of user-mode Linux
// that runs some of them there, a process that has applied a fault, and the one that
// holds a shaper.
func TestMain(m *testing.M) {
	if uml.InGuest() {
		uml.Guest(func() int {
			// A machine that is kept from running releases what it held back all at once:
			// a receiver has room for 1000 packets, the tests for more.
			if err := os.WriteFile("/proc/sys/net/core/netdev_max_backlog", []byte("100000"), 0); err != nil {
				fmt.Println(err)
				return 1
			}
			return m.Run()
		})
	}
	if len(os.Args) == 2 && os.Args[1] == shaperArgument {
		if err := holdShaper(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if record := os.Getenv(holdVariable); record != "" {
		hold(record)
	}
	os.Exit(m.Run())
}

// TestInKernelWithNetem runs every TestNetem of this package inside user-mode
// Linux, whose kernel has sch_netem, and shows each result as its own.
func TestInKernelWithNetem(t *testing.T) {
	if uml.InGuest() {
		t.Skip("this is the inside")
	}
	machine := uml.Machine{
		Kernel:  require.UML(t),
		Init:    filepath.Join(t.TempDir(), "init"),
		Args:    []string{"-test.v", "-test.run=^TestNetem", "-test.timeout=6m"},
		Modules: []string{"ipv6", "veth", "bridge", "ifb", "sch_netem", "sch_htb"},
	}
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", machine.Init, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the tests: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 7*time.Minute)
	defer cancel()
	out, err := machine.Run(ctx)
	if err != nil || !strings.Contains(out, "\nPASS\n") {
		t.Errorf("the tests inside did not pass: %v\n%s", err, out)
	}
	passed := 0
	for _, inner := range results(out) {
		t.Run(inner.name, func(t *testing.T) {
			t.Log(inner.log)
			switch inner.verdict {
			case "PASS":
				passed++
			default: // a test that is skipped in the one place made for it is missing
				t.Errorf("%s inside user-mode Linux", inner.verdict)
			}
		})
	}
	if passed < 10 {
		t.Errorf("only %d tests passed inside user-mode Linux", passed)
	}
}

type innerTest struct{ name, verdict, log string }

// results reads the output of go test -v, top-level tests only.
func results(out string) []innerTest {
	var list []innerTest
	var log strings.Builder
	for line := range strings.Lines(out) {
		switch {
		case strings.HasPrefix(line, "=== RUN"):
			if !strings.Contains(line, "/") {
				log.Reset()
			}
		case strings.HasPrefix(line, "--- "):
			var inner innerTest
			// A line that is cut short has no fields, and fails as such.
			_, _ = fmt.Sscanf(line, "--- %4s: %s", &inner.verdict, &inner.name)
			inner.log = log.String()
			list = append(list, inner)
		default:
			log.WriteString(line)
		}
	}
	return list
}

// net2 is a network of two hosts: the target, and one to talk with.
type net2 struct {
	network      *testbed.Network
	target, peer *testbed.Host
}

func newNet(t testing.TB) net2 {
	t.Helper()
	require.Root(t)
	prefix := fmt.Sprintf("sqn%d-%x", os.Getpid(), time.Now().UnixNano()&0xffffff)
	network, err := testbed.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	host := func(name string) *testbed.Host {
		h, err := network.AddHost(name)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	n := net2{network: network, target: host("target"), peer: host("peer")}
	// The two get to know each other before a fault can lose the question: a host
	// asks again after a second, and drops what it can't send meanwhile.
	for range 50 {
		if measure(t, n.target, n.peer, traffic{packets: 1, quiet: 50 * time.Millisecond}).losses() == 0 {
			return n
		}
	}
	t.Fatal("the hosts of the testbed don't reach each other")
	return n
}

// shaperArgument makes this binary hold a shaper.
const shaperArgument = "hold-shaper"

func holdShaper() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return HoldShaper(ctx, os.Stdin, os.Stdout)
}

// injector is the one of a program that has a shaper.
func injector() *injectors.Injector { return Injector(os.Args[0], shaperArgument) }

const holdVariable = "SQUALL_TEST_HOLD"

// hold applies a record and keeps it in until its standard input ends.
func hold(record string) {
	if err := applyText(record); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}
