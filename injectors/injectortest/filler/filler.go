// Package filler is the smallest injector there is: it fills a directory with one
// file. CONTRIBUTING.md builds it step by step, and the engine's tests run it. The
// squall binary does not contain it.
package filler

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/strict"
)

// Spec is what a document says: `filler: {dir: /var/tmp/x, bytes: 4096}`.
type Spec struct {
	Dir   string `yaml:"dir" required:"true" doc:"The directory to fill." example:"/var/tmp/scratch"`
	Bytes int    `yaml:"bytes" default:"4096" doc:"The size of the file, at most 1 MiB."`
}

// Check holds what the types can't say.
func (s *Spec) Check(at strict.Value) strict.Problems {
	if s.Bytes < 1 || s.Bytes > 1<<20 {
		return strict.Problems{at.Field("bytes").Problemf("%d bytes is not between 1 and 1 MiB", s.Bytes)}
	}
	return nil
}

// Record is all that Apply, Verify and Revert get. Path is chosen by Plan: that is
// the identity by which the file is found again.
type Record struct {
	Path  string `json:"path"`
	Bytes int    `json:"bytes"`
}

type filler struct{}

// Injector returns the injector for a registry.
func Injector() *injectors.Injector {
	return injectors.New[Spec, Record]("filler", "Fills a directory with one file.",
		[]injectors.Kind{injectors.KindProcess}, filler{})
}

// Plan looks and decides; it changes nothing.
func (filler) Plan(_ context.Context, spec Spec, target injectors.Target) (injectors.Planned[Record], error) {
	info, err := os.Stat(spec.Dir)
	if err != nil {
		return injectors.Planned[Record]{}, fmt.Errorf("cannot look at %s: %w", spec.Dir, err)
	}
	if !info.IsDir() {
		return injectors.Planned[Record]{}, &injectors.Refusal{Reason: fmt.Sprintf("%s is not a directory", spec.Dir)}
	}
	var name [8]byte
	rand.Read(name[:])
	path := filepath.Join(spec.Dir, "squall-filler-"+hex.EncodeToString(name[:]))
	return injectors.Planned[Record]{
		Record:  Record{Path: path, Bytes: spec.Bytes},
		Actions: []string{fmt.Sprintf("write %d bytes to %s for %s", spec.Bytes, path, target.Name)},
		Undo:    "remove " + path,
		Object:  "directory " + spec.Dir,
		Backend: "file",
		Reason:  "there is no other",
		Tier:    injectors.TierDeadman,
	}, nil
}

// Apply makes the effect, exclusively: O_EXCL fails where something is there.
func (filler) Apply(ctx context.Context, record Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	file, err := os.OpenFile(record.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot fill: %w", err)
	}
	_, err = file.Write(make([]byte, record.Bytes))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("cannot fill: %w", err)
	}
	return nil
}

// Verify reads the world.
func (filler) Verify(_ context.Context, record Record) (injectors.Status, error) {
	info, err := os.Lstat(record.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return injectors.Status{Presence: injectors.Absent, Detail: record.Path + " is not there"}, nil
	case err != nil:
		return injectors.Status{}, fmt.Errorf("cannot look at %s: %w", record.Path, err)
	case !info.Mode().IsRegular():
		return injectors.Status{Presence: injectors.Foreign, Detail: record.Path + " is not a file of squall's"}, nil
	}
	return injectors.Status{
		Presence: injectors.Present,
		Detail:   fmt.Sprintf("%s holds %d bytes", record.Path, info.Size()),
		Touched:  uint64(info.Size()),
		Unit:     "bytes",
	}, nil
}

// Revert takes the effect out, as often as it is asked, and nothing else.
func (f filler) Revert(ctx context.Context, record Record) error {
	status, err := f.Verify(ctx, record)
	if err != nil || status.Presence != injectors.Present {
		return err
	}
	if err := os.Remove(record.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove %s: %w", record.Path, err)
	}
	return nil
}
