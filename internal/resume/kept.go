package resume

// kept are the bytes from local that the peer hasn't acknowledged yet, in the
// chunks that they were read into. Its zero value is empty.
type kept struct {
	first, last *chunk
	unsent      *chunk // has the first byte that isn't sent, or is before it; nil only if there is no chunk
	filling     *chunk // local is being read into its rest; it is last
	released    uint64 // position of the first byte that is kept
}

// space returns where to read the next bytes into, at least half a chunk of the
// given size and at most one. What is read is added by extend, and until then
// the space is the reader's. The position is that of the next byte.
func (k *kept) space(size int, position uint64) []byte {
	k.filled()
	last := k.last
	if last == nil || len(last.data) != size || len(last.data)-last.used < size/2 {
		last = newChunk(size)
		last.start = position
		if k.last == nil {
			k.first, k.unsent = last, last
		} else {
			k.last.next = last
		}
		k.last = last
	}
	k.filling = last
	return last.data[last.used:]
}

// extend adds the n bytes that were read into the space.
func (k *kept) extend(n int) { k.filling.used += n }

// filled ends the reading: there is no space any more.
func (k *kept) filled() {
	k.filling = nil
	k.release(k.released)
}

// piece returns the bytes from position on that lie together, and the chunk that
// they lie in, or nil if there are none. It doesn't go back: see rewind.
func (k *kept) piece(position uint64) (*chunk, []byte) {
	c := k.unsent
	if c == nil {
		return nil, nil
	}
	for c.end() <= position && c.next != nil {
		c = c.next
	}
	k.unsent = c
	if c.end() <= position {
		return nil, nil
	}
	return c, c.data[position-c.start : c.used]
}

// rewind makes piece begin at the first byte that is kept.
func (k *kept) rewind() { k.unsent = k.first }

// release lets the bytes before position go.
func (k *kept) release(position uint64) {
	k.released = position
	for c := k.first; c != nil && c != k.filling && c.end() <= position; c = k.first {
		k.first = c.next
		if k.first == nil {
			k.last = nil
		}
		if k.unsent == c {
			k.unsent = k.first
		}
		c.next = nil
		if c.writers > 0 {
			c.dropped = true
			continue
		}
		c.recycle()
	}
}

// written says that a writer is done with c.
func (k *kept) written(c *chunk) {
	c.writers--
	if c.writers == 0 && c.dropped {
		c.recycle()
	}
}
