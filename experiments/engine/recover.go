package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/hint"
	"github.com/squallhq/squall/safety/deadman"
	"github.com/squallhq/squall/safety/journal"
)

// Recovered is what Recover did with one journal.
type Recovered struct {
	Path string
	Head journal.Head
	// Reverted names the steps that were reverted, in the order it was done.
	Reverted []string
	// Notes say what was odd about the journal.
	Notes []string
	// Err says what could not be put back; the journal then stays.
	Err error
}

// RecoverAll puts back what runs left behind whose squall and deadman are both gone:
// every journal in dir that no living process holds. Journals of living runs are left
// alone. It never stops at the first error; each is in its Recovered.
func RecoverAll(ctx context.Context, registry *injectors.Registry, dir string) ([]Recovered, error) {
	paths, err := journal.List(dir)
	if err != nil {
		return nil, err
	}
	var all []Recovered
	for _, path := range paths {
		held, err := journal.Held(path)
		if err != nil {
			all = append(all, Recovered{Path: path, Err: err})
			continue
		}
		if held {
			continue
		}
		all = append(all, Recover(ctx, registry, path))
	}
	return all, nil
}

// Recover reverts what a journal still has pending, in reverse order, and removes the
// journal once all is verified gone. It waits for the journal's lock as long as ctx
// allows. The deadman calls it too.
func Recover(ctx context.Context, registry *injectors.Registry, path string) Recovered {
	recovered := Recovered{Path: path}
	log, state, err := journal.Open(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return recovered // somebody else has finished it
	}
	if err != nil {
		recovered.Err = err
		return recovered
	}
	recovered.Head = state.Head
	if state.Torn {
		recovered.Notes = append(recovered.Notes, "the journal's last line was torn; nothing had been done from it yet")
	}
	if state.Damaged > 0 {
		recovered.Err = hint.Wrap(
			fmt.Errorf("%d lines of the journal are damaged, so it can't tell all that was done; what it can tell was reverted", state.Damaged),
			"look whether anything of squall's is left on the targets, then remove the file by hand: it keeps new runs from starting")
	}
	var pending []undo
	for _, entry := range state.Pending {
		var u undo
		if err := json.Unmarshal(entry.Payload, &u); err != nil {
			recovered.Err = errors.Join(recovered.Err, fmt.Errorf("cannot read the undo record of %q: %w", entry.Step, err))
			continue
		}
		u.id = entry.Step
		pending = append(pending, u)
	}
	ctx, cancel := context.WithTimeout(ctx, defaultRollbackLimit)
	defer cancel()
	var mu sync.Mutex
	revertAll(pending, func(u undo) string { return u.Object }, func(u undo) {
		err := revertRecord(ctx, registry, u.Record)
		if err == nil {
			err = log.Reverted(u.id)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			recovered.Err = errors.Join(recovered.Err, fmt.Errorf("fault %q on %q: %w", u.Fault, u.Target, err))
			return
		}
		recovered.Reverted = append(recovered.Reverted, fmt.Sprintf("fault %q on %q", u.Fault, u.Target))
	})
	if recovered.Err != nil {
		recovered.Err = errors.Join(recovered.Err, log.Close())
		return recovered
	}
	recovered.Err = log.Finish()
	if said := deadmanLog(path); said != "" {
		recovered.Notes = append(recovered.Notes, "its deadman had failed before: "+said)
	}
	return recovered
}

// deadmanLog returns what a deadman that failed wrote about it, and removes it.
func deadmanLog(path string) string {
	const most = 4096
	log := deadman.LogPath(path)
	file, err := os.Open(log)
	if err != nil {
		return "" // there is none, unless it failed
	}
	said, err := io.ReadAll(io.LimitReader(file, most))
	return errorText(string(said), errors.Join(err, file.Close(), os.Remove(log)))
}

func errorText(text string, err error) string {
	if err != nil {
		text += fmt.Sprintf(" (%v)", err)
	}
	return text
}
