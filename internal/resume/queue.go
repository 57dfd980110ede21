package resume

// queue are the bytes of data requests that have still to be handed on. Its zero
// value is that of a channel on which none may come.
type queue struct {
	open  bool   // data may come
	next  uint64 // position of the first byte that is to be taken out
	end   uint64 // position of the first byte that is to come
	parts [][]byte
	own   bool // the last part is ours to add to
}

// begin has data come, whose first byte is at position.
func (q *queue) begin(position uint64) { *q = queue{open: true, next: position, end: position} }

// push adds what came. It keeps p, or copies it if that takes less memory: a part
// holds on to the packet that it came in.
func (q *queue) push(p []byte) {
	q.end += uint64(len(p))
	if n := len(q.parts); n > 0 {
		last := q.parts[n-1]
		if q.own && cap(last)-len(last) >= len(p) {
			q.parts[n-1] = append(last, p...)
			return
		}
		if len(p) < largeChunk/2 {
			q.parts = append(q.parts, append(make([]byte, 0, largeChunk), p...))
			q.own = true
			return
		}
	}
	q.parts, q.own = append(q.parts, p), false
}

// pop takes the first part out. There must be one.
func (q *queue) pop() []byte {
	p := q.parts[0]
	q.parts[0] = nil
	q.parts = q.parts[1:]
	if len(q.parts) == 0 {
		q.parts, q.own = nil, false
	}
	q.next += uint64(len(p))
	return p
}
