// Package require says what a test needs of its machine: root, a Docker engine,
// Prometheus, user-mode Linux.
//
// A test whose need is not met is skipped on a developer's machine. Where the
// environment variable SQUALL_TEST_REQUIRE names the need (a comma list of root,
// docker, prometheus, uml), it fails instead: a skip must not hide that a machine
// which should cover something does not.
package require

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const variable = "SQUALL_TEST_REQUIRE"

// Root needs the effective user to be root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Unmet(t, "root", "this test makes namespaces, interfaces and mounts: run it as root")
	}
}

// Prometheus needs the prometheus program, and returns its path.
func Prometheus(t testing.TB) string {
	t.Helper()
	return program(t, "prometheus", "prometheus", "apt-get install prometheus")
}

// UML needs user-mode Linux, the kernel as a program, and returns its path.
func UML(t testing.TB) string {
	t.Helper()
	return program(t, "uml", "linux.uml", "apt-get install user-mode-linux")
}

func program(t testing.TB, need, name, remedy string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Unmet(t, need, "there is no program "+name+" here: "+remedy)
	}
	return path
}

// Unmet ends the test: it fails where SQUALL_TEST_REQUIRE names the need, and is
// skipped otherwise. reason says what is missing and how to get it.
func Unmet(t testing.TB, need, reason string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv(variable), ","), need) {
		t.Fatalf("%s (%s asks for %s)", reason, variable, need)
	}
	t.Skip(reason)
}
