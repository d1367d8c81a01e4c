package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/squallhq/squall/internal/hint"
)

// A record is one line:
//
//	{"squall":"<CRC-32C of the record, 8 hexadecimal digits>","record":{…}}
//
// The marker at its front can't occur inside a record, because JSON escapes the
// quotes of a string. So the reader finds the next record even where the line break
// in between is the byte that was damaged.
const (
	marker    = `{"squall":"`
	afterCRC  = `","record":`
	crcDigits = 8
	preamble  = len(marker) + crcDigits + len(afterCRC)
)

// The kinds of record.
const (
	kindHead     = "head"
	kindIntent   = "intent"
	kindApplied  = "applied"
	kindReverted = "reverted"
)

type record struct {
	Kind    string          `json:"kind"`
	Head    *Head           `json:"head,omitempty"`
	Step    string          `json:"step,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(r record) ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	return slices.Concat([]byte(marker+checksum(text)+afterCRC), text, []byte("}\n")), nil
}

func checksum(text []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli))
}

// decode reads a line without its line break.
func decode(line []byte) (record, bool) {
	var r record
	if len(line) <= preamble || string(line[:len(marker)]) != marker || line[len(line)-1] != '}' ||
		string(line[preamble-len(afterCRC):preamble]) != afterCRC {
		return r, false
	}
	text := line[preamble : len(line)-1]
	if string(line[len(marker):len(marker)+crcDigits]) != checksum(text) {
		return r, false
	}
	return r, json.Unmarshal(text, &r) == nil
}

// Entry is a step that must be put back.
type Entry struct {
	Step    string
	Payload json.RawMessage
	// Applied says that the effect is known to be there. Where it is false the
	// effect may be there all the same.
	Applied bool
}

// State is what a journal says.
type State struct {
	// Head is zero where the head itself is torn or damaged.
	Head Head
	// Pending are the steps that are not reverted, in the order of their intents.
	// They are put back in the reverse order.
	Pending []Entry
	// Torn says that the last record was never finished. Nothing was done on its
	// behalf.
	Torn bool
	// Damaged counts the records that can't be read though they were finished. An
	// undo record may be among them.
	Damaged int
}

// parse reads the whole text of a journal. keep is how many of its bytes to keep
// before anything is appended; what follows them is the torn tail.
func parse(data []byte) (state State, keep int, err error) {
	state.Torn = len(data) == 0 // a head was to be there
	for at := 0; at < len(data); {
		line, end, terminated := nextLine(data, at)
		at = end
		r, ok := decode(line)
		if !ok && len(line) > 0 {
			// The one byte too many may be a line break that was damaged.
			if r, ok = decode(line[:len(line)-1]); ok {
				state.Damaged++
			}
		}
		switch {
		case ok:
			if err := state.add(r); err != nil {
				return State{}, 0, err
			}
		case terminated:
			state.Damaged++
		}
		if ok || terminated {
			keep = end
		}
		state.Torn = !terminated
	}
	return state, keep, nil
}

// nextLine returns the line at an offset and where the next one begins: after a
// line break, or at a marker that has none before it.
func nextLine(data []byte, at int) (line []byte, end int, terminated bool) {
	line, _, terminated = bytes.Cut(data[at:], []byte("\n"))
	if next := bytes.Index(line[min(1, len(line)):], []byte(marker)); next >= 0 {
		return line[:next+1], at + next + 1, true
	}
	end = at + len(line)
	if terminated {
		end++
	}
	return line, end, terminated
}

func (s *State) add(r record) error {
	i := slices.IndexFunc(s.Pending, func(e Entry) bool { return e.Step == r.Step })
	switch {
	case r.Kind == kindHead && r.Head != nil && s.Head.Version == 0:
		if r.Head.Version != Version {
			return hint.Wrap(fmt.Errorf("its format has version %d, and this squall reads version %d", r.Head.Version, Version),
				"run `squall recover` of the version that wrote it")
		}
		s.Head = *r.Head
	case r.Kind == kindIntent && r.Step != "":
		// An intent for a step that is pending follows a Reverted that was damaged: no
		// step is begun again before it was reverted.
		if i >= 0 {
			s.Pending = slices.Delete(s.Pending, i, i+1)
		}
		s.Pending = append(s.Pending, Entry{Step: r.Step, Payload: r.Payload})
	case r.Kind == kindApplied && i >= 0:
		s.Pending[i].Applied = true
	case r.Kind == kindReverted && i >= 0:
		s.Pending = slices.Delete(s.Pending, i, i+1)
	case r.Kind == kindApplied || r.Kind == kindReverted:
		// Its intent was damaged, which is counted there.
	default:
		s.Damaged++
	}
	return nil
}
