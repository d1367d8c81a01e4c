package journal

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

// story writes a journal and returns its text, with the state after each record and
// where that record ends.
func story(t testing.TB) (path string, text []byte, states []State, ends []int) {
	t.Helper()
	j := create(t, "run")
	note := func(errs ...error) {
		t.Helper()
		must(t, errs...)
		state, err := Read(j.Path())
		must(t, err)
		states, ends = append(states, state), append(ends, int(j.size))
	}
	note()
	note(j.Intent("a", json.RawMessage(`{"interface":"eth0","handle":4660}`)))
	note(j.Applied("a"))
	note(j.Intent("b", json.RawMessage(`"squall\":\""`)))
	note(j.Reverted("a"))
	note(j.Intent("c", json.RawMessage(`[1,2]`)))
	must(t, j.Close())
	text, err := os.ReadFile(j.Path())
	must(t, err)
	return j.Path(), text, states, ends
}

func TestTornAtEveryOffset(t *testing.T) {
	path, text, states, ends := story(t)
	for size := range len(text) + 1 {
		must(t, os.WriteFile(path, text[:size], 0o600))
		// A record counts from its last byte on; its line break adds nothing.
		var expected State
		torn := true
		for i, end := range ends {
			if size >= end-1 {
				expected = states[i]
				torn = size != end
			}
		}
		expected.Torn = torn
		state, err := Read(path)
		must(t, err)
		if !reflect.DeepEqual(state, expected) {
			t.Fatalf("cut at %d: %+v, want %+v", size, state, expected)
		}
		// What is appended to it can be read, and so can all that was there before.
		j, _, err := Open(t.Context(), path)
		must(t, err, j.Intent("more", nil), j.Close())
		state, err = Read(path)
		must(t, err)
		expected.Torn = false
		expected.Pending = append(expected.Pending[:len(expected.Pending):len(expected.Pending)], Entry{Step: "more"})
		if !reflect.DeepEqual(state, expected) {
			t.Fatalf("cut at %d and continued: %+v, want %+v", size, state, expected)
		}
	}
}

// Whatever happens to one byte, the damage is reported, the records that don't hold
// the byte are used, and a step whose intent can be read is never lost.
func TestEveryByteFlipped(t *testing.T) {
	_, text, _, ends := story(t)
	holder := func(at int) int {
		for i, end := range ends {
			if at < end {
				return i
			}
		}
		return -1
	}
	const head, intentA, appliedA, intentB, revertedA, intentC = 0, 1, 2, 3, 4, 5
	for at := range text {
		for _, flip := range []byte{0x01, 0x20, 0x80, text[at] ^ '\n', text[at]} {
			if flip == 0 {
				continue // it is a line break already
			}
			damaged := append([]byte(nil), text...)
			damaged[at] ^= flip
			state, _, err := parse(damaged)
			must(t, err)
			lineBreak := text[at] == '\n'
			last := at == len(text)-1
			hit := holder(at)
			if state.Damaged == 0 && !state.Torn {
				t.Fatalf("byte %d ^ %#x: not noticed", at, flip)
			}
			steps := map[string]bool{}
			for _, entry := range state.Pending {
				steps[entry.Step] = true
			}
			whole := func(record int) bool { return hit != record || lineBreak }
			if steps["b"] != whole(intentB) || steps["c"] != (whole(intentC) || last) {
				t.Fatalf("byte %d ^ %#x: pending %v", at, flip, steps)
			}
			if steps["a"] != (hit == revertedA && !lineBreak) {
				t.Fatalf("byte %d ^ %#x: a is pending: %v", at, flip, steps["a"])
			}
			if (state.Head.Run == "run") != whole(head) {
				t.Fatalf("byte %d ^ %#x: head %+v", at, flip, state.Head)
			}
		}
	}
}

// A damaged last line break is repaired before anything is appended.
func TestAppendsAfterADamagedLineBreak(t *testing.T) {
	path, text, states, _ := story(t)
	text[len(text)-1] = 'x'
	must(t, os.WriteFile(path, text, 0o600))
	j, state, err := Open(t.Context(), path)
	must(t, err, j.Intent("more", nil), j.Close())
	if !reflect.DeepEqual(state.Pending, states[len(states)-1].Pending) || state.Damaged != 1 {
		t.Fatalf("state %+v", state)
	}
	state, err = Read(path)
	must(t, err)
	want(t, state, "b", "c", "more")
}

func FuzzParse(f *testing.F) {
	_, text, _, _ := story(f)
	f.Add(text)
	f.Add(text[:len(text)-3])
	f.Add([]byte(marker + marker + "\n\n\x00"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, keep, err := parse(data)
		if err != nil {
			return // an unknown version
		}
		if keep < 0 || keep > len(data) {
			t.Fatalf("keep %d of %d", keep, len(data))
		}
		// What Open leaves of the file says the same, and takes a further record.
		kept := append([]byte(nil), data[:keep]...)
		if keep > 0 && kept[keep-1] != '\n' {
			kept = append(kept, '\n')
		}
		line, err := encode(record{Kind: kindIntent, Step: "one more step"})
		must(t, err)
		again, _, err := parse(append(kept, line...))
		must(t, err)
		if again.Torn || len(again.Pending) == 0 || again.Pending[len(again.Pending)-1].Step != "one more step" {
			t.Fatalf("after one more record: %+v", again)
		}
		again.Pending = again.Pending[:len(again.Pending)-1]
		if len(again.Pending) != len(state.Pending) || again.Head != state.Head || again.Damaged != state.Damaged {
			t.Fatalf("was %+v, is %+v", state, again)
		}
	})
}
