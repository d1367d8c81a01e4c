// Package journal is squall's write-ahead undo log: one file per run, in which
// what a run is about to do stands, on disk, before it does it. Whoever finds the
// file later, in whatever process and after whatever crash, knows what to put back.
//
// # Order
//
// [Journal.Intent] returns after the record is on disk; only then may the effect
// be made. A step whose intent is not followed by its Reverted is pending, applied
// or not, and must be reverted.
//
// # Ownership
//
// A journal belongs to the process that holds the flock of its file. The kernel
// releases it with the process, so an owner is alive or there is none. A file is
// removed only by its owner, and only when all is put back.
//
// # Damage
//
// Every record carries a CRC-32C (Castagnoli). A last record that was never
// finished is a torn tail: nothing was done on its behalf, and it is cut before
// anything is appended. Any other record that can't be read is counted as damaged,
// and the rest are still used.
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/squallhq/squall/internal/hint"
)

// Version is the version of the format that this package writes, and the only one
// that it reads.
const Version = 1

// Limits of a journal. Intents are refused before the file is so large that there
// might be no room left for saying that they were reverted.
const (
	MaxStep    = 1 << 10  // bytes of a step's name
	MaxPayload = 1 << 20  // bytes of a payload
	MaxIntents = 16 << 20 // bytes of the file after which no intent is taken
	maxFile    = 32 << 20 // bytes of the file after which it isn't read
)

const suffix = ".journal"

