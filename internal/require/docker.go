package require

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// Docker needs a Docker engine, or what it takes to start one: root and the
// dockerd program. DOCKER_HOST names an engine; so does Docker's own socket, where
// it answers this user.
func Docker(t testing.TB) {
	t.Helper()
	if os.Getenv("DOCKER_HOST") != "" {
		return
	}
	if conn, err := net.Dial("unix", "/var/run/docker.sock"); err == nil {
		_ = conn.Close() // it was only asked whether it answers
		return
	}
	if os.Geteuid() != 0 {
		Unmet(t, "docker", "this test needs a Docker engine of its own, which only root can start: run it as root, or set DOCKER_HOST")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		Unmet(t, "docker", "there is no Docker engine here: apt-get install --no-install-recommends docker.io iptables")
	}
}
