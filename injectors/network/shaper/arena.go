package shaper

// arena holds frames of any length in one piece of memory, in the order they came.
// A frame's room is used again once it and all before it are free, so that a frame
// that waits longer than others keeps theirs; how much longer is bounded by the
// jitter.
type arena struct {
	mem   []byte
	slots []slot // a ring: slot n is slots[n%len]
	first uint64 // the oldest slot that is not free
	next  uint64
	head  int // where the next frame goes
}

type slot struct {
	off  uint32
	free bool
}

func newArena(mem []byte, frames int) *arena { return &arena{mem: mem, slots: make([]slot, frames)} }

// reserve returns room for a frame of up to size bytes, nil where there is none.
func (a *arena) reserve(size int) []byte {
	if a.next-a.first == uint64(len(a.slots)) {
		return nil
	}
	if a.first == a.next {
		a.head = 0 // what was used last is still in the processor's caches
	} else {
		tail := int(a.slots[a.first%uint64(len(a.slots))].off)
		switch {
		case a.head > tail && len(a.mem)-a.head >= size:
		case a.head > tail && tail > size:
			a.head = 0
		case a.head <= tail && tail-a.head > size:
		default:
			return nil
		}
	}
	if len(a.mem)-a.head < size {
		return nil
	}
	return a.mem[a.head : a.head+size]
}

// commit keeps the first n bytes, one or more, of what reserve returned.
func (a *arena) commit(n int) (slot uint64) {
	slot = a.next
	s := &a.slots[slot%uint64(len(a.slots))]
	s.off, s.free = uint32(a.head), false
	a.head += (n + 7) &^ 7
	a.next++
	return slot
}

// frame returns the n bytes of a slot.
func (a *arena) frame(slot uint64, n int) []byte {
	off := int(a.slots[slot%uint64(len(a.slots))].off)
	return a.mem[off : off+n : off+n]
}

// release frees a slot. At the end it gives way at once, so that a frame that was
// not kept costs nothing.
func (a *arena) release(slot uint64) {
	a.slots[slot%uint64(len(a.slots))].free = true
	for a.first < a.next && a.slots[(a.next-1)%uint64(len(a.slots))].free {
		a.next--
		a.head = int(a.slots[a.next%uint64(len(a.slots))].off)
	}
	for a.first < a.next && a.slots[a.first%uint64(len(a.slots))].free {
		a.first++
	}
}
