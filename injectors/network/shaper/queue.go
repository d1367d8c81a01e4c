package shaper

// waiting is a frame that waits for its time.
type waiting struct {
	due      int64
	captured int64
	seq      uint64 // frames that are due at the same time keep their order
	slot     uint64
	size     uint32
	bit      uint32
	corrupt  bool
	overtake bool
}

// queue is a binary heap by due time, in memory that was taken before.
type queue struct {
	list []waiting
	seq  uint64
}

func newQueue(most int) *queue { return &queue{list: make([]waiting, 0, most)} }

func (w *waiting) before(v *waiting) bool {
	return w.due < v.due || w.due == v.due && w.seq < v.seq
}

// push adds w, whose seq it chooses. It returns false where the queue is full.
func (q *queue) push(w waiting) bool {
	if len(q.list) == cap(q.list) {
		return false
	}
	w.seq = q.seq
	q.seq++
	q.list = append(q.list, w)
	i := len(q.list) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !w.before(&q.list[parent]) {
			break
		}
		q.list[i] = q.list[parent]
		i = parent
	}
	q.list[i] = w
	return true
}

// pop takes the first out of a queue that is not empty.
func (q *queue) pop() waiting {
	first, end := q.list[0], len(q.list)-1
	w := q.list[end]
	q.list = q.list[:end]
	i := 0
	for {
		child := 2*i + 1
		if child >= end {
			break
		}
		if child+1 < end && q.list[child+1].before(&q.list[child]) {
			child++
		}
		if !q.list[child].before(&w) {
			break
		}
		q.list[i] = q.list[child]
		i = child
	}
	if end > 0 {
		q.list[i] = w
	}
	return first
}
