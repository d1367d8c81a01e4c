package uml

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/squallhq/squall/internal/require"
)

func TestMain(m *testing.M) {
	if InGuest() {
		Guest(func() int {
			fmt.Printf("args %q\n", os.Args[1:])
			modules, err := os.ReadFile("/proc/modules")
			fmt.Printf("modules %q %v\n", modules, err)
			switch os.Args[1] {
			case "fail":
				return 3
			case "hang":
				time.Sleep(time.Hour)
			case "die":
				os.Exit(0)
			}
			return 0
		})
	}
	os.Exit(m.Run())
}

func machine(t *testing.T, args ...string) Machine {
	t.Helper()
	kernel := require.UML(t)
	binary := filepath.Join(t.TempDir(), "init")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the init: %v\n%s", err, out)
	}
	return Machine{Kernel: kernel, Init: binary, Args: args}
}

func TestGuestGetsItsArgumentsAndModules(t *testing.T) {
	m := machine(t, "ok", "two words", "")
	m.Modules = []string{"bridge"}
	out, err := m.Run(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, `args ["ok" "two words" ""]`) || !strings.Contains(out, "bridge ") || !strings.Contains(out, "stp ") {
		t.Errorf("the guest printed:\n%s", out)
	}
}

func TestRunTellsHowInitEnded(t *testing.T) {
	m := machine(t)
	for mode, want := range map[string]string{"fail": "status 3", "die": "before its init had ended", "hang": "deadline"} {
		m.Args = []string{mode}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if mode == "hang" {
			ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		}
		out, err := m.Run(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q\n%s", mode, err, want, out)
		}
	}
}

func TestRunKnowsNoSuchModule(t *testing.T) {
	m := machine(t, "ok")
	m.Modules = []string{"no_such_module"}
	if _, err := m.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no_such_module") {
		t.Errorf("Run = %v", err)
	}
}
