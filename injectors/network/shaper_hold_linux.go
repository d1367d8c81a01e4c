package network

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/squallhq/squall/injectors/network/shaper"
	"golang.org/x/sys/unix"
)

// flushLimit is how long a shaper that ends takes at most to send what it holds.
const flushLimit = 200 * time.Millisecond

// heldWord is what a holder says once the fault is in.
const heldWord = "held"

// maxRecord bounds the record that a holder reads.
const maxRecord = 1 << 20

// HoldShaper is the process that holds a fault of the shaper backend: squall starts
// it when it applies one. It reads the fault's record from in, one line of JSON,
// puts the fault in, says so to out, and keeps it in until in ends, as it does at
// the latest with squall's process, or ctx does. It then sends what it still holds
// and takes the fault out.
//
// The kernel takes the fault out if this process ends in any other way.
func HoldShaper(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(io.LimitReader(in, maxRecord))
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("cannot read the record of a shaper: %w", err)
	}
	var record Record
	if err := json.Unmarshal(line, &record); err != nil {
		return fmt.Errorf("cannot read the record of a shaper: %w", err)
	}
	if record.Shaper == nil || !record.Shaper.sound() {
		return errors.New("cannot hold a shaper: its record is not sound")
	}
	h := &held{}
	err = h.start(ctx, &record)
	if err == nil {
		_, err = fmt.Fprintln(out, heldWord)
	}
	if err != nil {
		return errors.Join(err, h.end())
	}
	orphaned := make(chan struct{})
	go func() {
		defer close(orphaned)
		_, _ = io.Copy(io.Discard, in) // an error ends it as well
	}()
	select {
	case <-orphaned:
	case <-ctx.Done():
	case err = <-h.failed:
	}
	return errors.Join(err, h.end())
}

// held is a fault that is in: a shaper and a program for each interface.
type held struct {
	shapers []*shaper.Shaper
	links   []link.Link
	ended   []chan struct{}
	failed  chan error
}

// start puts the fault in.
func (h *held) start(ctx context.Context, record *Record) error {
	// A thread of its own for each shaper, and others for the rest.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(record.Interfaces)+2))
	// Nothing is allocated from here on that would need it, and it takes time.
	debug.SetGCPercent(-1)
	h.failed = make(chan error, len(record.Interfaces))
	_, startTime, err := processStart(os.Getpid())
	if err != nil {
		return err
	}
	present, err := record.within(func() error {
		for n, i := range record.Interfaces {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := h.add(record.Shaper, n, i, startTime); err != nil {
				return fmt.Errorf("cannot shape %s: %w", show(i.Name), err)
			}
		}
		return nil
	})
	if err == nil && !present {
		err = fmt.Errorf("cannot start a shaper: the network namespace %s is gone", record.NetNSID)
	}
	return err
}

// add starts the shaper of one interface, and leads its packets there.
func (h *held) add(s *Shaper, n int, i Interface, startTime uint64) error {
	figures, mem, err := newStats(s.Program)
	if err != nil {
		return err
	}
	defer figures.Close() //nolint:errcheck // the program and the memory hold on to it
	stats := shaper.StatsAt(mem)
	atomic.StoreUint64(&stats.PID, uint64(os.Getpid()))
	atomic.StoreUint64(&stats.StartTime, startTime)
	opened, err := shaper.Open(shaper.Config{Interface: i.Index, TAP: s.tap(n), Mark: s.Mark, Seed: s.Seed + uint64(n), Params: s.Params}, stats)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	h.shapers, h.ended = append(h.shapers, opened), append(h.ended, ended)
	go func() {
		defer close(ended)
		if err := opened.Run(); err != nil {
			h.failed <- err
		}
	}()
	attached, err := s.attach(i, opened.TAP(), figures)
	if err != nil {
		return fmt.Errorf("cannot attach the BPF program %s: %w", s.Program, err)
	}
	h.links = append(h.links, attached)
	return nil
}

// end takes the fault out: first what is held back leaves, in its order, then the
// packets go their own way again, then what came in between leaves.
func (h *held) end() error {
	for _, s := range h.shapers {
		s.Flush(flushLimit)
	}
	failures := []error{closeAll(h.links)}
	for i, s := range h.shapers {
		s.Stop()
		select {
		case <-h.ended[i]:
			failures = append(failures, s.Close())
		case <-time.After(flushLimit): // it still uses what Close takes away
		}
	}
	return errors.Join(failures...)
}

// processStart reads the state and the start time of a process, fields 3 and 22 of
// proc_pid_stat(5). The name before them can hold anything, also parentheses.
func processStart(pid int) (state string, startTime uint64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", 0, fmt.Errorf("cannot look at the process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(text[max(bytes.LastIndexByte(text, ')'), 0):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return "", 0, fmt.Errorf("cannot look at the process %d: its stat has %d fields", pid, len(fields))
	}
	startTime, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0], startTime, err
}

// processGone says whether a process that is known by its number and its start time
// has ended.
func processGone(pid int, startTime uint64) bool {
	state, started, err := processStart(pid)
	return err != nil || started != startTime || strings.ContainsAny(state, "ZX")
}

// endProcess ends a holder: politely first, so that it sends what it holds, and
// then not. It returns once the process is gone, and does nothing to a process that
// is not the one meant.
func endProcess(ctx context.Context, pid int, startTime uint64) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot open the process %d that holds a shaper: %w", pid, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	// The descriptor stays with the process: what is true of it now stays true.
	if processGone(pid, startTime) {
		return nil
	}
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cannot end the process %d that holds a shaper: %w", pid, err)
		}
		limit := stopLimit
		if ctx.Err() != nil {
			limit = 0
		}
		if ended(fd, limit) {
			return nil
		}
	}
	if !ended(fd, killLimit) {
		return fmt.Errorf("cannot end the process %d that holds a shaper: it is still there after a SIGKILL", pid)
	}
	return nil
}

// ended waits for the end of a process.
func ended(pidfd int, limit time.Duration) bool {
	for end := time.Now().Add(limit); ; {
		fds := [1]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds[:], int(max(time.Until(end), 0)/time.Millisecond))
		if n > 0 {
			return true
		}
		if !errors.Is(err, unix.EINTR) || !time.Now().Before(end) {
			return false
		}
	}
}
