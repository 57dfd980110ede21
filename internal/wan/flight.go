package wan

// packet is one on its way.
type packet struct {
	due  nanoseconds
	seq  uint64 // among those due at the same time, the first to come goes first
	cuts uint64 // the link's count of cuts and restores when it came
	data *[mtu]byte
	size int
}

// flight holds the packets on their way in one direction, the first due on
// top: a binary heap. Owned by the link's wire.
type flight struct {
	heap []packet
	seq  uint64
}

func (f *flight) len() int { return len(f.heap) }

// first returns when the next packet is due. There must be one.
func (f *flight) first() nanoseconds { return f.heap[0].due }

func (f *flight) before(i, j int) bool {
	a, b := &f.heap[i], &f.heap[j]
	return a.due < b.due || a.due == b.due && a.seq < b.seq
}

func (f *flight) push(p packet) {
	p.seq = f.seq
	f.seq++
	f.heap = append(f.heap, p)
	for i := len(f.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !f.before(i, parent) {
			return
		}
		f.heap[i], f.heap[parent] = f.heap[parent], f.heap[i]
		i = parent
	}
}

// pop takes the packet that is due first. There must be one.
func (f *flight) pop() packet {
	top := f.heap[0]
	last := len(f.heap) - 1
	f.heap[0] = f.heap[last]
	f.heap[last] = packet{}
	f.heap = f.heap[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && f.before(child+1, child) {
			child++
		}
		if !f.before(child, i) {
			return top
		}
		f.heap[i], f.heap[child] = f.heap[child], f.heap[i]
		i = child
	}
}
