package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/netns"
	"github.com/squallhq/squall/internal/strict"
)

// process is what /proc says about one.
type process struct {
	pid, parent int
	name        string // the kernel's, 15 bytes at most
	argv        []string
	startTime   uint64
	kernel      bool
	zombie      bool
}

// kernelThread is PF_KTHREAD of the kernel's include/linux/sched.h.
const kernelThread = 0x00200000

// maxCommandLine bounds what is read of a command line, which can be megabytes long.
const maxCommandLine = 128 << 10

func readStart(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	return io.ReadAll(io.LimitReader(file, maxCommandLine))
}

// readProcess reads /proc/PID. See proc_pid_stat(5): the name stands in
// parentheses and may hold anything, parentheses too.
func readProcess(pid int) (p process, err error) {
	dir := fmt.Sprintf("/proc/%d", pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return p, err
	}
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return p, fmt.Errorf("cannot read %s/stat: it holds no name", dir)
	}
	fields := strings.Fields(string(stat[end+1:])) // from field 3, the state, on
	if len(fields) < 20 {
		return p, fmt.Errorf("cannot read %s/stat: it has too few fields", dir)
	}
	parent, err1 := strconv.Atoi(fields[4-3])
	flags, err2 := strconv.ParseUint(fields[9-3], 10, 64)
	start, err3 := strconv.ParseUint(fields[22-3], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return p, fmt.Errorf("cannot read %s/stat: %w", dir, err)
	}
	cmdline, err := readStart(dir + "/cmdline")
	if err != nil {
		return p, err
	}
	p = process{
		pid: pid, parent: parent, name: string(stat[open+1 : end]), startTime: start,
		kernel: flags&kernelThread != 0, zombie: fields[0] == "Z" || fields[0] == "X",
	}
	if text := strings.TrimRight(string(cmdline), "\x00"); text != "" {
		p.argv = strings.Split(text, "\x00")
	}
	return p, nil
}

// program is the name of the program that was started, without its folder. The
// kernel's own name is short, and the process may have changed it.
func (p process) program() string {
	if len(p.argv) > 0 && p.argv[0] != "" {
		return filepath.Base(p.argv[0])
	}
	return p.name
}

func (p process) cmdline() string { return strings.Join(p.argv, " ") }

func (p process) matches(spec *Process) bool {
	switch {
	case spec.PID != 0:
		return p.pid == spec.PID
	case spec.Name.given() && !spec.Name.Match(p.name) && !spec.Name.Match(p.program()):
		return false
	case spec.Cmdline.given() && !spec.Cmdline.Match(p.cmdline()):
		return false
	}
	return true
}

func processes(ctx context.Context, spec *Process) (m Matches, nearest string, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return m, "", fmt.Errorf("cannot list processes: %w", err)
	}
	family := map[int]bool{os.Getpid(): true}
	parents := ancestors()
	var known []string
	// In the order of their numbers parents mostly come first; a child is the
	// family's whatever the order, because the whole list is read before it is used.
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return m, "", err
		}
		p, err := readProcess(pid)
		if err != nil || p.zombie {
			continue // it ended while we looked
		}
		all = append(all, p)
		known = append(known, p.name, p.program())
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if family[p.parent] && !family[p.pid] {
				family[p.pid], grown = true, true
			}
		}
	}
	for _, p := range all {
		if !p.matches(spec) {
			continue
		}
		t, err := p.target(spec)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return m, "", err
		}
		if reason := p.untouchable(family, parents); reason != "" {
			m.Excluded = append(m.Excluded, Exclusion{t, reason})
			continue
		}
		m.Targets = append(m.Targets, t)
	}
	slices.Sort(known)
	return m, nearProcess(spec, slices.Compact(known)), nil
}

// untouchable says why a process is never a target, or "".
func (p process) untouchable(family map[int]bool, ancestors []int) string {
	switch {
	case p.pid == 1:
		return "it is process 1"
	case p.kernel:
		return "it is a thread of the kernel"
	case family[p.pid]:
		return "it is squall itself"
	case slices.Contains(ancestors, p.pid):
		return "squall itself was started by it"
	}
	for _, name := range []string{p.name, p.program()} {
		// The kernel cuts containerd-shim-runc-v2 to containerd-shim.
		if name == "dockerd" || name == "containerd" || strings.HasPrefix(name, "containerd-shim") {
			return "containers depend on it"
		}
	}
	return ""
}

func (p process) target(spec *Process) (injectors.Target, error) {
	path := fmt.Sprintf("/proc/%d/ns/net", p.pid)
	t := injectors.Target{
		Kind: injectors.KindProcess, ID: fmt.Sprintf("%d@%d", p.pid, p.startTime), Name: p.program(),
		PID: p.pid, StartTime: p.startTime, Why: fmt.Sprintf("pid %d", p.pid),
	}
	if spec.Name.given() {
		t.Why += ", name " + p.program()
	}
	if spec.Cmdline.given() {
		t.Why += ", command line matches " + spec.Cmdline.text
	}
	id, err := netns.Identify(path)
	switch {
	case p.kernel || errors.Is(err, os.ErrPermission):
		return t, nil // the process can be told, its namespace can't
	case err != nil:
		return t, err
	}
	host, err := netns.Host()
	if err != nil {
		return t, err
	}
	t.NetNS, t.NetNSID, t.HostNet = path, id, id == host
	t.Addresses, err = netns.Addresses(path)
	return t, err
}

func nearProcess(spec *Process, known []string) string {
	if spec.PID != 0 {
		return fmt.Sprintf("there is no process %d", spec.PID)
	}
	if spec.Name.given() && !slices.ContainsFunc(known, spec.Name.Match) {
		if meant := strict.Suggest(spec.Name.text, known); meant != "" {
			return fmt.Sprintf("no process %s: did you mean %q?", spec.Name.unmatched(), meant)
		}
		return "no process " + spec.Name.unmatched()
	}
	return "no process has such a command line: its arguments are joined by single spaces, and a /regular expression/ must match all of it"
}

// ancestors returns the processes that this one descends from, up to the first
// that can be seen from here.
func ancestors() (list []int) {
	for pid := os.Getppid(); pid > 0; {
		list = append(list, pid)
		p, err := readProcess(pid)
		if err != nil {
			break
		}
		pid = p.parent
	}
	return list
}
