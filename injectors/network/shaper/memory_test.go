package shaper

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// An arena against a list of copies: whatever is reserved, kept, freed in any order
// and reserved again, no frame's bytes change while it is kept, and what is freed
// can be used again.
func TestArenaKeepsEveryFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 100
		a := newArena(make([]byte, 1000), 8)
		type kept struct {
			slot uint64
			data []byte
		}
		var frames []kept
		fill := byte(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if room := a.reserve(most); room != nil && rapid.Bool().Draw(t, "add") {
				if len(room) != most {
					t.Fatalf("%d bytes reserved", len(room))
				}
				n := rapid.IntRange(1, most).Draw(t, "size")
				fill++
				data := bytes.Repeat([]byte{fill}, n)
				copy(room, data)
				frames = append(frames, kept{a.commit(n), data})
			} else if len(frames) > 0 {
				i := rapid.IntRange(0, len(frames)-1).Draw(t, "free")
				a.release(frames[i].slot)
				frames = slices.Delete(frames, i, i+1)
			} else if room == nil {
				t.Fatal("an empty arena has no room")
			}
			for _, f := range frames {
				if !bytes.Equal(a.frame(f.slot, len(f.data)), f.data) {
					t.Fatalf("slot %d was overwritten", f.slot)
				}
			}
		}
	})
}

// A queue against sorting.
func TestQueueIsStableAndSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 50
		q := newQueue(most)
		var want []waiting
		for i, due := range rapid.SliceOfN(rapid.Int64Range(0, 20), 0, 60).Draw(t, "dues") {
			w := waiting{due: due, slot: uint64(i)}
			if q.push(w) != (len(want) < most) {
				t.Fatal("a full queue takes more, or one with room does not")
			}
			if len(want) < most {
				want = append(want, w)
			}
			if rapid.IntRange(0, 3).Draw(t, "pop") == 0 {
				slices.SortStableFunc(want, func(a, b waiting) int { return int(a.due - b.due) })
				if got := q.pop(); got.slot != want[0].slot {
					t.Fatalf("popped %+v, want %+v", got, want[0])
				}
				want = want[1:]
			}
		}
		slices.SortStableFunc(want, func(a, b waiting) int { return int(a.due - b.due) })
		for _, w := range want {
			if got := q.pop(); got.slot != w.slot {
				t.Fatalf("popped %+v, want %+v", got, w)
			}
		}
	})
}

func TestHistogramKnowsItsQuantiles(t *testing.T) {
	for _, precision := range []int{fineBits, finestBits} {
		last := -1
		for v := uint64(0); v < 1<<36; v += 1 + v/1000 {
			c := class(v, precision)
			if c != last && c != last+1 {
				t.Fatalf("after class %d comes %d, at %d", last, c, v)
			}
			last = c
			if v>>precision < 1<<octaves>>1 {
				if m := middle(c, precision); math.Abs(m-float64(v)) > 1+float64(v)/float64(uint64(1)<<precision) {
					t.Fatalf("%d is counted as %g", v, m)
				}
			}
			if c >= (octaves+1)<<precision {
				t.Fatalf("%d is in class %d", v, c)
			}
			if v>>precision >= 1<<octaves>>1 {
				break
			}
		}
		if c := class(math.MaxUint64, precision); c >= (octaves+1)<<precision {
			t.Errorf("the largest value is in class %d", c)
		}
	}
	var s Stats
	for v := range int64(100_001) {
		count(s.Delay[:], finestBits, v*1000)
	}
	for _, q := range []float64{0.5, 0.99} {
		if got := s.DelayAt(q); math.Abs(got/(q*1e8)-1) > 1.0/(1<<finestBits) {
			t.Errorf("quantile %g is %g", q, got)
		}
	}
	if (&Stats{}).LateAt(0.5) != 0 {
		t.Error("nothing has a quantile")
	}
}

func TestStatsAddUp(t *testing.T) {
	a, b := Stats{Matched: 1, LateMax: 7}, Stats{Matched: 2, LateMax: 5, NoRoom: 3}
	a.Late[3], b.Late[3] = 1, 1
	a.Add(&b)
	if a.Matched != 3 || a.LateMax != 7 || a.Late[3] != 2 || a.UnintendedDrops() != 3 {
		t.Errorf("%+v", a)
	}
	if StatsAt(a.Bytes()).Matched != 3 || StatsSize%8 != 0 {
		t.Error("the figures don't lie where they should")
	}
}
