package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How long squall waits for a holder: to put the fault in, to send what it holds
// and end, and to be gone after a SIGKILL.
const (
	startLimit = 10 * time.Second
	stopLimit  = 2 * time.Second
	killLimit  = 5 * time.Second
)

// children holds the processes that hold this process's faults, by their program's
// name. See inProcess for why it belongs to the process.
var children nursery

type nursery struct {
	mu     sync.Mutex
	byName map[string]*child
}

// child is a process that holds a fault for as long as the pipe to it is open.
type child struct {
	cmd  *exec.Cmd
	pipe *os.File
	done chan struct{} // closed when it has ended and was reaped
}

// start starts argv as the holder of a record, and returns once the fault is in.
func (n *nursery) start(ctx context.Context, argv []string, record *Record) error {
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	in, pipe, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it is the child's
	ready, out, err := os.Pipe()
	if err != nil {
		return errors.Join(err, pipe.Close())
	}
	defer ready.Close() //nolint:errcheck // only read
	defer out.Close()   //nolint:errcheck // it is the child's
	// The program that runs, even if its file was replaced by another version.
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = argv
	cmd.Stdin, cmd.Stdout = in, out
	cmd.Dir = "/"
	// The signals of a terminal are for squall, which ends the fault in its own time.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, pipe.Close())
	}
	c := &child{cmd: cmd, pipe: pipe, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended does not matter: Verify looks at the fault
		close(c.done)
	}()
	_ = out.Close() // so that the child's end is the end of ready
	n.mu.Lock()
	if n.byName == nil {
		n.byName = map[string]*child{}
	}
	n.byName[record.Shaper.Program] = c
	n.mu.Unlock()
	// A pipe holds less than a record of many interfaces: a child that does not read
	// must not keep squall.
	limit := time.Now().Add(startLimit)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(limit) {
		limit = deadline
	}
	_, _ = pipe.SetWriteDeadline(limit), ready.SetReadDeadline(limit)
	stop := context.AfterFunc(ctx, func() { _, _ = pipe.SetWriteDeadline(time.Now()), ready.SetReadDeadline(time.Now()) })
	defer stop()
	_, err = pipe.Write(append(line, '\n'))
	var answer []byte
	if err == nil {
		answer, err = firstLine(ready)
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("its process is not ready: %w", err)
	case string(answer) != heldWord:
		err = errors.New(strings.ToValidUTF8(string(answer), "?"))
	default:
		return nil
	}
	return errors.Join(err, n.release(ctx, record.Shaper.Program))
}

// firstLine reads a short line, or all there is.
func firstLine(r io.Reader) ([]byte, error) {
	var line []byte
	var b [1]byte
	for len(line) < 4096 {
		n, err := r.Read(b[:])
		switch {
		case n > 0 && b[0] == '\n':
			return line, nil
		case n > 0:
			line = append(line, b[0])
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		}
	}
	return line, nil
}

// release ends the holder of one fault, where this process has one.
func (n *nursery) release(ctx context.Context, name string) error {
	n.mu.Lock()
	c := n.byName[name]
	delete(n.byName, name)
	n.mu.Unlock()
	if c == nil {
		return nil
	}
	err := c.pipe.Close()
	select {
	case <-c.done:
		return err
	case <-ctx.Done():
	case <-time.After(stopLimit):
	}
	if kill := c.cmd.Process.Kill(); kill != nil && !errors.Is(kill, os.ErrProcessDone) {
		err = errors.Join(err, fmt.Errorf("cannot end the process that holds a shaper: %w", kill))
	}
	select {
	case <-c.done:
	case <-time.After(killLimit):
		err = errors.Join(err, errors.New("cannot end the process that holds a shaper: it is still there after a SIGKILL"))
	}
	return err
}