var runName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$`)

// Head says whose run a journal is.
type Head struct {
	Version    int       `json:"version"` // set by Create
	Run        string    `json:"run"`     // names the file: letters, digits, ".", "_" and "-"
	Experiment string    `json:"experiment"`
	Digest     string    `json:"digest"`  // of the document, SHA-256 in hexadecimal
	Boot       string    `json:"boot"`    // see BootID; set by Create where empty
	PID        int       `json:"pid"`     // set by Create where 0
	Started    time.Time `json:"started"` // set by Create where zero
}

// Journal is an open journal, owned by this process. Its methods may be called
// from several goroutines.
type Journal struct {
	path string

	mu      sync.Mutex
	file    *os.File // nil once closed
	size    int64
	pending []string
	broken  error // the first failed write; nothing is written after it
}

// Path is where the journal of a run is, in the state directory dir. A deadman that is
// told before the journal is made leaves no moment unguarded.
func Path(dir, run string) string { return filepath.Join(dir, run+suffix) }

// Create makes the journal of a new run in dir and takes possession of it. It
// fails with an error that is fs.ErrExist where the run has one already.
func Create(dir string, head Head) (*Journal, error) {
	if !runName.MatchString(head.Run) {
		return nil, fmt.Errorf("cannot create a journal for run %q: a run's name is made of letters, digits, dots, underscores and hyphens", head.Run)
	}
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	if err := head.complete(); err != nil {
		return nil, err
	}
	line, err := encode(record{Kind: kindHead, Head: &head})
	if err != nil {
		return nil, fmt.Errorf("cannot create a journal for run %q: %w", head.Run, err)
	}
	j := &Journal{path: Path(dir, head.Run)}
	for j.file == nil {
		if err := j.create(); err != nil {
			return nil, fmt.Errorf("cannot create journal %s: %w", j.path, err)
		}
	}
	if err := j.begin(line); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot create journal %s: %w", j.path, err), os.Remove(j.path), j.Close())
	}
	return j, nil
}

func (h *Head) complete() (err error) {
	h.Version = Version
	if h.PID == 0 {
		h.PID = os.Getpid()
	}
	if h.Started.IsZero() {
		h.Started = time.Now()
	}
	if h.Boot == "" {
		h.Boot, err = BootID()
	}
	return err
}

// create makes the file and locks it. It leaves j.file nil where somebody who looks
// for leftovers found the empty file before it was locked, and removed it.
func (j *Journal) create() error {
	file, err := os.OpenFile(j.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	// The lock is free, or held for the moment of somebody's look.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := lock(ctx, file); err != nil {
		return errors.Join(err, file.Close())
	}
	there, err := sameFile(file, j.path)
	if err != nil || !there {
		return errors.Join(err, file.Close())
	}
	j.file = file
	return nil
}

// begin writes the head, and puts it and the file's name on disk.
func (j *Journal) begin(line []byte) error {
	if err := j.append(line, true); err != nil {
		return err
	}
	return syncDir(filepath.Dir(j.path))
}

// Path is where the journal is.
func (j *Journal) Path() string { return j.path }

// Intent records that step is about to be done, and with payload, a JSON value,
// how to undo it. It returns once that is on disk: without its nil, no effect.
func (j *Journal) Intent(step string, payload json.RawMessage) error {
	switch {
	case step == "" || len(step) > MaxStep || !utf8.ValidString(step):
		return fmt.Errorf("cannot journal step %.64q: a step's name is 1 to %d bytes of UTF-8", step, MaxStep)
	case len(payload) > MaxPayload:
		return fmt.Errorf("cannot journal step %q: its undo record has %d bytes; the limit is %d", step, len(payload), MaxPayload)
	}
	line, err := encode(record{Kind: kindIntent, Step: step, Payload: payload})
	if err != nil {
		return fmt.Errorf("cannot journal step %q: %w", step, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case slices.Contains(j.pending, step):
		return fmt.Errorf("cannot journal step %q: it is pending already", step)
	case j.size+int64(len(line)) > MaxIntents:
		return fmt.Errorf("cannot journal step %q: %s would be larger than %d bytes", step, j.path, MaxIntents)
	}
	if err := j.append(line, true); err != nil {
		return fmt.Errorf("cannot journal step %q: %w", step, err)
	}
	j.pending = append(j.pending, step)
	return nil
}

// Applied records that step's effect is there. It is a help for people who read
// the journal: whether a step is reverted doesn't depend on it, so it may be lost
// in a crash.
func (j *Journal) Applied(step string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mark(kindApplied, step, false)
}

// Reverted records that step's effect is gone. It returns once that is on disk.
// Where it fails the step is reverted once more by whoever finds the journal, which
// does no harm.
func (j *Journal) Reverted(step string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.mark(kindReverted, step, true)
	j.pending = slices.DeleteFunc(j.pending, func(s string) bool { return s == step })
	return err
}

func (j *Journal) mark(kind, step string, durable bool) error {
	if !slices.Contains(j.pending, step) {
		return fmt.Errorf("cannot journal that step %q was %s: it is not pending", step, kind)
	}
	line, err := encode(record{Kind: kind, Step: step})
	if err == nil {
		err = j.append(line, durable)
	}
	if err != nil {
		return fmt.Errorf("cannot journal that step %q was %s: %w", step, kind, err)
	}
	return nil
}

// append writes one line. After a failure nobody knows what is on disk (the kernel
// may have dropped the pages that it could not write), so the journal takes no more.
func (j *Journal) append(line []byte, durable bool) error {
	switch {
	case j.broken != nil:
		return fmt.Errorf("the journal failed before: %w", j.broken)
	case j.file == nil:
		return os.ErrClosed
	}
	n, err := j.file.Write(line)
	j.size += int64(n)
	if err == nil && durable {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fullHint(err)
	}
	return j.broken
}

// Finish removes the journal, because all is put back, and gives up its possession.
// It refuses where a step is pending. It works on a journal that failed.
func (j *Journal) Finish() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return fmt.Errorf("cannot finish journal %s: %w", j.path, os.ErrClosed)
	}
	if len(j.pending) > 0 {
		return fmt.Errorf("cannot finish journal %s: not put back yet: %s", j.path, strings.Join(j.pending, ", "))
	}
	// Removed before the lock is given up: nobody else can have it in between.
	if err := os.Remove(j.path); err != nil {
		return fmt.Errorf("cannot finish journal: %w", err)
	}
	err := errors.Join(syncDir(filepath.Dir(j.path)), j.file.Close())
	j.file = nil
	if err != nil {
		return fmt.Errorf("cannot finish journal %s: %w", j.path, err)
	}
	return nil
}

// Close gives up the journal's possession and leaves its file to recover. Closing
// twice, or after Finish, does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

func fullHint(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return hint.Wrap(err, "make room on the file system of the state directory, or set $SQUALL_STATE to another one")
	}
	return err
}
